//! A primary with HTTPS and users: Elasticsearch 8.19 with x-pack security.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Authority, Secured, Stage, differences, eventually};

use crate::TURN;

const SOON: Duration = Duration::from_secs(30);

fn stage(name: &str, secured: &Secured) -> Stage {
    Stage::new(name)
        .set("clusters.primary.urls", vec![secured.address()])
        .set("clusters.primary.ca_file", secured.authority().ca_file().display().to_string())
        .set("clusters.primary.username", "understudy")
        .set("clusters.primary.password", Secured::PASSWORD)
}

/// Clients get what the primary gives them, and the service account, which only reads, does the rest.
#[tokio::test(flavor = "multi_thread")]
async fn clients_have_their_own_rights_and_a_write_only_clients_writes_are_replicated() {
    let _turn = TURN.lock().await;
    let secured = Secured::start().await;
    let stage = stage("secured primary", &secured);
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let through = |user: &str, password: &str| stage.through(&gateway).as_user(user, password);
    let operator = through("operator", Secured::PASSWORD);
    let writer = through("writer", Secured::PASSWORD);
    let reader = through("reader", Secured::PASSWORD);
    let index = stage.index("i");
    let path = format!("/{index}/_doc/1");

    // Who may only write: by id, without, in bulks, updates (which the gateway asks the result of), deletes.
    writer.put(&path, r#"{"n": 1}"#).await.expect(201);
    writer.post(&format!("/{index}/_doc"), r#"{"n": 2}"#).await.expect(201);
    let mut bulk = String::new();
    for id in 10..20 {
        bulk.push_str(&format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{}\n", json!({"id": id})));
    }
    let answer = writer.post(&format!("/{index}/_bulk"), bulk).await.expect(200);
    assert_eq!(answer.json()["errors"], false, "{answer}");
    writer.post(&format!("/{index}/_update/10"), r#"{"doc": {"more": true}}"#).await.expect(200);
    writer.delete(&format!("/{index}/_doc/11")).await.expect(200);
    let refused = writer.get(&path).await.expect(403);
    assert_eq!(refused.error_type(), "security_exception", "{refused}");

    // A wrong password, and no user at all: the primary's own 401.
    for stranger in [through("writer", "wrong"), stage.through(&gateway)] {
        for refused in [
            stranger.get(&path).await,
            stranger.put(&path, r#"{"n": 3}"#).await,
            stranger.post("/_bulk", format!("{{\"delete\":{{\"_index\":\"{index}\",\"_id\":\"1\"}}}}\n")).await,
        ] {
            let refused = refused.expect(401);
            assert_eq!(refused.error_type(), "security_exception", "{refused}");
            assert!(!refused.header("www-authenticate").is_empty(), "{refused}");
        }
    }

    // Who may only read.
    let refused = reader.put(&path, r#"{"n": 4}"#).await.expect(403);
    assert_eq!(refused.error_type(), "security_exception", "{refused}");
    let bulk = format!("{{\"delete\":{{\"_index\":\"{index}\",\"_id\":\"1\"}}}}\n");
    let answer = reader.post("/_bulk", bulk).await;
    let item = answer.json()["items"][0]["delete"]["status"].clone();
    assert!(answer.status == 403 || item == 403, "{answer}");
    assert_eq!(reader.get(&path).await.expect(200).json()["_source"]["n"], 1);

    operator.put(&format!("/{index}/_doc/2"), r#"{"n": 5}"#).await.expect(201);
    stage.wait_settled().await;
    stage.wait_drained().await;
    let found = differences(&secured.operator(), &stage.backup(), &index).await.expect("both sides answer");
    assert!(found.is_empty(), "{found:?}");
    let count = stage.backup().get(&format!("/{index}/_count")).await.expect(200).json()["count"].clone();
    assert_eq!(count, 12);
}

/// A node that shows the certificate of another authority gets nothing, and the gateway says why; the right file in the
/// place of the wrong one is used without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_certificate_is_refused_and_replaced_files_are_used_without_a_restart() {
    let _turn = TURN.lock().await;
    let secured = Secured::start().await;
    let stage = stage("foreign certificate", &secured);
    let foreign = Authority::new(stage.folder().join("foreign"));
    let stage = stage.set("clusters.primary.ca_file", foreign.ca_file().display().to_string());
    let gateway = stage.gateway_that_answers().await;
    let through = stage.through(&gateway).as_user("operator", Secured::PASSWORD);
    let index = stage.index("i");
    let path = format!("/{index}/_doc/1");

    let refused = through.get(&path).await.expect(503);
    assert_eq!(refused.error_type(), "primary_unavailable_exception", "{refused}");
    assert!(refused.text().contains("certificate"), "{refused}");
    through.put(&path, r#"{"n": 1}"#).await.expect(503);
    let said =
        async || gateway.log().lines().any(|line| line.contains("a node is out") && line.contains("certificate"));
    eventually(SOON, "the gateway's log says what is wrong", said).await;

    std::fs::copy(secured.authority().ca_file(), foreign.ca_file()).expect("the file can be replaced");
    let taken = async || through.put(&path, r#"{"n": 1}"#).await.status == 201;
    eventually(SOON, "a write is taken", taken).await;
    assert_eq!(through.get(&path).await.expect(200).json()["_source"]["n"], 1);
}
