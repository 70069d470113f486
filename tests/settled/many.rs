//! An intent of very many documents.

use std::{fmt::Write, time::Duration};

use serde_json::{Value, json};
use understudy_tests::{Process, Servers, eventually};

use super::{intent, leave_open, published, stage};

const DOCUMENTS: usize = 100_000;
/// Of them exist.
const EXIST: usize = 2_000;
/// What the list of documents and one look may take, and what Kafka's clients hold.
const MEMORY: u64 = 200 << 20;

/// The most memory that a process has held, in bytes.
fn peak(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line about memory");
    1024 * line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).expect("kilobytes")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_documents_are_worked_off_in_bounded_memory() {
    let _servers = Servers::take().await;
    let stage = stage("very many").await;
    let (primary, index) = (stage.primary(), stage.index("i"));
    let settings = json!({"settings": {"number_of_shards": 3, "number_of_replicas": 0}}).to_string();
    primary.put(&format!("/{index}"), settings).await.expect(200);
    let mut bulk = String::new();
    for n in 0..EXIST {
        let _ = write!(bulk, "{{\"index\":{{\"_id\":\"document-{n}\"}}}}\n{{\"n\":{n}}}\n");
    }
    let answer = primary.post(&format!("/{index}/_bulk"), bulk).await.expect(200).json();
    assert_eq!(answer["errors"], Value::Bool(false));
    let consumer = stage.consumer().await;
    let joined = async || consumer.log().contains("intents are looked after");
    eventually(Duration::from_secs(30), "it has joined the group", joined).await;
    let before = peak(&consumer);
    let documents = (0..DOCUMENTS).map(|n| json!([index, format!("document-{n}")])).collect();
    leave_open(&stage, "request-1", &intent(documents)).await;
    let settled = async || stage.open_intents().await.is_empty();
    eventually(Duration::from_secs(240), "it is settled", settled).await;
    let grown = peak(&consumer) - before;
    println!("{DOCUMENTS} documents took {} MiB beside {} MiB", grown >> 20, before >> 20);
    assert!(grown < MEMORY, "{} MiB", grown >> 20);
    let mut effects = published(&stage, "request-1").await;
    effects.sort_unstable();
    effects.dedup();
    assert_eq!(effects.iter().filter(|effect| effect.starts_with("index")).count(), EXIST);
    assert_eq!(effects.len(), DOCUMENTS, "every document was published");
    stage.wait_drained_within(Duration::from_secs(120)).await;
    stage.assert_equal(&index).await;
}
