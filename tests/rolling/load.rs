//! Applications at work: every request must be answered as if nothing happened.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use understudy_tests::{Http, Reply, eventually};

use crate::{balancer::Balancer, ledger::Ledger};

/// What a client does with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// Keeps it, and has always something to send.
    Kept,
    /// The same in HTTP/2.
    Http2,
    /// Makes a new one for each request.
    Fresh,
    /// Keeps it, and rests between two requests, also for longer than a gateway announces that it goes.
    Resting,
}

const WAYS: [Way; 5] = [Way::Kept, Way::Kept, Way::Http2, Way::Fresh, Way::Resting];
/// Between two requests of a client: an application has something else to do, and so has the machine.
const PAUSE: Duration = Duration::from_millis(15);
/// One after the other: whoever rests for the first hears of a gateway that goes; for the second, finds it gone.
const RESTS: [Duration; 2] = [Duration::from_millis(2_700), Duration::from_millis(6_100)];
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(60);

/// The clients, until they are ended.
pub struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    index: String,
    ledger: Arc<Ledger>,
    numbers: Arc<AtomicU64>,
    served: AtomicUsize,
    by_kind: Mutex<BTreeMap<String, usize>>,
    failures: Mutex<Vec<String>>,
    begun: Instant,
    end: CancellationToken,
}

/// What became of their requests.
pub struct Told {
    /// That were answered as they should be.
    pub served: usize,
    /// How many of each kind of client and way in.
    pub by_kind: BTreeMap<String, usize>,
    /// What the others got.
    pub failures: Vec<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests", self.served)?;
        self.by_kind.iter().try_for_each(|(kind, served)| write!(f, ", {kind} {served}"))
    }
}

impl Load {
    /// Starts clients of each kind, at the load balancer and at the Service. The numbers in their documents go on from those
    /// of an earlier load with the same counter.
    pub fn start(balancer: &Balancer, index: &str, ledger: &Arc<Ledger>, numbers: &Arc<AtomicU64>) -> Self {
        let shared = Arc::new(Shared {
            index: index.to_owned(),
            ledger: ledger.clone(),
            numbers: numbers.clone(),
            served: AtomicUsize::new(0),
            by_kind: Mutex::default(),
            failures: Mutex::default(),
            begun: Instant::now(),
            end: CancellationToken::new(),
        });
        let mut tasks = JoinSet::new();
        for way in WAYS {
            for (entrance, address) in [("balancer", balancer.address()), ("service", balancer.service())] {
                let shared = shared.clone();
                let http = if way == Way::Http2 { Http::http2(address) } else { Http::new(address) };
                tasks.spawn(async move { Client { http, way, entrance, shared }.work().await });
            }
        }
        Self { shared, tasks }
    }

    /// Waits until so many more requests are answered, or one has failed.
    pub async fn more(&self, requests: usize) {
        let goal = self.served() + requests;
        let met = async || if self.served() >= goal { Ok(()) } else { self.failed().map_or(Err("few"), |_| Ok(())) };
        eventually(SOON, "requests are answered", met).await;
    }

    /// Requests that were answered as they should be.
    pub fn served(&self) -> usize {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// What the first one got that was not.
    pub fn failed(&self) -> Option<String> {
        self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }

    /// Waits for the last answers.
    pub async fn end(mut self) -> Told {
        self.shared.end.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("nobody panics");
        }
        let by_kind = self.shared.by_kind.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Told { served: self.served(), by_kind, failures }
    }
}

struct Client {
    http: Http,
    way: Way,
    entrance: &'static str,
    shared: Arc<Shared>,
}

/// Actions of a bulk.
const ACTIONS: u64 = 8;

impl Client {
    async fn work(self) {
        for round in 0_usize.. {
            if self.shared.end.is_cancelled() {
                return;
            }
            let done = match round % 5 {
                0 | 2 => self.write_and_read().await,
                1 => self.bulk().await,
                3 => self.search().await,
                _ => self.count().await,
            };
            if let Err(failure) = done {
                let at = self.shared.begun.elapsed();
                let failure = format!("{at:.2?}, {} connection of the {}: {failure}", self.kind(), self.entrance);
                self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
            }
            let pause = if self.way == Way::Resting { RESTS[round % RESTS.len()] } else { PAUSE };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.end.cancelled() => {}
            }
        }
    }

    async fn write_and_read(&self) -> Result<(), String> {
        let (id, source) = self.document();
        let path = format!("/{}/_doc/{id}", self.shared.index);
        self.ask("PUT", &path, Some(source.to_string()), 201).await?;
        self.shared.ledger.note(id, source.clone());
        let found = self.ask("GET", &path, None, 200).await?;
        if found.json()["_source"] != source { Err(format!("{found} where {source} was written")) } else { Ok(()) }
    }

    async fn bulk(&self) -> Result<(), String> {
        let documents: Vec<(String, Value)> = (0..ACTIONS).map(|_| self.document()).collect();
        let lines = documents.iter().map(|(id, source)| format!("{}\n{source}\n", json!({"index": {"_id": id}})));
        let reply = self.ask("POST", &format!("/{}/_bulk", self.shared.index), Some(lines.collect()), 200).await?;
        if reply.json()["errors"] != false {
            return Err(reply.to_string());
        }
        documents.into_iter().for_each(|(id, source)| self.shared.ledger.note(id, source));
        Ok(())
    }

    async fn search(&self) -> Result<(), String> {
        let query = json!({"size": 3, "query": {"match_all": {}}}).to_string();
        self.ask("POST", &format!("/{}/_search", self.shared.index), Some(query), 200).await.map(drop)
    }

    async fn count(&self) -> Result<(), String> {
        self.ask("GET", &format!("/{}/_count", self.shared.index), None, 200).await.map(drop)
    }

    /// One that nobody else writes.
    fn document(&self) -> (String, Value) {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        (format!("d-{number}"), json!({"n": number, "text": "understudy ".repeat(20)}))
    }

    async fn ask(&self, method: &str, path: &str, body: Option<String>, status: u16) -> Result<Reply, String> {
        let mut call = self.http.request(method, path).within(PATIENCE);
        if let Some(body) = body {
            call = call.body(body);
        }
        if self.way == Way::Fresh {
            call = call.header("connection", "close");
        }
        let reply = call.send().await?;
        if reply.status != status {
            return Err(format!("{reply} where {status} was expected"));
        }
        self.shared.served.fetch_add(1, Ordering::Relaxed);
        let kind = format!("{} {}", self.kind(), self.entrance);
        *self.shared.by_kind.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
        Ok(reply)
    }

    fn kind(&self) -> &'static str {
        match self.way {
            Way::Kept => "kept",
            Way::Http2 => "HTTP/2",
            Way::Fresh => "fresh",
            Way::Resting => "resting",
        }
    }
}
