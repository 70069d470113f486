//! A field's type on the backup is the primary's, never guessed.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, Stage, eventually};

/// Two documents whose order would decide a guessed mapping, written in one order and published in the other.
async fn published_in_reverse(name: &str, first: &str, second: &str) {
    let stage = Stage::new(name);
    let primary = stage.primary();
    // The answer to the first write is held, so that the second one is published and applied before it.
    let fake = Fake::before(primary.clone(), |request| {
        let held = request.method == "PUT" && request.path.contains("/_doc/first");
        if held { FakeAnswer::real().after(Duration::from_secs(4)) } else { FakeAnswer::real() }
    });
    let fake = fake.await;
    let direct = stage.gateway().await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let held = stage.gateway().await;
    let _consumer = stage.consumer().await;
    let index = stage.index("order");
    let call = stage.through(&held).request("PUT", &format!("/{index}/_doc/first")).body(first.to_owned());
    let first_write = tokio::spawn(call.reply());
    let there = async || primary.get(&format!("/{index}/_doc/first")).await.status == 200;
    eventually(Duration::from_secs(10), "the primary has the first", there).await;
    stage.through(&direct).put(&format!("/{index}/_doc/second"), second.to_owned()).await.expect(201);
    let backup = stage.backup();
    let applied = async || backup.get(&format!("/{index}/_doc/second")).await.status == 200;
    eventually(Duration::from_secs(20), "the backup has the second", applied).await;
    assert_eq!(backup.get(&format!("/{index}/_doc/first")).await.status, 404, "it was published in reverse");
    first_write.await.expect("it ends").expect(201);
    stage.assert_converges(&index).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_number_before_a_fraction() {
    published_in_reverse("whole before fraction", "{\"n\":1}", "{\"n\":1.5}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_before_a_date() {
    published_in_reverse("text before date", "{\"n\":\"x\"}", "{\"n\":\"2026-01-01\"}").await;
}

/// The backup's index is made from the primary's: shards, settings, mapping; with its own memory of deletes.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_made_as_on_the_primary() {
    let stage = Stage::new("made as on the primary").set("clusters.backup.index_settings.number_of_replicas", 0);
    let gateway = stage.gateway().await;
    let _consumer = stage.consumer().await;
    let (through, index) = (stage.through(&gateway), stage.index("shaped"));
    let body = json!({
        "settings": {"number_of_shards": 3, "number_of_routing_shards": 6, "number_of_replicas": 1, "refresh_interval": "7s",
            "analysis": {"analyzer": {"plain": {"type": "custom", "tokenizer": "standard"}}}},
        "mappings": {"dynamic": "strict", "_meta": {"owner": "us"}, "_routing": {"required": true},
            "properties": {"t": {"type": "text", "analyzer": "plain"}, "o": {"type": "object", "enabled": false}}},
    });
    through.put(&format!("/{index}"), body.to_string()).await.expect(200);
    through.put(&format!("/{index}/_doc/1?routing=a"), "{\"t\":\"x\"}").await.expect(201);
    // The same id under another routing is another document.
    through.put(&format!("/{index}/_doc/1?routing=b"), "{\"t\":\"y\"}").await.expect(201);
    through.put(&format!("/{index}/_doc/2"), "{\"t\":\"y\"}").await.expect(400);
    let extend = json!({"properties": {"later": {"type": "keyword"}}}).to_string();
    through.put(&format!("/{index}/_mapping"), extend).await.expect(200);
    through.put(&format!("/{index}/_doc/3?routing=a"), "{\"later\":\"k\"}").await.expect(201);
    stage.assert_converges(&index).await;

    let made = stage.backup().get(&format!("/{index}?flat_settings=true")).await.expect(200).json();
    let (settings, mappings) = (&made[&index]["settings"], &made[&index]["mappings"]);
    for (name, value) in [
        ("index.number_of_shards", "3"),
        ("index.number_of_replicas", "0"),
        ("index.refresh_interval", "7s"),
        ("index.gc_deletes", "1d"),
        ("index.analysis.analyzer.plain.tokenizer", "standard"),
    ] {
        assert_eq!(settings[name], value, "{name} in {settings}");
    }
    assert_eq!(mappings["_meta"]["owner"], "us");
    assert_eq!(mappings["_meta"]["understudy"]["uuid"], crate::uuid(&stage.primary(), &index).await);
    // What ids are hashed over is no setting any more once an index exists.
    let path = format!("/_cluster/state/metadata/{index}?filter_path=metadata.indices.*.routing_num_shards");
    let hashed = stage.backup().get(&path).await.expect(200).json();
    assert_eq!(hashed["metadata"]["indices"][&index]["routing_num_shards"], 6);
}

/// A mapping that is extended reaches the backup also when no document needs it.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_without_effects_reaches_the_backup() {
    let stage = Stage::new("mapping without effects");
    let gateway = stage.gateway().await;
    let mut consumer = stage.consumer().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(201);
    stage.assert_converges(&index).await;
    let extend = async |name: &str| {
        let body = json!({"properties": {name: {"type": "ip"}}}).to_string();
        through.put(&format!("/{index}/_mapping"), body).await.expect(200);
    };
    let backup = stage.backup();
    let arrives = async |name: &str| {
        let has = async || backup.get(&format!("/{index}/_mapping")).await.text().contains(name);
        eventually(Duration::from_secs(30), name, has).await;
    };
    extend("while-it-runs").await;
    arrives("while-it-runs").await;
    consumer.stop().await;
    extend("while-it-is-away").await;
    consumer.restart().await;
    arrives("while-it-is-away").await;
    stage.assert_equal(&index).await;
}

/// A template of the backup's own must not run a pipeline over what the primary's made already.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_the_backup_runs_no_pipeline() {
    let stage = Stage::new("a template of the backup");
    let (backup, index) = (stage.backup(), stage.index("i"));
    // A pipeline that does not exist refuses whatever should run through it.
    let template = json!({"index_patterns": [index], "settings": {"index.default_pipeline": index}}).to_string();
    backup.put(&format!("/_template/{index}"), template).await.expect(200);
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{\"n\":1}").await.expect(201);
    stage.wait_drained().await;
    let copied = backup.get(&format!("/{index}/_doc/1")).await;
    backup.delete(&format!("/_template/{index}")).await.expect(200);
    assert_eq!(copied.expect(200).json()["_source"], json!({"n": 1}));
    assert!(stage.records("dead.backup").await.is_empty());
}
