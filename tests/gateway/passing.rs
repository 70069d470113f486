//! All that is not a write passes as it is.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::json;
use understudy_tests::{Http, Reply, Stage};

/// What must be the same through the gateway as directly.
async fn same(
    direct: &Http,
    through: &Http,
    method: &str,
    path: &str,
    body: Option<&str>,
    headers: &[(&str, &str)],
) -> Reply {
    let ask = async |http: &Http| {
        let mut call = http.request(method, path);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        if let Some(body) = body {
            call = call.body(body.to_owned());
        }
        call.reply().await
    };
    let (wanted, got) = (ask(direct).await, ask(through).await);
    assert_eq!(got.status, wanted.status, "{got}");
    for header in ["content-type", "content-length", "content-encoding", "x-elastic-product", "warning", "location"] {
        assert_eq!(got.header(header), wanted.header(header), "{header} of {method} {path}");
    }
    if !path.contains("_search") {
        assert_eq!(got.body, wanted.body, "{method} {path}");
    }
    got
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_the_primarys_own_bytes() {
    let stage = Stage::new("reads pass");
    let gateway = stage.gateway().await;
    let (direct, through) = (stage.primary(), stage.through(&gateway));
    let flights = stage.index("flights");
    direct.put(&format!("/{flights}/_doc/a%2Fb%20c?refresh=true"), "{\n \"n\": 1.10\n}").await.expect(201);
    for (method, path, body) in [
        ("GET", "/", None),
        ("HEAD", "/", None),
        ("GET", "/_cat/indices/nothing-*?v&h=index", None),
        ("GET", &*format!("/{flights}/_doc/a%2Fb%20c?pretty"), None),
        ("HEAD", &format!("/{flights}/_doc/a%2Fb%20c"), None),
        ("HEAD", &format!("/{flights}/_doc/none"), None),
        ("GET", &format!("/{flights}/_doc/none"), None),
        ("GET", &format!("/{flights}/_mapping?pretty=true"), None),
        ("GET", "/nothing/_search?format=yaml", None),
        ("POST", &format!("/{flights}/_mget?filter_path=docs._source"), Some(r#"{"ids":["a/b c"]}"#)),
        ("GET", &format!("/{flights}/_count"), Some(r#"{"query":{"match_all":{}}}"#)),
        ("POST", &format!("/{flights}/_search"), Some("{ bad json")),
        ("POST", "/_analyze", Some(r#"{"text":"ein Satz"}"#)),
        ("OPTIONS", "/", None),
    ] {
        same(&direct, &through, method, path, body, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_passes_both_ways() {
    let stage = Stage::new("compression passes");
    let gateway = stage.gateway().await;
    let (direct, through) = (stage.primary(), stage.through(&gateway));
    let flights = stage.index("flights");
    direct
        .put(&format!("/{flights}/_doc/1?refresh=true"), json!({"text": "x".repeat(5000)}).to_string())
        .await
        .expect(201);
    let got = same(&direct, &through, "GET", &format!("/{flights}/_doc/1"), None, &[("accept-encoding", "gzip")]).await;
    assert_eq!(got.header("content-encoding"), "gzip");
    let mut text = String::new();
    GzDecoder::new(&got.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.contains("xxxx"));

    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(br#"{"query":{"match_all":{}}}"#).unwrap();
    let compressed = encoder.finish().unwrap();
    let search =
        through.request("POST", &format!("/{flights}/_search")).header("content-encoding", "gzip").body(compressed);
    assert_eq!(search.reply().await.expect(200).json()["hits"]["total"]["value"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn scrolls_and_harmless_calls_pass() {
    let stage = Stage::new("scrolls pass");
    let gateway = stage.gateway().await;
    let (direct, through) = (stage.primary(), stage.through(&gateway));
    let flights = stage.index("flights");
    for id in 0..3 {
        direct.put(&format!("/{flights}/_doc/{id}"), "{}").await.expect(201);
    }
    through.post(&format!("/{flights}/_refresh"), "").await.expect(200);
    through.post(&format!("/{flights}/_flush"), "").await.expect(200);
    through.post(&format!("/{flights}/_forcemerge?max_num_segments=1"), "").await.expect(200);
    let first = through.post(&format!("/{flights}/_search?scroll=1m&size=2"), "{}").await.expect(200).json();
    let cursor = json!({"scroll": "1m", "scroll_id": first["_scroll_id"]}).to_string();
    let second = through.post("/_search/scroll", cursor).await.expect(200).json();
    assert_eq!(first["hits"]["hits"].as_array().unwrap().len() + second["hits"]["hits"].as_array().unwrap().len(), 3);
    let end = json!({"scroll_id": second["_scroll_id"]}).to_string();
    let cleared = through.request("DELETE", "/_search/scroll").body(end).reply().await.expect(200);
    assert_eq!(cleared.json()["num_freed"], 1);
}

/// A request and an answer that are far larger than what the gateway may hold pass through it.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_not_held_in_memory() {
    let stage = Stage::new("large bodies stream");
    let gateway = stage.gateway().await;
    let (direct, through) = (stage.primary(), stage.through(&gateway));
    let large = stage.index("large");
    let source = json!({"text": "x".repeat(5 << 20)}).to_string();
    direct.put(&format!("/{large}"), json!({"mappings": {"enabled": false}}).to_string()).await.expect(200);
    for id in 0..10 {
        direct.put(&format!("/{large}/_doc/{id}"), source.clone()).await.expect(201);
    }
    let before = peak_memory(gateway.pid());
    let ids: Vec<String> = (0..10).map(|id| id.to_string()).collect();
    let filler = " ".repeat(40 << 20);
    let body = format!("{{\"ids\":{}{filler}}}", json!(ids));
    let got = through.post(&format!("/{large}/_mget"), body).await.expect(200);
    assert!(got.body.len() > 50 << 20, "{}", got.body.len());
    let grown = peak_memory(gateway.pid()) - before;
    assert!(grown < 20 << 10, "the gateway took {grown} KiB more for 90 MiB that passed");
}

/// `VmHWM`, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
