//! How long a partition stands still while something waits in it, by what the backup itself has.
//!
//! A document of each partition is written again and again, through the load balancer; what the backup shows of it says how
//! far that partition is applied. No word of a consumer counts.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use understudy_tests::{Http, Stage, eventually};

use crate::ledger::Ledger;

/// Looks at every partition until it is ended.
pub struct Meter {
    partitions: Arc<Mutex<Vec<Partition>>>,
    failures: Arc<Mutex<Vec<String>>>,
    end: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Partition {
    /// Its document.
    id: String,
    /// What was acknowledged and not seen yet, oldest first.
    waiting: VecDeque<(u64, Instant)>,
    seen: u64,
    progressed: Instant,
    longest: Duration,
    behind: Duration,
}

/// What was seen since the last time.
#[derive(Clone, Debug)]
pub struct Pauses {
    /// By partition: the longest time in which something waited and nothing was applied; the oldest that a write was when
    /// it was seen.
    pub by_partition: Vec<(Duration, Duration)>,
}

impl Pauses {
    /// The longest of all.
    pub fn longest(&self) -> Duration {
        self.by_partition.iter().map(|(longest, _)| *longest).max().unwrap_or_default()
    }

    /// How far behind the worst was.
    pub fn behind(&self) -> Duration {
        self.by_partition.iter().map(|(_, behind)| *behind).max().unwrap_or_default()
    }

    /// Partitions that stood still for longer than a look or two.
    pub fn stood_still(&self) -> usize {
        self.by_partition.iter().filter(|(longest, _)| *longest > NOTICED).count()
    }
}

/// Between two writes of each partition's document.
const WRITE: Duration = Duration::from_millis(100);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// No more than the pace of writes and looks explains, on a busy machine.
const NOTICED: Duration = Duration::from_millis(500);

impl Meter {
    /// Finds a document for each partition, and starts to write and to look.
    pub async fn start(stage: &Stage, through: Http, index: &str, partitions: usize, ledger: &Arc<Ledger>) -> Self {
        let ids = documents(stage, &through, index, partitions).await;
        let now = Instant::now();
        let partition = |id: String| Partition {
            id,
            waiting: VecDeque::new(),
            seen: 0,
            progressed: now,
            longest: Duration::ZERO,
            behind: Duration::ZERO,
        };
        let mut meter = Self {
            partitions: Arc::new(Mutex::new(ids.into_iter().map(partition).collect())),
            failures: Arc::default(),
            end: CancellationToken::new(),
            tasks: Vec::new(),
        };
        let writing = tokio::spawn(write(
            (meter.partitions.clone(), meter.failures.clone()),
            (through, index.to_owned(), ledger.clone()),
            meter.end.clone(),
        ));
        let looking = tokio::spawn(look(meter.partitions.clone(), stage.backup(), index.to_owned()));
        meter.tasks = vec![looking, writing];
        meter
    }

    /// Begins to measure anew.
    pub fn reset(&self) {
        for partition in held(&self.partitions).iter_mut() {
            (partition.longest, partition.behind) = (Duration::ZERO, Duration::ZERO);
        }
    }

    /// What was measured since.
    pub fn pauses(&self) -> Pauses {
        let by_partition = held(&self.partitions).iter().map(|one| (one.longest, one.behind)).collect();
        Pauses { by_partition }
    }

    /// Waits until every partition shows what was written after this call.
    pub async fn all_move(&self, within: Duration) {
        let at = Instant::now();
        let moved = async || {
            let partitions = held(&self.partitions);
            let still =
                partitions.iter().filter(|one| one.progressed < at || one.oldest().is_some_and(|since| since < at));
            match still.count() {
                0 => Ok(()),
                still => Err(format!("{still} partitions stand still: {partitions:?}")),
            }
        };
        eventually(within, "every partition is applied", moved).await;
    }

    /// Ends it, and says which of its writes were not answered as they should be.
    pub async fn end(mut self) -> Vec<String> {
        self.end.cancel();
        let writing = self.tasks.pop().expect("it was started");
        writing.await.expect("nobody panics");
        self.tasks.iter().for_each(JoinHandle::abort);
        std::mem::take(&mut *held(&self.failures))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Partition {
    fn oldest(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, at)| *at)
    }

    /// The backup shows this now.
    fn shows(&mut self, seen: u64, now: Instant) {
        // As it was just before this look: what waited, waited until now.
        if let Some(oldest) = self.oldest() {
            self.longest = self.longest.max(now - oldest.max(self.progressed));
            self.behind = self.behind.max(now - oldest);
        }
        if seen > self.seen {
            (self.seen, self.progressed) = (seen, now);
        }
        while self.waiting.front().is_some_and(|(number, _)| *number <= self.seen) {
            self.waiting.pop_front();
        }
    }
}

fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The id of a document in each partition, found out by writing many and reading the log.
async fn documents(stage: &Stage, through: &Http, index: &str, partitions: usize) -> Vec<String> {
    let lines = (0..partitions * 12).map(|n| format!("{{\"index\":{{\"_id\":\"m-{n}\"}}}}\n{{\"n\":0}}\n"));
    let written = through.post(&format!("/{index}/_bulk"), lines.collect::<String>()).await.expect(200);
    assert_eq!(written.json()["errors"], false, "{written}");
    let mut found: BTreeMap<i32, String> = BTreeMap::new();
    for record in stage.records("target.backup").await {
        let ids = record.lines().into_iter().filter_map(|line| Some(line.get("index")?["_id"].as_str()?.to_owned()));
        if let Some(id) = ids.into_iter().find(|id| id.starts_with("m-")) {
            found.entry(record.partition).or_insert(id);
        }
    }
    assert_eq!(found.len(), partitions, "a document for each partition: {found:?}");
    found.into_values().collect()
}

type Shared = (Arc<Mutex<Vec<Partition>>>, Arc<Mutex<Vec<String>>>);

async fn write(
    (partitions, failures): Shared,
    (through, index, ledger): (Http, String, Arc<Ledger>),
    end: CancellationToken,
) {
    let ids: Vec<String> = held(&partitions).iter().map(|partition| partition.id.clone()).collect();
    let mut pace = tokio::time::interval(WRITE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 1_u64.. {
        pace.tick().await;
        if end.is_cancelled() {
            return;
        }
        let lines = ids.iter().map(|id| format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"n\":{number}}}\n"));
        let sent = through.request("POST", &format!("/{index}/_bulk")).body(lines.collect::<String>()).send().await;
        let failure = match sent {
            Ok(reply) if reply.status == 200 && reply.json()["errors"] == false => {
                let now = Instant::now();
                held(&partitions).iter_mut().for_each(|one| one.waiting.push_back((number, now)));
                ids.iter().for_each(|id| ledger.note(id.clone(), json!({"n": number})));
                continue;
            }
            Ok(reply) => reply.to_string(),
            Err(error) => error,
        };
        held(&failures).push(failure);
    }
}

async fn look(partitions: Arc<Mutex<Vec<Partition>>>, backup: Http, index: String) {
    let ids: Vec<String> = held(&partitions).iter().map(|partition| partition.id.clone()).collect();
    let (path, body) = (format!("/{index}/_mget"), json!({"ids": ids}).to_string());
    loop {
        let reply = backup.request("POST", &path).body(body.clone()).send().await;
        // Until the backup has the index there is nothing to be seen, and nothing is waited for either.
        let found: Value = match reply {
            Ok(reply) if reply.status == 200 => reply.json(),
            _ => Value::Null,
        };
        let now = Instant::now();
        for (place, partition) in held(&partitions).iter_mut().enumerate() {
            partition.shows(found["docs"][place]["_source"]["n"].as_u64().unwrap_or(0), now);
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_while_something_waits_and_nothing_moves() {
        let begun = Instant::now();
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let mut partition = Partition {
            id: "d".into(),
            waiting: VecDeque::new(),
            seen: 0,
            progressed: begun,
            longest: Duration::ZERO,
            behind: Duration::ZERO,
        };
        partition.shows(0, at(5_000));
        assert_eq!(partition.longest, Duration::ZERO, "nothing waits");
        partition.waiting.extend([(1, at(5_000)), (2, at(5_100))]);
        partition.shows(1, at(6_000));
        assert_eq!((partition.longest, partition.waiting.len()), (Duration::from_secs(1), 1));
        partition.shows(1, at(6_500));
        assert_eq!(partition.longest, Duration::from_secs(1), "it moved half a second ago");
        assert_eq!(partition.behind, Duration::from_millis(1_400));
        partition.shows(2, at(8_000));
        assert_eq!((partition.longest, partition.waiting.len()), (Duration::from_secs(2), 0));
    }
}
