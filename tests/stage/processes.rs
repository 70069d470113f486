//! Gateways and consumers as processes, and what a test can do to them.

use std::time::Duration;

use understudy_tests::{Stage, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_reaches_the_backup_and_processes_can_be_killed_frozen_and_stopped() {
    let stage = Stage::new("processes");
    let (mut gateway, mut consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("flights");
    let through = stage.through(&gateway);
    through.put(&format!("/{index}/_doc/1"), r#"{"delay": 14}"#).await.expect(201);
    stage.assert_converges(&index).await;
    stage.wait_settled().await;
    assert!(gateway.metric("understudy_effects_published_total", &[("kind", "put")]).await >= 1.0);
    assert_eq!(stage.records("target.backup").await[0].lines()[1], serde_json::json!({"delay": 14}));

    consumer.kill();
    through.put(&format!("/{index}/_doc/2"), r#"{"delay": 15}"#).await.expect(201);
    assert_eq!(stage.lag().await, 1);
    consumer.restart().await;
    stage.assert_converges(&index).await;

    gateway.freeze();
    let asked = through.request("GET", "/").within(Duration::from_millis(300)).send().await;
    assert!(asked.is_err(), "a frozen gateway answered");
    gateway.thaw();
    eventually(Duration::from_secs(5), "it answers again", async || through.request("GET", "/").send().await).await;

    assert!(gateway.stop().await.success(), "{}", gateway.log());
    assert!(gateway.log().contains("stopped"), "{}", gateway.log());
    assert!(consumer.stop().await.success(), "{}", consumer.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_to_its_end_with_the_stages_configuration() {
    let stage = Stage::new("a program").set("kafka.partition", 3);
    let output = stage.run("understudy-gateway", &["--check-config"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("kafka.partition"), "{said}");
}
