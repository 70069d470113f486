//! Writes that are replicated: what their clients see, and what stands in the log.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use understudy_tests::{Stage, eventually, try_eventually};

use crate::twins::Twins;

/// The same writes directly and through the gateway get the same replies.
#[tokio::test(flavor = "multi_thread")]
async fn replies_are_those_of_the_primary() {
    let stage = Stage::new("replies are the primarys");
    let gateway = stage.gateway().await;
    let twins = Twins::new(&stage, &gateway);
    let bulk = "{\"index\":{\"_id\":\"1\"}}\r\n{\"n\":1}\r\n{\"create\":{\"_id\":\"1\"}}\r\n{\"n\":2}\r\n{\"delete\":{\"_id\":\"9\"}}\r\n\
                {\"index\":{\"_id\":\"2\",\"routing\":\"r\"}}\n{\"n\":\"no number\"}\n{\"create\":{\"_id\":3}}\n{\"n\":3}\n{\"delete\":{\"_id\":\"3\"}}\n";
    let calls = [
        ("PUT", "_doc/a%2Fb", "{\"n\":1}"),
        ("PUT", "_doc/a%2Fb?pretty", "{\n\"n\":2}\n"),
        ("POST", "_doc/x?refresh=wait_for&human&format=json", "{}"),
        ("PUT", "_create/y?routing=r&timeout=5s&wait_for_active_shards=1", "{}"),
        ("POST", "_create/y?routing=r", "{}"),
        ("PUT", "_doc/y?op_type=create&pretty", "{}"),
        ("PUT", "_doc/x?if_seq_no=777&if_primary_term=1", "{}"),
        ("PUT", "_doc/x?filter_path=result,_shards.total", "{}"),
        ("PUT", "_doc/x?filter_path=-_shards,-_seq_no&pretty=true", "{}"),
        ("PUT", "_doc/bad", "{\"n\":"),
        ("PUT", "_doc/bad?filter_path=error.type&pretty", "{\"n\":"),
        ("PUT", "_doc/x?wait_for_active_shards=nonsense", "{}"),
        ("PUT", "_doc/x?if_seq_no=1", "{}"),
        ("POST", "_bulk", bulk),
        ("POST", "_bulk?pretty", bulk),
        ("PUT", "_bulk?filter_path=errors,items.*.status,items.*.error.type", bulk),
        ("POST", "_bulk?filter_path=items.index._id&pretty", bulk),
        ("POST", "_bulk?routing=q&refresh=true", bulk),
        ("DELETE", "_doc/x", ""),
        ("DELETE", "_doc/x?pretty", ""),
        ("DELETE", "_doc/x?if_seq_no=1&if_primary_term=1", ""),
    ];
    for call in calls {
        twins.same(call, true).await;
    }
    let (ours, theirs) = twins.documents().await;
    assert_eq!(ours, theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_effect_stands_in_the_log_with_the_clients_bytes() {
    let stage = Stage::new("effects stand in the log");
    let gateway = stage.gateway().await;
    let through = stage.through(&gateway);
    let index = stage.index("bytes");
    let awkward = r#"{"b":1.10,"a":123456789012345678901234567890,"ü":"\u00e4\n","a b":{},"a.c":[ 1 , 2 ]}"#;
    // The fields stay unread, so that nothing is said of their types.
    let unread = json!({"mappings": {"enabled": false}}).to_string();
    stage.primary().put(&format!("/{index}"), unread).await.expect(200);
    through.put(&format!("/{index}/_doc/1?routing=r%2F1"), awkward).await.expect(201);
    through.put(&format!("/{index}/_doc/1?routing=r%2F1"), "{\r\n  \"b\": \"x\\ny\"\n}").await.expect(200);
    through.delete(&format!("/{index}/_doc/1?routing=r%2F1")).await.expect(200);
    through.delete(&format!("/{index}/_doc/none")).await.expect(404);
    through.put(&format!("/{index}/_doc/bad"), "{\"b\":").await.expect(400);
    let bulk = through
        .post(&format!("/{index}/_bulk"), "{\"index\":{}}\n{\"b\":2}\n{\"create\":{}}\n{\"b\":3}\n")
        .await
        .expect(200)
        .json();
    let id = |place: usize, action: &str| bulk["items"][place][action]["_id"].as_str().unwrap().to_owned();
    let (one, two) = (id(0, "index"), id(1, "create"));
    assert!(one.len() == 20 && two.len() == 20 && one != two, "{bulk}");
    let posted = through.post(&format!("/{index}/_doc"), "{\"b\":4}").await.expect(201).json();
    assert_eq!(posted["_id"].as_str().unwrap().len(), 20);

    let mut lines: Vec<(u64, String)> = Vec::new();
    for record in stage.records("target.backup").await {
        let value = String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
        let mut rest = value.lines();
        while let Some(action) = rest.next() {
            let fields: Value = serde_json::from_str(action).unwrap();
            let (name, fields) = fields.as_object().unwrap().iter().next().unwrap();
            let source = if name == "index" { rest.next().unwrap() } else { "" };
            assert_eq!(fields["_index"], json!(index));
            let document = format!("{name} {} {} {source}", fields["_id"].as_str().unwrap(), fields["routing"]);
            lines.push((fields["version"].as_u64().unwrap() & ((1 << 40) - 1), document));
        }
        assert_eq!(record.headers["understudy-format"], "1");
        assert_eq!(record.headers["understudy-epoch"], "1");
    }
    lines.sort();
    // Each write has the primary's own place; what failed has none, a delete of nothing has one.
    let wanted = [
        format!("index 1 \"r/1\" {awkward}"),
        "index 1 \"r/1\" {    \"b\": \"x\\ny\" }".to_owned(),
        "delete 1 \"r/1\" ".to_owned(),
        "delete none null ".to_owned(),
        format!("index {one} null {{\"b\":2}}"),
        format!("index {two} null {{\"b\":3}}"),
        format!("index {} null {{\"b\":4}}", posted["_id"].as_str().unwrap()),
    ];
    assert_eq!(lines.iter().map(|(_, line)| line.clone()).collect::<Vec<_>>(), wanted);
    stage.wait_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bulks_are_replicated_and_compressed_replies_given() {
    let stage = Stage::new("compressed bulks");
    let gateway = stage.gateway().await;
    let index = stage.index("zipped");
    let bulk: String = (0..50).map(|n| format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n")).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bulk.as_bytes()).unwrap();
    let call = stage.through(&gateway).request("POST", &format!("/{index}/_bulk"));
    let reply = call
        .header("content-encoding", "gzip")
        .header("accept-encoding", "gzip")
        .body(encoder.finish().unwrap())
        .reply()
        .await
        .expect(200);
    assert_eq!(reply.header("content-encoding"), "gzip");
    assert_eq!(crate::effects(&stage).await.len(), 50);
}

/// A client that goes away does not stop its write in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_outlives_its_client() {
    let stage = Stage::new("a write outlives its client");
    let gateway = stage.gateway().await;
    let index = stage.index("left");
    let hurried = stage.through(&gateway).request("PUT", &format!("/{index}/_doc/1")).body("{}");
    // The index has to be created first, which takes longer.
    let _ = hurried.within(Duration::from_millis(15)).send().await;
    let direct = stage.primary();
    let found =
        try_eventually(Duration::from_secs(5), async || direct.get(&format!("/{index}/_doc/1")).await.status == 200);
    if found.await.is_ok() {
        eventually(Duration::from_secs(10), "its effect is in the log", async || {
            crate::effects(&stage).await.len() == 1
        })
        .await;
    }
    stage.wait_settled().await;
}
