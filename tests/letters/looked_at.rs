//! `list` and `show`.

use std::time::{Duration, Instant};

use serde_json::json;
use understudy_tests::Stage;

use crate::{Broken, letters, listed};

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_counted_and_filtered() {
    let broken = Broken::new("letters are listed").await;
    let (stage, index) = (&broken.stage, &broken.index);
    let none = letters(stage, &["list", "--check"]).await.expect(0);
    assert_eq!(none.out, "There are no dead letters of backup.\n");
    broken.refused("bad", "no number").await;
    stage.append("target.backup", "foreign", b"no bulk body", &[("who", "stranger")]).await;
    stage.wait_drained().await;

    let table = letters(stage, &["list"]).await.expect(0).out;
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].starts_with("id") && rows[0].ends_with("reason"), "{table}");
    assert!(rows[1].starts_with("0:0  ") && rows[1].contains(index.as_str()) && rows[1].contains("  400  "), "{table}");
    assert!(rows[1].contains("parsing_exception  ") && rows[1].contains("[o.x]"), "{table}");
    assert!(rows[2].contains("unreadable_record"), "{table}");
    assert!(table.contains("2 dead letters of backup\n"), "{table}");

    let json = letters(stage, &["list", "--json", "--target", "backup"]).await.expect(0).lines();
    assert_eq!(
        (&json[0]["id"], &json[0]["document"], &json[0]["index"]),
        (&json!("0:0"), &json!("bad"), &json!(index))
    );
    assert_eq!((&json[0]["operation"], &json[0]["status"]), (&json!("index"), &json!(400)));
    assert!(json[1]["document"].is_null() && json[1]["status"].is_null(), "{json:?}");

    assert_eq!(letters(stage, &["list", "--check"]).await.expect(1).out, table);
    assert_eq!(letters(stage, &["list", "--json", "--index", index]).await.expect(0).lines().len(), 1);
    assert_eq!(letters(stage, &["list", "--json", "--type", "unreadable*"]).await.expect(0).lines().len(), 1);
    letters(stage, &["list", "--index", "nothing", "--check"]).await.expect(0);
    let one = letters(stage, &["list", "--limit", "1"]).await.expect(0).out;
    assert!(one.contains("… and 1 more (--limit)") && one.contains("2 dead letters of backup"), "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_shown_with_everything() {
    let broken = Broken::new("a letter is shown").await;
    let stage = &broken.stage;
    // Bytes are shown as they are, also those that parsing would change.
    let path = format!("/{}/_doc/bad?routing=r", broken.index);
    broken.through().put(&path, r#"{"n": 1.10, "o": {"x": "no number"}}"#).await.expect(201);
    stage.wait_drained().await;
    let text = letters(stage, &["show", "0:0"]).await.expect(0).out;
    for wanted in [
        format!("document   {}/bad, routing r\n", broken.index),
        "status     400\n".to_owned(),
        format!("from       {}, partition 0, offset 1\n", stage.topic("target.backup")),
        "  {\n    \"n\": 1.10,\n    \"o\": {\n      \"x\": \"no number\"\n    }\n  }\n".to_owned(),
        "  understudy-dead-status     400\n".to_owned(),
        format!("  understudy dead-letters redrive --config {} --target backup 0:0\n", stage.config().display()),
    ] {
        assert!(text.contains(&wanted), "{wanted} in\n{text}");
    }
    let shown = letters(stage, &["show", "0:0", "--json"]).await.expect(0).lines().remove(0);
    assert!(shown["body"].as_str().unwrap().ends_with("{\"n\": 1.10, \"o\": {\"x\": \"no number\"}}\n"), "{shown}");
    assert_eq!((&shown["routing"], &shown["from"]["offset"]), (&json!("r"), &json!(1)));
    assert_eq!(shown["headers"]["understudy-epoch"], "1");

    let unknown = letters(stage, &["show", "0:7"]).await.expect(2);
    let wanted = format!("understudy dead-letters: there is no dead letter 0:7 in {}\n", stage.topic("dead.backup"));
    assert_eq!((unknown.err, unknown.out), (wanted, String::new()));
    letters(stage, &["show", "seven"]).await.expect(64);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_said_in_a_line() {
    let stage = Stage::new("errors in a line");
    let said = letters(&stage, &["list", "--target", "nobody"]).await.expect(64);
    assert_eq!(said.err, "understudy dead-letters: --target: must be one of backup, not \"nobody\"\n");
    let said = letters(&stage, &["list"]).await.expect(2);
    assert!(said.err.contains(&format!("there is no topic {}", stage.topic("dead.backup"))), "{}", said.err);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    stage.create_topics().await;
    assert!(listed(&stage).await.is_empty());

    let stage = stage.set("kafka.bootstrap_servers", vec!["127.0.0.1:1"]);
    for arguments in [&["list"][..], &["redrive", "--all"], &["drop", "--all", "--yes"]] {
        let begun = Instant::now();
        let said = letters(&stage, arguments).await.expect(2);
        assert!(said.err.contains("cannot read from Kafka at 127.0.0.1:1: "), "{}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
}
