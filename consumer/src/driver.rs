//! The task around the engine: brings it what happens, and does what it says.

mod beginning;
mod execute;
mod lags;
mod settling;
mod target;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use lags::Lags;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use understudy_common::config::ProtocolConfig;

use crate::{
    backoff::dice,
    begun::Begun,
    dead_letter::DeadLetters,
    engine::{Engine, IndexId, LetterTicket, Moment, ReferenceTicket, Sighting},
    identity::Identity,
    metrics::Metrics,
    offsets::Commit,
    reference::References,
    report::Reports,
    schema::prepare::{Prepared, Preparer},
    service::BulkService,
    source::{Beginning, Gap, Retention, Source, SourceConfig, SourceEvent, Watermarks},
    verdict::BulkVerdict,
    window::DocumentHasher,
};

/// How often gauges are set.
const SHOW: Duration = Duration::from_millis(500);
/// Partitions whose beginning is looked for at once.
const BEGINNINGS: usize = 6;
/// Records that are taken at once before the engine decides anew.
const TAKEN: usize = 256;
/// A loop that comes round no more often than this stood still. It wakes for `SHOW` at least.
pub const STILL: Duration = Duration::from_secs(3);

/// What the driver works with.
pub struct Parts {
    /// The group.
    pub source: Source,
    /// What the group reads.
    pub source_config: SourceConfig,
    /// What the poll thread says.
    pub events: mpsc::Receiver<SourceEvent>,
    /// What logs span.
    pub watermarks: mpsc::Receiver<Vec<Watermarks>>,
    /// How long the topic keeps records.
    pub retention: watch::Receiver<Option<Retention>>,
    /// Where the partitions are told whose logs are looked at.
    pub assigned: watch::Sender<Vec<(i32, u64)>>,
    /// What stands behind the target's address.
    pub identity: mpsc::Receiver<Identity>,
    /// The way to the target.
    pub service: Arc<BulkService>,
    /// The target's indices.
    pub preparer: Arc<Preparer>,
    /// Dead letters.
    pub letters: Arc<DeadLetters>,
    /// What references stand for.
    pub references: References,
    /// What was sent of lost partitions.
    pub reports: Reports,
    /// Notes of what has begun.
    pub begun: Begun,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Names of documents.
    pub hasher: DocumentHasher,
    /// Times that gateways and consumers agree on.
    pub protocol: ProtocolConfig,
    /// Name of the target.
    pub target: String,
}

enum Done {
    Answered(u64, BulkVerdict),
    Prepared(IndexId, u64, Prepared),
    Kept(LetterTicket),
    Begins(i32, u64, Beginning),
    Committed(Vec<Commit>),
    Noted,
    Read(ReferenceTicket, Option<Sighting>),
    Reported,
    Extended(Vec<(IndexId, u64)>),
}

/// A revocation that is waited for.
struct Revocation {
    waiting: HashSet<i32>,
    commits: Vec<Commit>,
    done: std::sync::mpsc::SyncSender<Vec<Commit>>,
}

struct Driver {
    engine: Engine,
    source: Option<Source>,
    source_config: SourceConfig,
    assigned: watch::Sender<Vec<(i32, u64)>>,
    retention: watch::Receiver<Option<Retention>>,
    service: Arc<BulkService>,
    preparer: Arc<Preparer>,
    letters: Arc<DeadLetters>,
    references: References,
    reports: Reports,
    reporting: usize,
    noted: Begun,
    /// The mapping version that the target's index has at least, also without effects.
    extended: HashMap<IndexId, u64>,
    extending: bool,
    metrics: Arc<Metrics>,
    hasher: DocumentHasher,
    protocol: ProtocolConfig,
    target: String,
    begun: Instant,
    tasks: JoinSet<Done>,
    beginnings: Arc<Semaphore>,
    revocation: Option<Revocation>,
    /// To be committed next.
    commits: BTreeMap<i32, Commit>,
    committing: bool,
    identity: Option<Identity>,
    lags: Lags,
    target_up: Option<bool>,
}

/// The poll thread ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the thread that polls Kafka ended")]
pub struct PollEnded;

/// Applies what the source reads, until `shutdown` and the orderly end of the source.
///
/// # Errors
/// When the source ends by itself.
pub async fn drive(parts: Parts, engine: Engine, shutdown: CancellationToken) -> Result<(), PollEnded> {
    let Parts { source, mut events, mut watermarks, mut identity, .. } = parts;
    let mut driver = Driver {
        engine,
        source: Some(source),
        source_config: parts.source_config,
        assigned: parts.assigned,
        retention: parts.retention,
        service: parts.service,
        preparer: parts.preparer,
        letters: parts.letters,
        references: parts.references,
        reports: parts.reports,
        reporting: 0,
        noted: parts.begun,
        extended: HashMap::new(),
        extending: false,
        metrics: parts.metrics,
        hasher: parts.hasher,
        protocol: parts.protocol,
        target: parts.target,
        begun: Instant::now(),
        tasks: JoinSet::new(),
        beginnings: Arc::new(Semaphore::new(BEGINNINGS)),
        revocation: None,
        commits: BTreeMap::new(),
        committing: false,
        identity: None,
        lags: Lags::default(),
        target_up: None,
    };
    let mut show = tokio::time::interval(SHOW);
    let mut taken = Vec::with_capacity(TAKEN);
    let mut round = Instant::now();
    loop {
        let wake = driver.engine.wakes_at(driver.begun.elapsed());
        tokio::select! {
            count = events.recv_many(&mut taken, TAKEN) => {
                if count == 0 {
                    break;
                }
                for event in taken.drain(..) {
                    driver.happened(event);
                }
            }
            Some(done) = driver.tasks.join_next() => driver.done(done),
            Some(found) = watermarks.recv() => driver.spans(&found),
            Some(found) = identity.recv() => driver.identified(found),
            _ = show.tick() => {
                driver.show();
                driver.extend();
                if driver.source.as_ref().is_some_and(Source::is_finished) {
                    // Closing a consumer runs its rebalance, for which there is no thread any more.
                    std::mem::forget(driver.source.take());
                    return Err(PollEnded);
                }
            }
            () = until(wake.map(|at| driver.begun + at)) => {}
            () = shutdown.cancelled(), if driver.source.is_some() => driver.leave(),
        }
        if round.elapsed() > STILL {
            tracing::warn!(stood_still = ?round.elapsed(), "the process stood still; nothing is sent until the group had its say");
            let now = driver.now();
            driver.engine.stood_still(now);
        }
        round = Instant::now();
        driver.step();
    }
    driver.step();
    driver.finish_reports().await;
    driver.show();
    if driver.source.is_some() { Err(PollEnded) } else { Ok(()) }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Driver {
    fn now(&self) -> Moment {
        Moment { at: self.begun.elapsed(), dice: dice() }
    }

    /// Leaves the group; what is assigned is revoked on the way.
    fn leave(&mut self) {
        if let Some(source) = self.source.take() {
            source.leave();
        }
    }

    fn happened(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Assigned { partition, generation } => {
                tracing::info!(partition, "partition assigned");
                self.engine.assigned(partition, generation);
                self.tell_assigned();
                self.begin(partition, generation);
            }
            SourceEvent::Record { partition, generation, received } => {
                let now = self.now();
                self.engine.record(now, partition, generation, *received);
            }
            SourceEvent::Revoking { partitions, done } => {
                tracing::info!(?partitions, "partitions are taken away");
                self.revocation =
                    Some(Revocation { waiting: partitions.iter().copied().collect(), commits: Vec::new(), done });
                self.engine.revoke(&partitions);
            }
            SourceEvent::Gone { partitions, done } => {
                tracing::info!(?partitions, "partitions are gone");
                self.revocation = None;
                let _ = done.try_send(self.engine.let_go(&partitions));
                self.tell_assigned();
            }
        }
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Answered(bulk, verdict)) => {
                let now = self.now();
                self.engine.answered(now, bulk, verdict);
            }
            Ok(Done::Prepared(index, sequence, Prepared::Ready(mapping))) => {
                self.engine.index_ready(&index, sequence, mapping);
            }
            Ok(Done::Prepared(index, _, Prepared::Differs(label))) => self.engine.index_differs(&index, &label),
            Ok(Done::Extended(extended)) => {
                self.extended.extend(extended);
                self.extending = false;
            }
            Ok(Done::Noted) => {}
            Ok(Done::Committed(offsets)) => {
                let (noted, partitions) = (self.noted.clone(), offsets.iter().map(|commit| commit.partition).collect());
                self.spawn(async move {
                    noted.note(partitions).await;
                    Done::Noted
                });
                for commit in &offsets {
                    self.engine.committed(commit);
                }
                self.committing = false;
                self.commit();
            }
            Ok(Done::Kept(ticket)) => self.engine.letter_kept(ticket),
            Ok(Done::Read(ticket, Some(sighting))) => self.engine.was_read(ticket, sighting),
            Ok(Done::Read(_, None)) => {}
            Ok(Done::Reported) => self.reporting = self.reporting.saturating_sub(1),
            Ok(Done::Begins(partition, generation, Beginning::At(start, window, _))) => {
                tracing::info!(partition, offset = start.offset, window = window.len(), "partition begins");
                let now = self.now();
                self.engine.client_versions(&self.preparer.store.client_versions());
                self.engine.started(now, partition, generation, start, *window);
                if let Some(source) = &self.source {
                    source.read_from(partition, generation, start.offset);
                }
            }
            Ok(Done::Begins(partition, generation, Beginning::Gap(Gap(detail), committed))) => {
                self.engine.cannot_begin(partition, generation, committed, detail);
            }
            // A task that panics would leave its partitions waiting for ever: better to begin anew.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }

    fn spans(&mut self, found: &[Watermarks]) {
        for marks in found {
            self.engine.watermarks(marks.partition, marks.generation, marks.low, marks.high);
            self.lags.learn(*marks);
        }
    }

    fn step(&mut self) {
        let now = self.now();
        for command in self.engine.step(now) {
            self.execute(command);
        }
    }

    fn spawn(&mut self, task: impl Future<Output = Done> + Send + 'static) {
        self.tasks.spawn(task);
    }

    fn tell_assigned(&mut self) {
        let engine = &self.engine;
        // What was theirs is committed by the revocation, or by their next owner.
        self.commits.retain(|partition, _| engine.status().any(|status| status.partition == *partition));
        self.assigned.send_replace(self.engine.status().map(|status| (status.partition, status.generation)).collect());
    }

    fn show(&mut self) {
        let statuses: Vec<_> = self.engine.status().collect();
        self.lags.retention = *self.retention.borrow();
        let (lags, gone) = self.lags.of(&statuses, understudy_common::process::now_ms());
        self.metrics.show(&statuses, &lags, &gone);
        self.metrics.count(self.engine.tally());
        self.metrics.action_limit.set(self.engine.action_limit() as i64);
    }
}
