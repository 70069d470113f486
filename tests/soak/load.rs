//! Clients that behave: they write bulks to overlapping documents, and read.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior};
use understudy_tests::Http;

/// Clients at once.
const WRITERS: u64 = 8;
/// Actions of a bulk.
const ACTIONS: u64 = 20;
/// Documents; few enough that the index does not grow for ever.
const DOCUMENTS: u64 = 5_000;
/// Bytes of text in a document.
const TEXT: usize = 300;

/// How much is written.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// Each client sends its next bulk when the last one is answered.
    AsMuchAsItTakes,
    /// So many bulks a second.
    PerSecond(f64),
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsMuchAsItTakes => f.write_str("as much as it takes"),
            Self::PerSecond(bulks) => write!(f, "{bulks:.0} bulks a second"),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Bulks that were answered with 200.
    pub bulks: u64,
    /// Other answers, with how often they came.
    pub failed: BTreeMap<String, u64>,
    took: Duration,
}

impl Told {
    /// Bulks a second.
    pub fn per_second(&self) -> f64 {
        self.bulks as f64 / self.took.as_secs_f64().max(0.001)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bulks of {ACTIONS} in {:.0?}, {:.0} a second", self.bulks, self.took, self.per_second())
    }
}

/// The clients.
pub struct Writers {
    http: Http,
    index: String,
    sent: AtomicU64,
}

impl Writers {
    /// Writers of one index.
    pub fn new(http: Http, index: String) -> Self {
        Self { http, index, sent: AtomicU64::new(0) }
    }

    /// Makes the index.
    pub async fn create(&self) {
        let settings = "{\"settings\":{\"number_of_shards\":2,\"number_of_replicas\":0}}";
        self.http.put(&format!("/{}", self.index), settings).await.expect(200);
    }

    /// Writes for a while.
    pub async fn run(self: &Arc<Self>, load: Load, within: Duration) -> Told {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..WRITERS)
            .map(|_| {
                let writers = self.clone();
                tokio::spawn(async move { writers.write(load, begun + within).await })
            })
            .collect();
        let mut whole = Told::default();
        for task in tasks {
            let told = task.await.expect("a writer does not panic");
            whole.bulks += told.bulks;
            told.failed.into_iter().for_each(|(text, count)| *whole.failed.entry(text).or_default() += count);
        }
        whole.took = begun.elapsed();
        whole
    }

    async fn write(&self, load: Load, until: Instant) -> Told {
        let mut pace = match load {
            Load::AsMuchAsItTakes => None,
            Load::PerSecond(bulks) => {
                let mut pace = tokio::time::interval(Duration::from_secs_f64(WRITERS as f64 / bulks.max(0.1)));
                // Who was held up does not make up for it.
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Some(pace)
            }
        };
        let mut told = Told::default();
        while Instant::now() < until {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let number = self.sent.fetch_add(1, Ordering::Relaxed);
            let answer = self.http.request("POST", &format!("/{}/_bulk", self.index)).body(bulk(number)).send().await;
            match answer {
                Ok(reply) if reply.status == 200 => told.bulks += 1,
                Ok(reply) => *told.failed.entry(format!("{} {}", reply.status, reply.error_type())).or_default() += 1,
                Err(error) => *told.failed.entry(error).or_default() += 1,
            }
            if number.is_multiple_of(10) {
                let search = format!("/{}/_search?size=10&q=n:{}", self.index, number % 100);
                match self.http.request("GET", &search).send().await {
                    Ok(reply) if reply.status == 200 => {}
                    Ok(reply) => *told.failed.entry(format!("search: {}", reply.status)).or_default() += 1,
                    Err(error) => *told.failed.entry(format!("search: {error}")).or_default() += 1,
                }
            }
        }
        told
    }
}

/// Puts, updates and deletes; the same for every run.
fn bulk(number: u64) -> String {
    let text = "understudy ".repeat(TEXT / 11);
    let mut body = String::new();
    for place in 0..ACTIONS {
        let roll = (number * ACTIONS + place).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let (id, n) = (roll % DOCUMENTS, roll % 100);
        match roll % 10 {
            0 => body.push_str(&format!("{{\"delete\":{{\"_id\":\"{id}\"}}}}\n")),
            1 => body.push_str(&format!(
                "{{\"update\":{{\"_id\":\"{id}\"}}}}\n{{\"doc\":{{\"n\":{n}}},\"doc_as_upsert\":true}}\n"
            )),
            _ => body.push_str(&format!(
                "{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"n\":{n},\"number\":{number},\"text\":\"{text}\"}}\n"
            )),
        }
    }
    body
}
