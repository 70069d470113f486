//! Servers that die: each part that cannot be reached is said, and hides nothing else.

use serde_json::Value;
use understudy_tests::{Servers, Stage};

use crate::shows;

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_down() {
    let servers = Servers::take().await;
    let stage = Stage::new("status of servers that are down").set("status.max_lag", "1h");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    stage.assert_converges(&index).await;
    let both = [&gateway, &consumer];
    shows(&stage, &both, 0, &[]).await;

    servers.kill("backup").await;
    let (report, text) = shows(&stage, &both, 1, &["target_down"]).await;
    assert!(text.starts_with("NOT READY: backup: backup is down") && text.contains("DOWN"), "{text}");
    assert!(report["clusters"][1]["seen"]["error"].is_string() && known(&report, "/clusters/0/seen"), "{report:#}");
    assert!(known(&report, "/placements/0/targets/0/lag"), "{report:#}");
    servers.start("backup").await;
    shows(&stage, &both, 0, &[]).await;

    // That is when a standby is needed.
    servers.kill("primary").await;
    let (_, text) = shows(&stage, &both, 0, &["primary_down"]).await;
    assert!(text.starts_with("READY: backup") && text.contains("the primary primary is down"), "{text}");
    servers.start("primary").await;
    shows(&stage, &both, 0, &[]).await;

    servers.kill("kafka").await;
    let (report, text) = shows(&stage, &both, 2, &["kafka_unreachable"]).await;
    assert!(text.starts_with("CANNOT TELL: backup: Kafka at 127.0.0.1:"), "{text}");
    assert!(known(&report, "/clusters/0/seen") && known(&report, "/clusters/1/seen"), "{report:#}");
    assert!(known(&report, "/processes/0/seen") && known(&report, "/processes/1/seen"), "{report:#}");
    servers.start("kafka").await;
    shows(&stage, &both, 0, &[]).await;

    servers.freeze("kafka");
    shows(&stage, &both, 2, &["kafka_unreachable"]).await;
    servers.thaw("kafka");
    shows(&stage, &both, 0, &[]).await;
}

fn known(report: &Value, path: &str) -> bool {
    report.pointer(path).is_some_and(|part| part.get("error").is_none())
}
