//! The task around the open intents: brings them what happens, and does what they say.

use std::{sync::Arc, time::Duration};

use rdkafka::error::KafkaResult;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use understudy_common::{config::Config, log::Log, topics::Topics};

use super::{
    look::{Ended, Looker},
    member::{Member, MemberEvent},
    metrics::ReconcilerMetrics,
    open::{Confirmation, Confirmed, Open, Settled, Told},
};
use crate::backoff::dice;

/// How often it is looked who is due.
const TICK: Duration = Duration::from_millis(100);
/// Records on their way from the poll thread.
const EVENTS: usize = 4_096;
/// Records that are taken at once.
const TAKEN: usize = 1_024;
/// Before the group is joined anew when the poll thread ended by itself.
const AGAIN: Duration = Duration::from_secs(1);

enum Done {
    Turned(Box<Ended>),
    Confirmed(Vec<Confirmation>, Result<Vec<bool>, String>),
    Settled(Confirmation, Option<Settled>),
}

/// The task.
pub(super) struct Task {
    config: Config,
    open: Open,
    looker: Arc<Looker>,
    log: Log,
    metrics: ReconcilerMetrics,
    begun: Instant,
    tasks: JoinSet<Done>,
    /// Ends the turn that is under way, where there is one, before its next look.
    turn: Option<(i32, CancellationToken)>,
    confirming: bool,
    /// Whether the primary or Kafka is waited for.
    waiting: bool,
}

impl Task {
    pub fn new(config: &Config, open: Open, looker: Looker, log: Log, metrics: ReconcilerMetrics) -> Self {
        Self {
            config: config.clone(),
            open,
            looker: Arc::new(looker),
            log,
            metrics,
            begun: Instant::now(),
            tasks: JoinSet::new(),
            turn: None,
            confirming: false,
            waiting: false,
        }
    }

    /// Until `stop`; then it leaves the group.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let (sender, events) = mpsc::channel(EVENTS);
            match self.join(sender) {
                Ok(member) => self.reconcile(&member, events, &stop).await,
                Err(error) => tracing::error!(%error, "open intents are not looked after"),
            }
            if !stop.is_cancelled() {
                tracing::error!("the thread that reads intents ended; the group is joined anew");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    fn join(&self, events: mpsc::Sender<MemberEvent>) -> KafkaResult<Member> {
        let (kafka, name) = (&self.config.kafka, &self.config.consumer.name);
        let topics = Topics::new(&kafka.topic_prefix);
        Member::start(kafka, &topics.intents(), &topics.reconciler_group(), name, events)
    }

    /// Until the member has left.
    async fn reconcile(&mut self, member: &Member, mut events: mpsc::Receiver<MemberEvent>, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Vec::with_capacity(TAKEN);
        let mut leaving = false;
        loop {
            tokio::select! {
                count = events.recv_many(&mut taken, TAKEN) => {
                    if count == 0 {
                        return;
                    }
                    for event in taken.drain(..) {
                        self.happened(event);
                    }
                }
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => {
                        self.done(done);
                        if !leaving {
                            self.step();
                        }
                    }
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => {}
                },
                _ = tick.tick(), if !leaving => {
                    self.step();
                    member.commit(self.open.commits());
                    self.metrics.show(self.open.counts(self.now()));
                }
                () = stop.cancelled(), if !leaving => {
                    leaving = true;
                    // What is cut off in the middle is done again by others.
                    self.tasks.abort_all();
                    member.leave();
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn happened(&mut self, event: MemberEvent) {
        let now = self.now();
        match event {
            MemberEvent::Assigned { partition, generation } => {
                tracing::debug!(partition, "intents are looked after");
                self.open.assigned(partition, generation);
            }
            MemberEvent::Record { partition, generation, record } => {
                self.open.record(partition, generation, record, now);
            }
            MemberEvent::End { partition, generation } => self.open.reached_end(partition, generation),
            MemberEvent::Revoked(partitions) => {
                tracing::debug!(?partitions, "intents are looked after by others");
                for partition in partitions {
                    self.open.revoked(partition);
                    if let Some((_, turn)) = self.turn.as_ref().filter(|(number, _)| *number == partition) {
                        turn.cancel();
                    }
                }
            }
        }
    }

    /// Begins what is due.
    fn step(&mut self) {
        let now = self.now();
        if self.turn.is_none()
            && let Some(turn) = self.open.turn(now)
        {
            let (looker, stop) = (self.looker.clone(), CancellationToken::new());
            self.turn = Some((turn.partition, stop.clone()));
            self.tasks.spawn(async move { Done::Turned(Box::new(looker.work(turn, &stop).await)) });
        }
        if !self.confirming {
            let confirmations = self.open.confirm(now);
            if !confirmations.is_empty() {
                self.confirming = true;
                let looker = self.looker.clone();
                self.tasks.spawn(async move {
                    let confirmed = looker.confirm(&confirmations).await;
                    Done::Confirmed(confirmations, confirmed)
                });
            }
        }
    }

    fn done(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Turned(ended) => {
                let Ended { turn, failure, ticket_ms } = *ended;
                self.turn = None;
                if let Some(at_ms) = ticket_ms {
                    self.open.ticket(turn.partition, at_ms, now);
                }
                self.waits(failure.as_deref());
                for told in self.open.turned(turn, failure.is_some(), now, dice()) {
                    tell(told);
                }
            }
            Done::Confirmed(confirmations, confirmed) => {
                self.confirming = false;
                self.waits(confirmed.as_ref().err().map(String::as_str));
                for (place, confirmation) in confirmations.into_iter().enumerate() {
                    match confirmed.as_ref().map(|confirmed| confirmed.get(place)) {
                        Ok(Some(true)) => self.settle(confirmation),
                        Ok(_) => self.open.confirmed(confirmation.id, Confirmed::Moved, now, dice()),
                        Err(_) => self.open.confirmed(confirmation.id, Confirmed::Failed, now, dice()),
                    }
                }
            }
            Done::Settled(Confirmation { id, request, .. }, settled) => {
                let became = if settled.is_some() { Confirmed::Settled } else { Confirmed::Failed };
                self.open.confirmed(id, became, now, dice());
                if let Some(Settled { gateway, documents, age }) = settled {
                    self.metrics.settled.inc();
                    let (request, gateway) = (&*request, &*gateway);
                    tracing::info!(request, gateway, documents, ?age, "settled an intent that was left open");
                }
            }
        }
    }

    fn settle(&mut self, confirmation: Confirmation) {
        let Some(settled) = self.open.settle(confirmation.id, self.now()) else { return };
        let log = self.log.clone();
        self.tasks.spawn(async move {
            match log.settle_for_another(confirmation.id.partition, &confirmation.request).await {
                Ok(()) => Done::Settled(confirmation, Some(settled)),
                Err(error) => {
                    tracing::debug!(request = &*confirmation.request, %error, "an intent could not be settled yet");
                    Done::Settled(confirmation, None)
                }
            }
        });
    }

    /// Says once that the primary or Kafka is waited for, and once that it is not any more.
    fn waits(&mut self, failure: Option<&str>) {
        if let Some(reason) = failure {
            self.metrics.failed_looks.inc();
            if !self.waiting {
                tracing::warn!(reason, "open intents wait: their documents cannot be looked at");
            }
        } else if self.waiting {
            tracing::info!("open intents are looked after again");
        }
        self.waiting = failure.is_some();
    }
}

fn tell(told: Told) {
    match told {
        Told::SetAside(request, reason) => {
            tracing::error!(request = &*request, reason, "an intent stays open: somebody must act");
        }
        Told::Fresh(request) => tracing::debug!(request = &*request, "everything of an open intent was looked at"),
    }
}
