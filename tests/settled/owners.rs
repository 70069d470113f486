//! Consumers share the open intents, and take over from one that dies.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Process, Servers, eventually};

use super::{LAST_LOOK_MS, SOON, ages, intent, leave_open, stage, wait_committed};

const OPEN: usize = 40;

async fn open_intents(consumer: &Process) -> f64 {
    consumer.metric("understudy_reconciler_open_intents", &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_consumer_takes_over_from_one_that_is_killed_in_the_middle() {
    let _servers = Servers::take().await;
    let stage = stage("takeover").await;
    let (mut one, other) = (stage.consumer().await, stage.consumer().await);
    let (primary, index) = (stage.primary(), stage.index("i"));
    let settings = json!({"settings": {"number_of_replicas": 0}}).to_string();
    primary.put(&format!("/{index}"), settings).await.expect(200);
    // Intents that nobody looks at any more are gone, and both have some of the new ones.
    let mut begun = 0;
    let shared = async || {
        let request = format!("before-{begun}");
        begun += 1;
        leave_open(&stage, &request, &intent(json!([[index, request]]))).await;
        open_intents(&one).await > 0.0 && open_intents(&other).await > 0.0
    };
    eventually(SOON, "both have open intents", shared).await;
    for n in 0..OPEN {
        let id = format!("document-{n}");
        primary.put(&format!("/{index}/_doc/{id}"), json!({"n": n}).to_string()).await.expect(201);
        leave_open(&stage, &format!("request-{n}"), &intent(json!([[index, id]]))).await;
    }
    // In the middle: it looked at some, and has settled none of these.
    let looks = async || one.metric("understudy_reconciler_looks_total", &[]).await > 0.0;
    eventually(SOON, "it has looked", looks).await;
    one.kill();
    stage.wait_settled().await;
    let ages = ages(&stage).await;
    assert_eq!(ages.keys().filter(|request| request.starts_with("request-")).count(), OPEN);
    assert!(ages.values().all(|age| *age >= LAST_LOOK_MS), "{ages:?}");
    stage.assert_converges(&index).await;
    wait_committed(&stage).await;
    // It comes back, and nothing that is settled is looked at again.
    one.restart().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(one.metric("understudy_reconciler_looks_total", &[]).await, 0.0);
    assert!(one.stop().await.success(), "{}", one.log());
}
