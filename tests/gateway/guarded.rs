//! What a write assumed must have been true while the primary applied it; what cannot be known is told as such.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, FakeRequest, Http, Process, Reply, Stage, eventually};

/// A gateway whose primary is the real one behind a fake.
async fn behind(name: &str, script: impl FnMut(&FakeRequest) -> FakeAnswer + Send + 'static) -> (Stage, Fake, Process) {
    let stage = Stage::new(name);
    let fake = Fake::before(stage.primary(), script).await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let gateway = stage.gateway().await;
    (stage, fake, gateway)
}

fn is_write(request: &FakeRequest) -> bool {
    request.method != "GET"
        && (request.path.contains("/_doc/") || request.path.contains("_bulk") || request.path.contains("/_create/"))
}

/// Holds the answers of writes long enough for a test to change the primary in the middle.
fn hold(request: &FakeRequest) -> FakeAnswer {
    if is_write(request) { FakeAnswer::real().after(Duration::from_secs(2)) } else { FakeAnswer::real() }
}

/// Sends a write, and runs `change` when the primary has it and the gateway has no answer yet.
async fn in_the_middle(through: Http, direct: &Http, path: String, change: impl AsyncFnOnce()) -> Reply {
    let call = through.request("PUT", &path).body("{\"n\":1}");
    let write = tokio::spawn(call.reply());
    let written = async || direct.get(&path).await.status == 200;
    eventually(Duration::from_secs(10), "the primary has the document", written).await;
    change().await;
    write.await.expect("the write comes to an end")
}

async fn stays_open(stage: &Stage, reply: &Reply, kind: &str, effects: usize) {
    assert!(reply.status == 500 && reply.error_type() == kind, "{kind}: {reply}");
    assert_eq!(crate::effects(stage).await.len(), effects);
    let open = stage.open_intents().await;
    assert!(open.contains_key(reply.header("understudy-request-id")), "{open:?}");
}

/// At the second look things are not what they were before the write: the reconciler has the last word.
async fn left_open(gateway: &Process) {
    let left = async || gateway.metric("understudy_intents_left_open_total", &[]).await == 1.0;
    eventually(Duration::from_secs(20), "the gateway leaves the intent open", left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_settings_in_the_middle_is_observed() {
    let (stage, _fake, gateway) = behind("settings change in the middle", hold).await;
    let (direct, index) = (stage.primary(), stage.index("i"));
    direct.put(&format!("/{index}"), "{}").await.expect(200);
    let reply = in_the_middle(stage.through(&gateway), &direct, format!("/{index}/_doc/1"), async || {
        let settings = json!({"index.default_pipeline": "gone-in-a-moment"}).to_string();
        direct.put(&format!("/{index}/_settings"), settings).await.expect(200);
        direct
            .put(&format!("/{index}/_settings"), json!({"index.default_pipeline": null}).to_string())
            .await
            .expect(200);
    });
    reply.await.expect(201);
    assert_eq!(crate::effects(&stage).await.len(), 1);
    let effect = stage.records("target.backup").await.pop().expect("an effect");
    assert_eq!(effect.headers["understudy-lines"], "{\"0\":{\"observed\":true}}");
    left_open(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_made_anew_in_the_middle_is_observed() {
    let (stage, _fake, gateway) = behind("made anew in the middle", hold).await;
    let (direct, index) = (stage.primary(), stage.index("i"));
    direct.put(&format!("/{index}"), "{}").await.expect(200);
    let reply = in_the_middle(stage.through(&gateway), &direct, format!("/{index}/_doc/1"), async || {
        direct.delete(&format!("/{index}")).await.expect(200);
        direct.put(&format!("/{index}"), "{}").await.expect(200);
    });
    // The document went with its index; in the new one nothing ever happened to it.
    reply.await.expect(201);
    assert!(crate::effects(&stage).await.is_empty());
    left_open(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_changed_in_the_middle_is_published_first() {
    let (stage, _fake, gateway) = behind("mapping changes in the middle", hold).await;
    let (direct, index) = (stage.primary(), stage.index("i"));
    direct.put(&format!("/{index}"), "{}").await.expect(200);
    let reply = in_the_middle(stage.through(&gateway), &direct, format!("/{index}/_doc/1"), async || {
        let mapping = json!({"properties": {"later": {"type": "ip"}}}).to_string();
        direct.put(&format!("/{index}/_mapping"), mapping).await.expect(200);
    });
    reply.await.expect(201);
    let schema = stage.records("schema").await.pop().expect("a schema").json();
    assert_eq!(schema["mappings"]["properties"]["later"]["type"], "ip");
    let effect = stage.records("target.backup").await.pop().expect("an effect");
    let needs: serde_json::Value = serde_json::from_str(&effect.headers["understudy-indices"]).unwrap();
    assert_eq!(needs[&index]["mapping"], schema["mapping_version"]);
    stage.wait_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_while_the_state_moved_is_observed() {
    let (stage, fake, gateway) = behind("conflict while the state moves", hold).await;
    let (direct, index) = (stage.primary(), stage.index("i"));
    direct.put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    let create = async |changes: bool| {
        let call = stage.through(&gateway).request("PUT", &format!("/{index}/_create/1")).body("{}");
        let write = tokio::spawn(call.reply());
        if changes {
            let sent = async || fake.requests().iter().any(is_write);
            eventually(Duration::from_secs(10), "the primary was asked", sent).await;
            direct.put(&format!("/{}", stage.index("another")), "{}").await.expect(200);
        }
        write.await.expect("it ends")
    };
    create(true).await.expect(409);
    let effects = crate::effects(&stage).await;
    assert_eq!(effects[0]["index"]["version_type"], "external_gte", "{effects:?}");
    // Other tests move the state as well; while it rests, a conflict is a conflict.
    fake.now(|_| FakeAnswer::real());
    let rests = async || create(false).await.status == 409;
    eventually(Duration::from_secs(20), "a conflict while the state rests", rests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_are_unknown() {
    let broken = |request: &FakeRequest| match request.path.as_str() {
        path if !is_write(request) => {
            let _ = path;
            FakeAnswer::real()
        }
        path if path.contains("truncated") => FakeAnswer::real().truncated(),
        path if path.contains("reset") => FakeAnswer::real().reset(),
        path if path.contains("html") => FakeAnswer::html(200),
        path if path.contains("502") => FakeAnswer::html(502),
        path if path.contains("empty") => FakeAnswer::json(200, "{}"),
        path if path.contains("silent") => FakeAnswer::real().silent(),
        _ => FakeAnswer::real(),
    };
    // A write that may have been sent later than `intent_timeout` would open another intent.
    let stage =
        Stage::new("answers that are none").set("gateway.primary_timeout", "2s").set("gateway.intent_timeout", "4s");
    let fake = Fake::before(stage.primary(), broken).await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/first"), "{}").await.expect(201);
    for id in ["truncated", "reset", "html", "502", "empty", "silent"] {
        let reply = through.put(&format!("/{index}/_doc/{id}"), "{}").await;
        stays_open(&stage, &reply, "outcome_unknown_exception", 1).await;
        let sent = fake.requests().iter().filter(|request| is_write(request) && request.path.contains(id)).count();
        assert_eq!(sent, 1, "[{id}] is sent once");
    }
    // An item that failed in a way that may have been applied spoils its bulk, and what is sure is published.
    let open = stage.open_intents().await.len();
    assert_eq!(open, 6);
    assert_eq!(gateway.metric("understudy_intents_left_open_total", &[]).await, 6.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_item_leaves_the_intent_open_and_the_others_published() {
    let script = |request: &FakeRequest| {
        if !is_write(request) {
            return FakeAnswer::real();
        }
        let index = request.path.split('/').nth(1).unwrap_or_default();
        FakeAnswer::json(200, json!({"took": 1, "errors": true, "items": [
            {"index": {"_index": index, "_id": "1", "result": "created", "_seq_no": 0, "_primary_term": 1, "status": 201}},
            {"index": {"_index": index, "_id": "2", "status": 503, "error": {"type": "unavailable_shards_exception", "reason": "x"}}},
        ]}).to_string())
    };
    let (stage, _fake, gateway) = behind("an unknown item", script).await;
    let index = stage.index("i");
    stage.primary().put(&format!("/{index}"), "{}").await.expect(200);
    let bulk = "{\"index\":{\"_id\":\"1\"}}\n{}\n{\"index\":{\"_id\":\"2\"}}\n{}\n";
    let reply = stage.through(&gateway).post(&format!("/{index}/_bulk"), bulk).await;
    stays_open(&stage, &reply, "outcome_unknown_exception", 1).await;
}

/// Nothing of the gateway's own is added on the way, and nothing of the client's is lost.
#[tokio::test(flavor = "multi_thread")]
async fn requests_reach_the_primary_as_they_were_sent() {
    let script = |request: &FakeRequest| {
        if request.path.starts_with("/x/") { FakeAnswer::json(418, "{ \"odd\":1.10 }") } else { FakeAnswer::real() }
    };
    let (stage, fake, gateway) = behind("requests pass as they are", script).await;
    let call = stage.through(&gateway).request("POST", "/x/_search?q=a%2Fb;c&pretty").header("x-opaque-id", "mine");
    let call = call.header("authorization", "Basic abc").header("connection", "x-hop").header("x-hop", "1");
    let reply = call.body("{\n \"size\" : 0 }").reply().await.expect(418);
    assert_eq!(reply.text(), "{ \"odd\":1.10 }");
    let seen = fake.requests().into_iter().find(|request| request.path.starts_with("/x/")).expect("it was forwarded");
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/x/_search?q=a%2Fb;c&pretty"));
    assert_eq!(seen.text(), "{\n \"size\" : 0 }");
    assert_eq!((seen.header("x-opaque-id"), seen.header("authorization")), ("mine", "Basic abc"));
    assert_eq!(seen.header("x-hop"), "", "what belongs to a connection stays behind");
}
