//! A primary that was killed: what the backup answers in its place, and what nobody does.

use std::time::Duration;

use serde_json::{Value, json};
use understudy_tests::{Http, Reply, Servers, Stage, eventually};

use crate::{DOWN, SOON, answers, everything, is_ready};

/// What a refusal must be.
#[track_caller]
fn is_refused(reply: &Reply, why: &str) {
    assert!(reply.status == 503 && reply.error_type() == "primary_unavailable_exception", "{reply}");
    let reason = reply.json()["error"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("cluster primary is down") && reason.contains(why), "{why}: {reply}");
    assert_eq!(reply.header("understudy-cluster"), "", "{reply}");
}

/// What an answer of the backup must be.
#[track_caller]
fn of_backup(reply: Reply) -> Reply {
    let reply = reply.expect(200);
    assert_eq!(reply.header("understudy-cluster"), "backup", "{reply}");
    assert!(!reply.header("understudy-lag-seconds").is_empty(), "{reply}");
    reply
}

fn hits(reply: &Value) -> usize {
    reply["hits"]["hits"].as_array().map_or(0, Vec::len)
}

async fn seven_documents(through: &Http, index: &str) {
    let lines: String = (0..7).map(|n| format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}.10}}\n")).collect();
    through.post(&format!("/{index}/_bulk?refresh=true"), lines).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backup_answers_reads_and_nobody_takes_writes() {
    let servers = Servers::take().await;
    let stage = Stage::new("reads of the backup");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    seven_documents(&through, &index).await;
    let path = format!("/{index}/_doc/1");
    let well = through.get(&path).await.expect(200);
    assert_eq!((well.header("understudy-cluster"), well.header("understudy-lag-seconds")), ("primary", ""));
    let open = async |cluster: &Http| {
        let reply = cluster.post(&format!("/{index}/_search?scroll=1m&size=4"), "{}").await.expect(200);
        json!({"scroll": "1m", "scroll_id": reply.json()["_scroll_id"]}).to_string()
    };
    let of_the_primary = open(&through).await;
    stage.assert_converges(&index).await;
    stage.wait_settled().await;
    stage.backup().post(&format!("/{index}/_refresh"), "").await.expect(200);
    is_ready(&gateway).await;

    servers.kill("primary").await;
    let got = answers(&through, &path, "backup", DOWN).await.expect(200);
    assert_eq!(gateway.metric("understudy_cluster_up", &[("cluster", "primary")]).await, 0.0);
    let text = got.text();
    assert!(text.contains("\"_source\":{\"n\":1.10}") && text.contains("\"_version\""), "{text}");
    assert!(!text.contains("_seq_no") && !text.contains("_primary_term"), "the backup's own: {text}");
    let none = async || {
        let reply = of_backup(through.get(&path).await);
        if reply.header("understudy-lag-seconds") == "0.0" {
            Ok(())
        } else {
            Err(reply.header("understudy-lag-seconds").to_owned())
        }
    };
    eventually(SOON, "the lag is measured", none).await;

    // Each kind of read.
    let root = of_backup(through.get("/").await).json();
    assert!(root["version"]["number"].is_string(), "{root}");
    assert_eq!(of_backup(through.get(&format!("/{index}/_source/2")).await).text(), "{\"n\":2.10}");
    for path in [&path, &format!("/{index}/_source/2"), "/"] {
        of_backup(through.request("HEAD", path).reply().await);
    }
    let missing = through.get(&format!("/{index}/_doc/none")).await.expect(404);
    assert_eq!((missing.header("understudy-cluster"), &missing.json()["found"]), ("backup", &json!(false)));
    let mget = of_backup(through.post(&format!("/{index}/_mget"), r#"{"ids":["1","none","3"]}"#).await);
    assert!(!mget.text().contains("_seq_no") && mget.text().contains("{\"n\":3.10}"), "{mget}");
    let found: Vec<Value> =
        mget.json()["docs"].as_array().expect("documents").iter().map(|found| found["found"].clone()).collect();
    assert_eq!(found, [json!(true), json!(false), json!(true)]);
    let docs = json!({"docs": [{"_index": index, "_id": "5"}]}).to_string();
    assert_eq!(of_backup(through.post("/_mget", docs).await).json()["docs"][0]["found"], true);
    let query = json!({"query": {"range": {"n": {"gte": 4}}}}).to_string();
    assert_eq!(hits(&of_backup(through.post(&format!("/{index}/_search"), query.clone()).await).json()), 3);
    assert_eq!(hits(&of_backup(through.get(&format!("/{index}*/_search?q=n:4.1")).await).json()), 1);
    let searches = format!("{{}}\n{query}\n{{\"index\":\"{index}\"}}\n{{\"size\":1}}\n");
    let several = of_backup(through.post(&format!("/{index}/_msearch"), searches).await).json();
    assert_eq!((hits(&several["responses"][0]), hits(&several["responses"][1])), (3, 1));
    assert_eq!(of_backup(through.get(&format!("/{index}/_count")).await).json()["count"], 7);
    assert_eq!(of_backup(through.post(&format!("/{index}/_count"), query).await).json()["count"], 3);
    let fields = of_backup(through.get(&format!("/{index}/_field_caps?fields=n")).await).json();
    assert!(fields["fields"]["n"].is_object(), "{fields}");

    // A scroll of the backup goes on, and ends; one of the primary does not.
    let cursor = open(&through).await;
    let second = of_backup(through.post("/_search/scroll", cursor.clone()).await).json();
    assert_eq!(hits(&second), 3);
    let end = cursor.replace("\"scroll\":\"1m\",", "");
    assert_eq!(of_backup(through.request("DELETE", "/_search/scroll").body(end).reply().await).json()["num_freed"], 1);
    for method in ["POST", "DELETE"] {
        let body =
            if method == "POST" { of_the_primary.clone() } else { of_the_primary.replace("\"scroll\":\"1m\",", "") };
        is_refused(&through.request(method, "/_search/scroll").body(body).reply().await, "its cursor lives there");
    }

    // What is not answered.
    for (method, path, body, why) in [
        ("GET", "/_cluster/health", "", "about that cluster itself"),
        ("GET", "/_cat/indices", "", "about that cluster itself"),
        ("GET", "/_nodes", "", "about that cluster itself"),
        ("GET", "/_tasks", "", "about that cluster itself"),
        ("GET", "/_snapshot", "", "about that cluster itself"),
        ("GET", "/_async_search/abc", "", "a cursor that lives there"),
        ("POST", &format!("/{index}/_pit?keep_alive=1m"), "", "a cursor that lives there"),
        ("POST", "/_search", r#"{"pit":{"id":"abc"}}"#, "every index"),
        ("DELETE", "/_search/scroll/_all", "", "every cursor"),
        ("GET", &format!("/{index}/_mapping"), "", "answers in its place only"),
        ("POST", &format!("/{index}/_refresh"), "", "answers in its place only"),
        ("GET", "/other/_doc/1", "", "only indices that match"),
        ("GET", "/_search", "", "only indices that match"),
        ("POST", "/_mget", r#"{"docs":[{"_index":"other","_id":"1"}]}"#, "only indices that match"),
        ("GET", &format!("/{index}/_search?seq_no_primary_term=true"), "", "_seq_no"),
        ("POST", &format!("/{index}/_search"), r#"{"seq_no_primary_term":true}"#, "_seq_no"),
    ] {
        let mut call = through.request(method, path);
        if !body.is_empty() {
            call = call.body(body.to_owned());
        }
        is_refused(&call.reply().await, why);
    }
    through.get(&format!("{path}?format=yaml")).await.expect(406);

    // Writes are refused, and nothing of them comes to be.
    through.put(&format!("/{index}/_doc/down"), "{}").await.expect(503);
    let bulk = format!("{{\"index\":{{\"_index\":\"{index}\",\"_id\":\"down\"}}}}\n{{}}\n");
    through.post("/_bulk", bulk).await.expect(503);
    stage.backup().get(&format!("/{index}/_doc/down")).await.expect(404);

    servers.start("primary").await;
    let again = answers(&through, &path, "primary", SOON).await.expect(200);
    assert_eq!(again.header("understudy-lag-seconds"), "");
    assert!(again.text().contains("_seq_no"));
    stage.wait_settled().await;
    stage.assert_converges(&index).await;
    for cluster in [stage.primary(), stage.backup()] {
        cluster.get(&format!("/{index}/_doc/down")).await.expect(404);
    }
}

/// The header says how old what it does not have is.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_behind_says_so() {
    let servers = Servers::take().await;
    let stage = everything("reads of a backup behind");
    let (gateway, mut consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let path = format!("/{index}/_doc/1");
    through.put(&path, "{\"n\":1}").await.expect(201);
    stage.assert_converges(&index).await;
    is_ready(&gateway).await;
    consumer.stop().await;
    through.put(&path, "{\"n\":2}").await.expect(200);
    stage.wait_settled().await;
    servers.kill("primary").await;
    answers(&through, &path, "backup", DOWN).await;
    let lags = async || {
        let reply = of_backup(through.get(&path).await);
        let lag = reply.header("understudy-lag-seconds").to_owned();
        lag.parse::<f64>().ok().filter(|lag| *lag > 2.0).ok_or(lag)
    };
    let first = eventually(SOON, "the lag is told", lags).await;
    assert_eq!(of_backup(through.get(&path).await).json()["_source"]["n"], 1, "an old state, and the header says so");
    let grows = async || lags().await.is_ok_and(|lag| lag > first + 1.0);
    eventually(SOON, "it grows", grows).await;
    // Kafka does not say any more.
    servers.kill("kafka").await;
    let unknown = async || of_backup(through.get(&path).await).header("understudy-lag-seconds") == "unknown";
    eventually(SOON, "the lag is unknown", unknown).await;
    servers.start("kafka").await;
    consumer.restart().await;
    let none = async || {
        let reply = of_backup(through.get(&path).await);
        reply.header("understudy-lag-seconds") == "0.0" && reply.json()["_source"]["n"] == 2
    };
    eventually(Duration::from_secs(120), "a standby without its primary has everything", none).await;
    // In this placement every index may be asked for.
    of_backup(through.get("/_search?size=1").await);
    is_refused(&through.post("/_search", r#"{"pit":{"id":"abc"}}"#).await, "its point in time lives there");
}

/// Two clusters down.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_backup_the_refusal_names_both() {
    let servers = Servers::take().await;
    let stage = Stage::new("nobody answers reads");
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let path = format!("/{index}/_doc/1");
    through.put(&path, "{}").await.expect(201);
    is_ready(&gateway).await;
    servers.kill("backup").await;
    servers.kill("primary").await;
    let refused = async || {
        let reply = through.get(&path).await.expect(503);
        let reason = reply.json()["error"]["reason"].as_str().unwrap_or_default().to_owned();
        if reason.contains("no other cluster") && reason.contains("backup: ") { Ok(()) } else { Err(reason) }
    };
    eventually(SOON, "both are named", refused).await;
    servers.start("backup").await;
    answers(&through, &path, "backup", SOON).await;
}
