//! Rows b and c: what a write takes longer on the real stack, and how soon the backup has it.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use understudy_tests::{Http, Stage};

use super::{index, millis, stage};
use crate::{
    Size,
    documents::Documents,
    table::{Table, quantile, short},
};

const PAIRS_OF_ONE: usize = 400;
const PAIRS_OF_BULKS: usize = 100;
const WARM: usize = 50;
const BULK: u64 = 100;
/// Documents a second while lag is measured.
const STEADY: u64 = 500;
/// In bulks of so many.
const STEADY_BULK: u64 = 10;
const FOUND: Duration = Duration::from_secs(10);

pub async fn measure(table: &mut Table, size: Size) {
    let stage = stage("bench latency");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    let (inside, outside) = (stage.index("bench"), format!("outside-{}", stage.index("bench")));
    let (direct, through) = (stage.primary(), stage.through(&gateway));
    index(&through, &inside).await;
    index(&direct, &outside).await;
    let documents = Documents::new();
    for (what, count, pairs) in [("one document", 1, PAIRS_OF_ONE), ("a bulk of 100", BULK, PAIRS_OF_BULKS)] {
        let pairs = if size.rounds < 5 { pairs / 4 } else { pairs };
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for pair in 0..WARM + pairs {
            // Both orders, so that neither always comes second.
            let mut both = [(&direct, &outside, &mut without), (&through, &inside, &mut with)];
            if pair % 2 == 1 {
                both.reverse();
            }
            for (http, index, times) in both {
                let took = write(http, index, &documents, count).await;
                if pair >= WARM {
                    times.push(millis(took));
                }
            }
        }
        let (a, b) = (quantile(&without, 0.5), quantile(&with, 0.5));
        table.tell('b', &format!("{what}: ms, direct, median and p99"), pair(a, quantile(&without, 0.99)));
        table.tell('b', &format!("{what}: ms, through a gateway, median and p99"), pair(b, quantile(&with, 0.99)));
        table.judge('b', &format!("{what}: ms added, difference of medians"), short(b - a), "≤ 3", b - a <= 3.0);
    }
    stage.wait_drained().await;
    lag(table, size, &stage, &through, &inside, &documents).await;
}

async fn write(http: &Http, index: &str, documents: &Documents, count: u64) -> Duration {
    let (path, body) = if count == 1 {
        let (number, body) = documents.one();
        (format!("/{index}/_doc/{number}"), body)
    } else {
        (format!("/{index}/_bulk"), documents.bulk(count))
    };
    let begun = Instant::now();
    let reply =
        if count == 1 { http.put(&path, body).await.expect(201) } else { http.post(&path, body).await.expect(200) };
    let took = begun.elapsed();
    drop(reply);
    took
}

/// From the primary's answer until a get on the backup finds the document.
async fn lag(table: &mut Table, size: Size, stage: &Stage, through: &Http, index: &str, documents: &Documents) {
    let pause =
        Duration::from_secs(1) * u32::try_from(STEADY_BULK).expect("small") / u32::try_from(STEADY).expect("small");
    let mut pace = tokio::time::interval(pause);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let bulks = STEADY / STEADY_BULK * size.seconds * 5;
    let (backup, mut looks) = (stage.backup(), Vec::new());
    let begun = Instant::now();
    for number in 0..bulks {
        pace.tick().await;
        let body = documents.bulk(STEADY_BULK);
        let id = id_of(&body);
        through.post(&format!("/{index}/_bulk"), body).await.expect(200);
        // Not each: looking takes time from those who are measured.
        if number % 5 == 0 {
            let (backup, path, answered) =
                (backup.clone(), format!("/{index}/_doc/{id}?_source=false"), Instant::now());
            looks.push(tokio::spawn(async move {
                while backup.get(&path).await.status != 200 {
                    assert!(answered.elapsed() < FOUND, "{path} does not come");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                millis(answered.elapsed())
            }));
        }
    }
    let rate = (bulks * STEADY_BULK) as f64 / begun.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for look in looks {
        times.push(look.await.expect("it is found"));
    }
    let median = quantile(&times, 0.5);
    table.tell('c', "documents a second while lag was measured", short(rate));
    table.judge(
        'c',
        "ms until the backup has it, median and p99",
        pair(median, quantile(&times, 0.99)),
        "≤ 50",
        median <= 50.0,
    );
}

fn id_of(bulk: &[u8]) -> String {
    let line = bulk.split(|byte| *byte == b'\n').next().expect("a line");
    let action: serde_json::Value = serde_json::from_slice(line).expect("an action");
    action["index"]["_id"].as_str().expect("an id").to_owned()
}

fn pair(median: f64, most: f64) -> String {
    format!("{}, {}", short(median), short(most))
}
