//! What operators meet: configuration errors, help, admin ports, draining, `understudy verify`, metrics.

mod manual;
mod metrics;

use std::{process::Output, time::Duration};

use serde_json::{Value, json};
use understudy_tests::{Fake, FakeAnswer, Stage, eventually};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const GATEWAY: &str = "understudy-gateway";
const CONSUMER: &str = "understudy-consumer";

#[tokio::test(flavor = "multi_thread")]
async fn every_configuration_error_is_told_at_once_with_exit_64() {
    let stage = Stage::new("config errors")
        .set("kafka.partitions", "many")
        .set("gateway.colour", "red")
        .set("consumer.linger", 5)
        .set("clusters.Backup2.urls", vec!["https://127.0.0.1:1"])
        .set("clusters.primary.password_file", "/nowhere/at/all")
        .set("clusters.primary.password", "never-printed");
    for (program, arguments) in [
        (GATEWAY, vec![]),
        (GATEWAY, vec!["--check-config"]),
        (CONSUMER, vec!["--target", "backup"]),
        ("understudy", vec!["verify"]),
    ] {
        let output = stage.run(program, &arguments).await;
        let said = text(&output);
        assert_eq!(output.status.code(), Some(64), "{program}: {said}");
        for key in [
            "kafka.partitions",
            "gateway.colour",
            "consumer.linger",
            "clusters.Backup2",
            "clusters.primary.password_file",
        ] {
            assert!(said.contains(key), "{program}: {key} in {said}");
        }
        assert!(!said.contains("never-printed"), "{program}: {said}");
        assert!(!said.contains("is listening"), "no port was bound: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_configuration_is_called_good() {
    let stage = Stage::new("config is good");
    assert_eq!(stage.run(GATEWAY, &["--check-config"]).await.status.code(), Some(0));
    assert_eq!(stage.run(CONSUMER, &["--target", "backup", "--check-config"]).await.status.code(), Some(0));
    let output = stage.run(CONSUMER, &["--target", "nobody", "--check-config"]).await;
    assert!(output.status.code() == Some(64) && text(&output).contains("backup"), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_answers() {
    let stage = Stage::new("admin port");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    for (process, names) in [
        (&gateway, ["understudy_requests_total", "understudy_open_intents", "understudy_writes_open"]),
        (&consumer, ["understudy_lag_records", "understudy_lag_seconds", "understudy_target_up"]),
    ] {
        let admin = process.admin();
        admin.get("/livez").await.expect(200);
        admin.get("/readyz").await.expect(200);
        admin.get("/nothing").await.expect(404);
        // It shows, and changes nothing: there is nothing that would need a token.
        for path in ["/livez", "/readyz", "/metrics", "/nothing"] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
                let refused = admin.request(method, path).body("{}").reply().await.expect(405);
                assert_eq!(refused.header("allow"), "GET, HEAD");
            }
        }
        stage.through(&gateway).get("/").await.expect(200);
        for name in names {
            eventually(Duration::from_secs(30), name, async || process.metrics().await.has(name)).await;
        }
        let page = admin.get("/metrics").await.expect(200);
        assert!(page.header("content-type").starts_with("text/plain"));
        assert!(page.text().contains("# HELP"));
    }
}

/// SIGTERM: not ready at once, running requests end, new connections are refused, exit 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_drains() {
    let stage = Stage::new("a gateway drains");
    let fake = Fake::before(stage.primary(), |request| {
        let slow = request.method == "PUT" && request.path.contains("/_doc/");
        if slow { FakeAnswer::real().after(Duration::from_secs(3)) } else { FakeAnswer::real() }
    });
    let fake = fake.await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let mut gateway = stage.gateway().await;
    let index = stage.index("i");
    let call = stage.through(&gateway).request("PUT", &format!("/{index}/_doc/1")).body("{}");
    let write = tokio::spawn(call.reply());
    let under_way = async || fake.requests().iter().any(|request| request.path.contains("/_doc/1"));
    eventually(Duration::from_secs(10), "the write is under way", under_way).await;
    assert_eq!(gateway.metric("understudy_open_intents", &[]).await, 1.0);
    assert!(gateway.metric("understudy_oldest_open_intent_seconds", &[]).await > 0.0);
    gateway.terminate();
    let admin = gateway.admin();
    let draining = async || admin.request("GET", "/readyz").send().await.is_ok_and(|reply| reply.status == 503);
    eventually(Duration::from_secs(2), "it is not ready", draining).await;
    write.await.expect("it ends").expect(201);
    assert!(gateway.ended().await.success());
    stage.wait_settled().await;
    assert_eq!(stage.records("target.backup").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_may_be_json() {
    let stage = Stage::new("logs are json").set("log.format", "json").set("log.level", "debug");
    let gateway = stage.gateway().await;
    let index = stage.index("i");
    let reply = stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    let id = reply.header("understudy-request-id").to_owned();
    let lines: Vec<Value> =
        gateway.log().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert!(lines.iter().any(|line| line["request"] == id && line["status"] == 201), "{id}");
}

/// Foreign topics of our names are not taken as they are.
#[tokio::test(flavor = "multi_thread")]
async fn topics_that_are_not_as_they_must_be_close_the_gate() {
    let stage = Stage::new("topics are checked").set("kafka.partitions", 3);
    stage.create_topics().await;
    let stage = stage.set("kafka.partitions", 4);
    let gateway = stage.gateway_that_answers().await;
    let index = stage.index("i");
    let through = stage.through(&gateway);
    let said = async || {
        let reply = through.put(&format!("/{index}/_doc/1"), "{}").await.expect(503);
        if reply.text().contains("3 partitions and 4 are configured") { Ok(()) } else { Err(reply.text()) }
    };
    eventually(Duration::from_secs(20), "the reason is told", said).await;
    assert_eq!(gateway.metric("understudy_writes_open", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_tells_equal_from_different() {
    let stage = Stage::new("verify");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let bulk: String = (0..1200)
        .map(|n| format!("{{\"index\":{{\"_id\":\"{n}\",\"routing\":\"{}\"}}}}\n{{\"n\":1.10}}\n", n % 5))
        .collect();
    through.post(&format!("/{index}/_bulk"), bulk).await.expect(200);
    stage.wait_drained().await;
    let verify = async || {
        let output = stage.run("understudy", &["verify", "--json", "--settle", "1s"]).await;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        (output.status.code(), report)
    };
    let (code, report) = verify().await;
    assert_eq!((code, &report["result"]), (Some(0), &json!("equal")), "{report}");
    let backup = stage.backup();
    backup.delete(&format!("/{index}/_doc/7?routing=2")).await.expect(200);
    backup.put(&format!("/{index}/_doc/8?routing=3"), "{\"n\":1.1}").await.expect(200);
    backup.put(&format!("/{index}/_doc/extra"), "{}").await.expect(201);
    let (code, report) = verify().await;
    assert_eq!((code, &report["result"]), (Some(1), &json!("different")), "{report}");
    let counted = &report["comparisons"][0]["indices"][0];
    assert_eq!(
        (&counted["missing"], &counted["different"], &counted["extra"]),
        (&json!(1), &json!(1), &json!(1)),
        "{counted}"
    );
}
