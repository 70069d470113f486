//! `redrive`: what arrives is what the primary has by then.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, FakeRequest, Http, eventually, program};

use crate::{Broken, letters, listed};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_state_that_the_primary_has_now_is_brought_and_not_the_letters() {
    let broken = Broken::new("the new state").await;
    let stage = &broken.stage;
    broken.refused("a", "old").await;
    broken.refused("a", "new").await;
    broken.refused("b", "b").await;
    assert_eq!(listed(stage).await, ["0:0", "0:1", "0:2"]);
    broken.mend().await;
    let said = letters(stage, &["redrive", "0:0"]).await.expect(0).out;
    assert!(said.contains("1 letter is redriven: 1 document published as on primary now."), "{said}");
    assert!(said.contains(&format!("understudy verify --config {}", stage.config().display())), "{said}");
    stage.wait_drained().await;
    assert_eq!(broken.on_backup("a").await, json!({"o": {"x": "new"}}));
    assert!(broken.on_backup("b").await.is_null());

    assert_eq!(listed(stage).await, ["0:1", "0:2"]);
    assert_eq!(broken.offsets().await, (1, 3), "the first is decided, and deleted");
    assert!(broken.marks().await.is_empty(), "and so is its mark");
    letters(stage, &["redrive", "--all", "--index", "nothing"]).await.expect(0);
    let said = letters(stage, &["redrive", "--all", "--index", &broken.index]).await.expect(0).out;
    assert!(said.starts_with("2 letters are redriven: 2 documents"), "{said}");
    broken.documents_converge().await;
    assert!(listed(stage).await.is_empty());
    assert_eq!(broken.offsets().await, (3, 3));
    assert!(broken.marks().await.is_empty() && stage.open_intents().await.is_empty());
    let said = letters(stage, &["redrive", "0:2"]).await.expect(2).err;
    assert!(said.contains("0:2 is gone: it was redriven or dropped"), "{said}");
    assert_eq!(letters(stage, &["redrive", "--all"]).await.expect(0).out, "There is nothing to redrive.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_once_more_is_a_new_letter() {
    let broken = Broken::new("refused once more").await;
    broken.refused("a", "text").await;
    letters(&broken.stage, &["redrive", "0:0"]).await.expect(0);
    broken.stage.wait_drained().await;
    assert_eq!(listed(&broken.stage).await, ["0:1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_deleted_meanwhile_stays_deleted() {
    let broken = Broken::new("deleted meanwhile").await;
    broken.refused("gone", "text").await;
    broken.through().delete(&format!("/{}/_doc/gone", broken.index)).await.expect(200);
    broken.mend().await;
    let said = letters(&broken.stage, &["redrive", "--all"]).await.expect(0).out;
    assert!(said.contains("1 document deleted on primary, which is published"), "{said}");
    broken.documents_converge().await;
    assert!(broken.on_backup("gone").await.is_null());
    assert!(listed(&broken.stage).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_gone_leaves_nothing_to_publish() {
    let broken = Broken::new("index is gone").await;
    broken.refused("a", "text").await;
    broken.stage.primary().delete(&format!("/{}", broken.index)).await.expect(200);
    let said = letters(&broken.stage, &["redrive", "--all"]).await.expect(0).out;
    assert!(said.contains("1 document that primary knows nothing of any more"), "{said}");
    assert!(listed(&broken.stage).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_away_is_waited_for_or_told() {
    let mut broken = Broken::new("the primary is away").await;
    broken.refused("a", "text").await;
    broken.mend().await;
    let away = Arc::new(AtomicBool::new(true));
    let fake = Fake::before(broken.stage.primary(), {
        let away = away.clone();
        move |_| if away.load(Ordering::SeqCst) { FakeAnswer::html(503) } else { FakeAnswer::real() }
    });
    let fake = fake.await;

    broken.stage = broken.stage.set("clusters.primary.urls", vec!["http://127.0.0.1:1"]);
    let said = letters(&broken.stage, &["redrive", "--all", "--wait", "0"]).await.expect(1);
    assert!(said.out.contains("1 letter is not redriven:\n  0:0  cannot connect to cluster primary"), "{}", said.out);
    let said = letters(&broken.stage, &["redrive", "--all", "--wait", "0", "--json"]).await.expect(1);
    assert_eq!(said.lines()[0]["result"], "not_redriven");
    assert!(broken.stage.open_intents().await.is_empty(), "nothing goes on behind anybody's back");
    assert_eq!(listed(&broken.stage).await, ["0:0"]);

    broken.stage = broken.stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let waiting = letters(&broken.stage, &["redrive", "--all"]);
    let back = async {
        let open = async || !broken.stage.open_intents().await.is_empty();
        eventually(SOON, "an intent names the document", open).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        away.store(false, Ordering::SeqCst);
    };
    let (said, ()) = futures::join!(waiting, back);
    let said = said.expect(0);
    assert!(said.err.contains("waiting for 1 document: ") && said.err.contains("503"), "{}", said.err);
    broken.documents_converge().await;
    assert!(listed(&broken.stage).await.is_empty() && broken.stage.open_intents().await.is_empty());
}

/// Whatever ends it in the middle: an intent names what is not done, and the consumers finish it.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_redrive_is_finished_by_the_consumers() {
    let mut broken = Broken::new("interrupted").await;
    broken.refused("a", "text").await;
    broken.stage.wait_settled().await;
    broken.consumer.stop().await;
    broken.mend().await;
    let address = broken.stage.stack().address("primary");
    broken.stage = broken.stage.set("clusters.primary.urls", vec!["http://127.0.0.1:1"]);
    let stage = &broken.stage;
    let mut command = tokio::process::Command::from(program("understudy").expect("it is built"));
    command.args(["dead-letters", "redrive", "0:0", "--config"]).arg(stage.config());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("it starts");
    let open = eventually(SOON, "an intent", async || stage.open_intents().await.into_values().next()).await;
    assert_eq!(open["documents"], json!([[broken.index, "a"]]));
    assert_eq!((&open["targets"], &open["primary"]), (&json!(["backup"]), &json!("primary")));
    // It says what it waits for as soon as the primary did not answer.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pid = child.id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    let output = tokio::time::timeout(SOON, child.wait_with_output()).await.expect("it ends").expect("it ends");
    let said = crate::Said::from(output).expect(130);
    assert!(said.out.contains("The consumers read their documents from primary by themselves"), "{}", said.out);
    assert_eq!((stage.open_intents().await.len(), listed(stage).await), (1, vec!["0:0".to_owned()]));

    broken.stage = broken.stage.set("clusters.primary.urls", vec![address]).set("protocol.linger", "2s");
    broken.consumer.restart().await;
    let arrived = async || broken.on_backup("a").await == json!({"o": {"x": "text"}});
    eventually(SOON, "the consumers finish it", arrived).await;
    assert_eq!(listed(&broken.stage).await, ["0:0"], "a letter is decided by people");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_behind_the_primarys_name_is_never_read() {
    let mut broken = Broken::new("another cluster").await;
    broken.refused("a", "text").await;
    let fake = Fake::before(Http::new(&broken.stage.stack().address("backup")), |_| FakeAnswer::real()).await;
    broken.stage = broken.stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let said = letters(&broken.stage, &["redrive", "--all"]).await.expect(2);
    assert!(said.err.contains("behind the name primary stands the cluster"), "{}", said.err);
    assert_eq!(listed(&broken.stage).await, ["0:0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_an_untested_version_is_not_read() {
    let mut broken = Broken::new("a stranger").await;
    broken.refused("a", "text").await;
    broken.mend().await;
    let other = |request: &FakeRequest| {
        let nodes = r#"{"_nodes":{"total":1},"nodes":{"a":{"version":"9.3.0","build_flavor":"default"}}}"#;
        if request.path.starts_with("/_nodes") { FakeAnswer::json(200, nodes) } else { FakeAnswer::real() }
    };
    let fake = Fake::before(broken.stage.primary(), other).await;
    broken.stage = broken.stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let said = letters(&broken.stage, &["redrive", "--all", "--wait", "0"]).await.expect(1);
    assert!(said.out.contains("Elasticsearch 9.3.0") && said.out.contains("allow_untested_version"), "{}", said.out);
    assert_eq!(listed(&broken.stage).await, ["0:0"]);
    assert!(fake.requests().iter().all(|request| !request.path.contains("_mget")), "no document was read");
    broken.stage = broken.stage.set("clusters.primary.allow_untested_version", true);
    letters(&broken.stage, &["redrive", "--all"]).await.expect(0);
    broken.documents_converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_record_cannot_be_redriven_and_others_are() {
    let broken = Broken::new("a whole record").await;
    let stage = &broken.stage;
    stage.append("target.backup", "foreign", b"no bulk body", &[]).await;
    broken.refused("a", "text").await;
    broken.mend().await;
    let said = letters(stage, &["redrive", "--all"]).await.expect(1).out;
    assert!(said.contains("1 letter is redriven") && said.contains("0:0  it is a whole record"), "{said}");
    broken.documents_converge().await;
    assert_eq!(listed(stage).await, ["0:0"]);
    assert_eq!(broken.offsets().await, (0, 2), "nothing is deleted before the first is decided");
    let all = letters(stage, &["list", "--all", "--json"]).await.expect(0).lines();
    assert_eq!((&all[0]["became"], &all[1]["became"]), (&json!(null), &json!("redriven")));
    let again = letters(stage, &["redrive", "0:1"]).await.expect(0);
    assert!(again.err.contains("0:1 was redriven before, at "), "{}", again.err);
}

/// A letter without a body: its document is found by the record that it comes from.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_was_too_large_is_redriven_by_the_record_it_comes_from() {
    let broken = Broken::new("too large").await;
    let stage = &broken.stage;
    let path = format!("/{}/_doc/a?routing=r", broken.index);
    broken.through().put(&path, json!({"o": {"x": "text"}}).to_string()).await.expect(201);
    stage.wait_drained().await;
    let letter = stage.records("dead.backup").await.remove(0);
    let mut headers: Vec<(&str, &str)> =
        letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    headers.push(("understudy-dead-reference", "true"));
    let (topic, key) = (stage.topic("dead.backup"), letter.key_text());
    stage.kafka().append(&topic, Some(0), key.as_bytes(), None, &headers).await.expect("Kafka takes it");
    letters(stage, &["drop", "0:0", "--yes"]).await.expect(0);
    broken.mend().await;
    let said = letters(stage, &["show", "0:1"]).await.expect(0).out;
    assert!(said.contains("too large to be kept here"), "{said}");
    letters(stage, &["redrive", "0:1"]).await.expect(0);
    broken.documents_converge().await;
}
