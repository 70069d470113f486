//! Settings of a target's own.

use serde_json::json;
use understudy_tests::{Stage, eventually};

use crate::{SOON, alone};

#[tokio::test(flavor = "multi_thread")]
async fn a_target_has_settings_of_its_own() {
    let _alone = alone().await;
    let stage = Stage::new("settings of a target").set_raw(
        "clusters.backup.index_settings",
        "{\"auto_expand_replicas\" = \"0-2\", \"index.refresh_interval\" = \"17s\", \"codec\" = \"\", \
         \"routing.allocation.total_shards_per_node\" = 9, \"routing.allocation.exclude.zone\" = \"nowhere\", \
         \"unassigned.node_left.delayed_timeout\" = \"5m\", \"translog.durability\" = \"async\"}",
    );
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let primary = json!({"settings": {"number_of_replicas": 1, "refresh_interval": "3s", "codec": "best_compression",
        "routing.allocation.require.zone": "", "number_of_shards": 2}});
    through.put(&format!("/{index}"), primary.to_string()).await.expect(200);
    for id in 0..20 {
        through.put(&format!("/{index}/_doc/{id}"), json!({"n": id}).to_string()).await.expect(201);
    }
    stage.assert_converges(&index).await;
    let shown = stage.backup().get(&format!("/{index}/_settings?flat_settings=true")).await.expect(200).json();
    let settings = &shown[&index]["settings"];
    for (name, value) in [
        ("index.number_of_shards", json!("2")),
        ("index.auto_expand_replicas", json!("0-2")),
        // One node alone: as many as there is room for.
        ("index.number_of_replicas", json!("0")),
        ("index.refresh_interval", json!("17s")),
        ("index.codec", json!(null)),
        ("index.routing.allocation.total_shards_per_node", json!("9")),
        ("index.routing.allocation.exclude.zone", json!("nowhere")),
        ("index.unassigned.node_left.delayed_timeout", json!("5m")),
        ("index.translog.durability", json!("async")),
        ("index.gc_deletes", json!("1d")),
        ("index.default_pipeline", json!("_none")),
    ] {
        assert_eq!(settings.get(name).cloned().unwrap_or_default(), value, "{name} in {settings}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_would_make_another_index_are_refused() {
    let stage = Stage::new("settings refused").set_raw(
        "clusters.backup.index_settings",
        "{number_of_shards = 3, default_pipeline = \"p\", \"mapping.depth.limit\" = 2, gc_deletes = \"0s\"}",
    );
    for (program, arguments) in
        [("understudy-gateway", vec![]), ("understudy-consumer", vec!["--target", "backup", "--check-config"])]
    {
        let output = stage.run(program, &arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{program}: {said}");
        for name in ["number_of_shards", "default_pipeline", "mapping.depth.limit", "gc_deletes"] {
            assert!(said.contains(&format!("clusters.backup.index_settings.{name}: ")), "{program}: {name} in {said}");
        }
    }
}

/// A setting that the configuration asks for, and the target does not know, is told and waited for: never left out.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_asks_for_is_never_left_out() {
    let _alone = alone().await;
    let stage = Stage::new("unknown override").set_raw("clusters.backup.index_settings", "{number_of_replica = 0}");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let index = stage.index("i");
    stage.through(&gateway).put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    let said = async || consumer.log().contains("unknown setting [index.number_of_replica]");
    eventually(SOON, "it says so", said).await;
    let waits = async || consumer.metric("understudy_indices_waiting", &[]).await == 1.0;
    eventually(SOON, "its effects wait", waits).await;
    assert_eq!(stage.backup().request("HEAD", &format!("/{index}")).reply().await.status, 404);
}
