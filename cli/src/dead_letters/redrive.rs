//! `understudy dead-letters redrive`: documents of letters are read from the primary and published anew.
//!
//! ```text
//! letters ─► documents ─┬► intent (ticket) ─► look at the primary ─► schema, effects ─► second look ─► mark ─► settle
//!                       └◄──────────────── what cannot be told yet, after a pause ◄────────┘
//! ```
//!
//! Whenever this ends in the middle, an intent names every document that is not told: the consumers' reconciler looks at
//! those then. A letter is marked only when all its documents are told, so that it stays listed otherwise.

mod origin;
mod primary;
mod report;
mod tasks;
mod wait;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::Registry;
pub use report::Summary;
use understudy_common::{
    control::Became,
    document::DocumentKey,
    kafka::Publisher,
    log::{Log, LogMetrics, LogTimes, Ticket},
    observe::{DOCUMENTS, Terms},
    process::random_id,
};

use self::{
    primary::{Primary, Seen, roles_of},
    tasks::Tasks,
    wait::Waiting,
};
use super::{
    Failure,
    letter::{Content, Letter, LetterId},
    mark::Marker,
    tidy,
    topic::{Letters, Mailbox},
};

/// How long Kafka may take for a ticket. No client waits for it, and nothing is written under it.
const TICKET: Duration = Duration::from_secs(10);
/// Between two looks at what cannot be told; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An intent that is not settled.
struct Open {
    ticket: Ticket,
    /// Something was published under it, and no second look has confirmed that.
    unconfirmed: bool,
    /// Everything that it names is told.
    done: bool,
}

/// A redrive under way.
pub struct Redrive<'a> {
    mailbox: &'a Mailbox,
    letters: &'a mut Letters,
    marker: &'a Marker,
    log: Log,
    terms: Arc<Terms>,
    primary: Option<Primary>,
    tasks: Tasks,
    open: Vec<Open>,
    wait: Duration,
    waiting: Waiting,
}

impl<'a> Redrive<'a> {
    /// Begins nothing yet. Waits for documents that cannot be told for as long as `wait`.
    pub fn new(
        mailbox: &'a Mailbox,
        letters: &'a mut Letters,
        marker: &'a Marker,
        publisher: Publisher,
        wait: Duration,
    ) -> Self {
        let config = &mailbox.config;
        let times = LogTimes {
            intent_timeout: TICKET,
            publish_timeout: config.gateway.publish_timeout,
            ticket_lifetime: config.protocol.ticket_lifetime,
            clock_skew: config.protocol.clock_skew,
        };
        // Nobody asks a command for metrics; the log counts all the same.
        let metrics = LogMetrics::new(&Registry::new());
        Self {
            log: Log::new(publisher, &config.kafka, times, metrics),
            terms: Arc::new(Terms::new(config.protocol.stale_primary)),
            primary: None,
            tasks: Tasks::default(),
            open: Vec::new(),
            waiting: Waiting::new(config.protocol.stale_primary),
            mailbox,
            letters,
            marker,
            wait,
        }
    }

    /// Redrives letters, until all are told or the wait is over.
    ///
    /// # Errors
    /// When Kafka fails, or roles forbid it. What was redriven by then is marked.
    pub async fn run(&mut self, chosen: Vec<Letter>) -> Result<(), Failure> {
        self.check_partitions().await?;
        self.plan(chosen).await?;
        let deadline = Instant::now() + self.wait;
        let mut pause = FIRST_PAUSE;
        while !self.tasks.pending().is_empty() {
            self.pass().await?;
            let pending = self.tasks.pending().len();
            let left = deadline.saturating_duration_since(Instant::now());
            if pending == 0 || left.is_zero() {
                break;
            }
            self.waiting.say(pending, self.tasks.reason());
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.waiting.end();
        self.settle(|open| !open.unconfirmed).await;
        if let Err(Failure(error)) = tidy::tidy(self.mailbox, self.letters, self.marker).await {
            eprintln!("understudy dead-letters: {error}; the next redrive or drop tries again");
        }
        Ok(())
    }

    /// What it came to, also where it did not come to its end.
    pub fn summary(&self) -> Summary<'_> {
        self.waiting.end();
        let primary = self.primary.as_ref().map_or("the primary", Primary::name);
        Summary { tasks: &self.tasks, primary, left_to_consumers: !self.open.is_empty() }
    }

    /// Effects must go where gateways put those of the same document.
    async fn check_partitions(&self) -> Result<(), Failure> {
        let topic = self.mailbox.topics.target(&self.mailbox.target);
        let (there, configured) = (self.mailbox.offsets(&topic).await?.len(), self.mailbox.config.kafka.partitions);
        if i32::try_from(there) != Ok(configured) {
            return Err(Failure(format!("topic {topic} has {there} partitions and {configured} are configured")));
        }
        Ok(())
    }

    async fn plan(&mut self, chosen: Vec<Letter>) -> Result<(), Failure> {
        for letter in chosen {
            let documents = match (&letter.content, letter.hopeless()) {
                (_, Some(reason)) => Err(reason),
                (Content::Effect { document, .. }, None) => Ok(vec![document.clone()]),
                (_, None) => origin::documents(self.mailbox, &letter).await?,
            };
            match documents {
                Ok(documents) => self.tasks.add(letter, documents),
                Err(reason) => self.tasks.refuse(&letter, reason),
            }
        }
        Ok(())
    }

    /// Looks at all documents that are not told.
    async fn pass(&mut self) -> Result<(), Failure> {
        let pending = self.tasks.pending();
        self.follow_roles().await?;
        let Some(primary) = &self.primary else { return Ok(()) };
        // While nobody answers, the intents of the pass before say all that new ones would.
        if !self.open.is_empty()
            && let Err(reason) = primary.answers().await?
        {
            pending.into_iter().for_each(|key| self.tasks.unknown(key, reason.clone()));
            return Ok(());
        }
        let former = self.open.len();
        let mut looks = Vec::new();
        for keys in pending.chunks(DOCUMENTS) {
            let ticket = ticket(&self.log, primary, keys).await?;
            self.open.push(Open { ticket: ticket.clone(), unconfirmed: true, done: false });
            looks.push(primary.publish(&ticket, keys).await?);
        }
        if looks.iter().any(|seen| !seen.told.is_empty()) {
            tokio::time::sleep(self.mailbox.config.protocol.settle_after).await;
        }
        for (place, seen) in looks.into_iter().enumerate() {
            let still = primary.still(&seen.copies).await;
            let Seen { told, unknown, published, .. } = seen;
            let open = &mut self.open[former + place];
            (open.unconfirmed, open.done) = (published && !still, still && unknown.is_empty());
            for (key, told) in told {
                if still {
                    self.tasks.tell(key, told);
                } else {
                    self.tasks.unknown(key, "its shard's primary may have changed in the middle".to_owned());
                }
            }
            unknown.into_iter().for_each(|(key, reason)| self.tasks.unknown(key, reason));
        }
        self.mark().await?;
        // The intents of this pass name everything that those of the pass before were open for.
        self.open.iter_mut().take(former).for_each(|open| open.done = true);
        self.settle(|open| open.done).await;
        Ok(())
    }

    /// Reads who is primary: one snapshot serves a pass.
    async fn follow_roles(&mut self) -> Result<(), Failure> {
        let roles = roles_of(self.mailbox, &self.mailbox.facts().await?)?;
        if self.primary.as_ref().is_none_or(|primary| *primary.roles() != roles) {
            self.primary = Some(Primary::new(self.mailbox, roles, self.log.clone(), self.terms.clone())?);
        }
        Ok(())
    }

    async fn mark(&mut self) -> Result<(), Failure> {
        let complete = self.tasks.complete();
        self.marker.mark(&complete, Became::Redriven, &mut self.letters.facts).await?;
        let ids: Vec<LetterId> = complete.iter().map(|letter| letter.id).collect();
        self.tasks.marked(&ids);
        Ok(())
    }

    async fn settle(&mut self, which: impl Fn(&Open) -> bool) {
        let (settled, open) = std::mem::take(&mut self.open).into_iter().partition(|open| which(open));
        self.open = open;
        let settled: Vec<Open> = settled;
        futures::future::join_all(settled.iter().map(|open| self.log.settle(&open.ticket))).await;
    }
}

async fn ticket(log: &Log, primary: &Primary, keys: &[DocumentKey]) -> Result<Ticket, Failure> {
    let intent = serde_json::to_vec(&primary.intent(keys)).map_err(|error| Failure(error.to_string()))?;
    log.ticket(random_id().into(), &intent).await.map_err(|error| Failure(format!("no intent can be opened: {error}")))
}
