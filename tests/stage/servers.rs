//! The stack that the tests stand on.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Stage, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_answer() {
    let stage = Stage::new("the servers answer");
    let index = stage.index("flights");
    for side in [stage.primary(), stage.backup()] {
        side.put(&format!("/{index}/_doc/1?refresh"), r#"{"delay": 14}"#).await.expect(201);
        let found = side.get(&format!("/{index}/_search")).await.expect(200).json();
        assert_eq!(found["hits"]["hits"][0]["_source"], json!({"delay": 14}));
    }

    stage.create_topics().await;
    let (partition, offset) =
        stage.append("target.backup", "flights/1", b"no bulk at all", &[("kind", "foreign")]).await;
    let records = stage.records("target.backup").await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.partition, record.offset), (partition, offset));
    assert_eq!((record.key_text().as_str(), record.text().as_str()), ("flights/1", "no bulk at all"));
    assert_eq!(record.headers["kind"], "foreign");
    assert!(record.timestamp > 1_600_000_000_000);
    assert_eq!(stage.lag().await, 1);
    assert!(stage.open_intents().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_sees_what_differs() {
    let stage = Stage::new("a comparison sees what differs");
    let index = stage.index("flights");
    let (primary, backup) = (stage.primary(), stage.backup());
    let packed = |seq_no: u64| (1u64 << 53) + (1 << 40) + seq_no;
    let version = |seq_no| format!("version={}&version_type=external", packed(seq_no));
    primary.put(&format!("/{index}/_doc/1"), "{\"delay\":\n 1.50}").await.expect(201);
    backup.put(&format!("/{index}/_doc/1?{}", version(0)), r#"{"delay": 1.50}"#).await.expect(201);
    primary.put(&format!("/{index}/_doc/2?routing=r"), r#"{"delay": 2.0}"#).await.expect(201);
    backup.put(&format!("/{index}/_doc/2?routing=r&{}", version(1)), r#"{"delay": 2.0}"#).await.expect(201);
    stage.assert_equal(&index).await;

    primary.put(&format!("/{index}/_doc/3"), r#"{"delay": 1.0}"#).await.expect(201);
    let differs = async |what: &str| {
        let found = understudy_tests::differences(&primary, &backup, &index).await.unwrap();
        assert!(found.len() == 1 && found[0].to_string().contains(what), "{found:?}");
    };
    differs("document 3: primary {\"delay\":1.0}, target nothing").await;
    let put = async |version: &str, source: &str| {
        backup.put(&format!("/{index}/_doc/3?{version}"), source.to_owned()).await.expect(201);
        eventually(Duration::from_secs(5), "it is there", async || {
            backup.get(&format!("/{index}/_doc/3")).await.status == 200
        })
        .await;
    };
    put(&version(1), r#"{"delay": 1.0}"#).await;
    differs("version").await;
    backup.put(&format!("/{index}/_doc/3?{}", version(2)), r#"{"delay": 1.00}"#).await.expect(200);
    differs("target {\"delay\":1.00}").await;
}
