//! A reconciler: what is due, how a turn is worked off and what settles an intent is the product's.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures::future::select;
use understudy_common::{
    config::IndexPattern, control::Roles, document::DocumentKey, effect::Effect, intent::look_key, kafka::PublishError,
    log::Ticket, observe::Observation, state::Sight,
};
use understudy_consumer::{
    offsets::CommitMetadata,
    reconciler::{
        Found,
        open::{Confirmation, Confirmed, IntentRecord, Open, Times},
        turn::Turn,
        work::{Means, Sighted, work_off},
    },
};

use crate::{
    executor::{Owner, Slot},
    gateway::{EPOCH, Schemas, append_effects},
    kafka::{Message, Place},
    looks::Eyes,
    rules::Rule,
    world::{World, times},
};

/// How often it is looked who is due, in ms. The product looks more often.
const TICK: u64 = 1_000;

/// What happens to a reconciler.
pub(crate) enum Event {
    Assigned { partition: i32, generation: u64 },
    Gone { partition: i32, generation: u64 },
    Turned(Turn, Option<String>, Option<i64>),
    Confirmed(Vec<(Confirmation, bool)>),
    Settled(Confirmation, bool),
}

/// The reconciler of a process.
pub(crate) struct Reconciler {
    world: Rc<World>,
    owner: Owner,
    open: RefCell<Open>,
    inbox: RefCell<Vec<Event>>,
    /// Something happened to it.
    notify: Slot<()>,
    /// The log goes on.
    records: Slot<()>,
    /// Generation and next offset of each partition.
    reading: RefCell<BTreeMap<i32, (u64, usize)>>,
    turning: Cell<bool>,
    confirming: Cell<bool>,
    eyes: Eyes,
    schemas: Schemas,
    name: String,
    pattern: IndexPattern,
}

/// As `reconciler::times` says.
fn reconcile_times(world: &World) -> Times {
    let ms = Duration::from_millis;
    let last = times::LINGER + times::INTENT_TIMEOUT + times::CLOCK_SKEW;
    Times {
        early: ms(world.scenario.reconcile_after),
        last: ms(if world.holds(Rule::Linger) { last } else { world.scenario.reconcile_after }),
        settle_after: ms(times::SETTLE_AFTER),
        max_pause: ms(times::MAX_BACKOFF),
    }
}

impl Reconciler {
    pub(crate) fn start(world: &Rc<World>, owner: Owner) -> Rc<Self> {
        let reconciler = Rc::new(Self {
            world: world.clone(),
            owner,
            open: RefCell::new(Open::new(reconcile_times(world))),
            inbox: RefCell::default(),
            notify: Slot::new(&world.executor),
            records: Slot::new(&world.executor),
            reading: RefCell::default(),
            turning: Cell::new(false),
            confirming: Cell::new(false),
            eyes: Eyes::new(world),
            schemas: Schemas::new(world, owner),
            name: format!("c{owner}"),
            pattern: IndexPattern::new("*"),
        });
        let task = reconciler.clone();
        world.spawn(owner, async move { task.reconcile().await });
        reconciler
    }

    pub(crate) fn happens(&self, event: Event) {
        self.inbox.borrow_mut().push(event);
        self.notify.put(());
    }

    async fn reconcile(self: Rc<Self>) {
        let world = &self.world;
        loop {
            let events = std::mem::take(&mut *self.inbox.borrow_mut());
            let mut moved = !events.is_empty();
            for event in events {
                self.happened(event);
            }
            moved |= self.fetch();
            if world.holds(Rule::Reconcile) {
                self.step();
            }
            // What is to be committed moves with what happened and what was read alone.
            if moved {
                self.commit();
            }
            let idle = self.open.borrow().counts(world.at()).open == 0;
            // What is new in the log is read with the next tick; while nothing is open there is none.
            if idle {
                let _ = select(self.notify.take_by(u64::MAX), self.records.take_by(u64::MAX)).await;
            } else {
                let _ = self.notify.take_by(world.now() + TICK).await;
            }
        }
    }

    /// Reads what is new in the log; whether anything was.
    fn fetch(&self) -> bool {
        let (kafka, now) = (self.world.kafka.borrow(), self.world.at());
        let mut open = self.open.borrow_mut();
        let mut moved = false;
        for (partition, (generation, next)) in &mut *self.reading.borrow_mut() {
            let log = &kafka.intents[*partition as usize];
            for (offset, found) in log.iter().enumerate().skip(*next) {
                let record = IntentRecord {
                    offset: offset as i64,
                    at_ms: found.at_ms,
                    request: found.request.clone(),
                    size: found.value.as_ref().map(|_| 100),
                };
                open.record(*partition, *generation, record, now);
            }
            if *next < log.len() {
                *next = log.len();
                moved = true;
            }
            open.reached_end(*partition, *generation);
        }
        moved
    }

    fn happened(self: &Rc<Self>, event: Event) {
        let (world, now, dice) = (&self.world, self.world.at(), self.world.chance.unit());
        let mut open = self.open.borrow_mut();
        match event {
            Event::Assigned { partition, generation } => {
                let place = Place::Intents(partition);
                let committed = world.kafka.borrow().groups.get(&place).and_then(|held| held.committed);
                let from = committed.map_or(0, |(offset, _)| offset as usize);
                open.assigned(partition, generation);
                self.reading.borrow_mut().insert(partition, (generation, from));
                world.listen(place, self.owner, &self.records);
            }
            Event::Gone { partition, generation } => {
                let mut reading = self.reading.borrow_mut();
                if reading.get(&partition).is_some_and(|(ours, _)| *ours == generation) {
                    open.revoked(partition);
                    reading.remove(&partition);
                }
            }
            Event::Turned(turn, failure, ticket_ms) => {
                self.turning.set(false);
                if let Some(at_ms) = ticket_ms {
                    open.ticket(turn.partition, at_ms, now);
                }
                let _ = open.turned(turn, failure.is_some(), now, dice);
            }
            Event::Confirmed(confirmed) => {
                self.confirming.set(false);
                for (confirmation, still) in confirmed {
                    if still && open.settle(confirmation.id, now).is_some() {
                        self.settle(confirmation);
                    } else if !still {
                        open.confirmed(confirmation.id, Confirmed::Moved, now, dice);
                    }
                }
            }
            Event::Settled(confirmation, done) => {
                let became = if done { Confirmed::Settled } else { Confirmed::Failed };
                open.confirmed(confirmation.id, became, now, dice);
            }
        }
    }

    fn step(self: &Rc<Self>) {
        let (world, now) = (&self.world, self.world.at());
        if !self.turning.get()
            && let Some(mut turn) = self.open.borrow_mut().turn(now)
        {
            self.turning.set(true);
            let reconciler = self.clone();
            world.spawn(self.owner, async move {
                let mut ticket_ms = None;
                let failure = work_off(&*reconciler, &mut turn, &mut ticket_ms).await.err();
                reconciler.happens(Event::Turned(turn, failure, ticket_ms));
            });
        }
        if !self.confirming.get() {
            let confirmations = self.open.borrow_mut().confirm(now);
            if confirmations.is_empty() {
                return;
            }
            self.confirming.set(true);
            let reconciler = self.clone();
            world.spawn(self.owner, async move {
                let mut confirmed = Vec::new();
                for confirmation in confirmations {
                    let still = reconciler.eyes.still(&confirmation.copies).await;
                    confirmed.push((confirmation, still));
                }
                reconciler.happens(Event::Confirmed(confirmed));
            });
        }
    }

    fn settle(self: &Rc<Self>, confirmation: Confirmation) {
        let reconciler = self.clone();
        self.world.spawn(self.owner, async move {
            let world = &reconciler.world;
            let place = Place::Intents(confirmation.id.partition);
            let message = Message::Intent(confirmation.request.clone(), None);
            world.say(|| format!("reconciler {}: settles {}", reconciler.owner, confirmation.request));
            let done = world.append(reconciler.owner, place, message, times::PUBLISH_TIMEOUT).await.is_ok();
            reconciler.happens(Event::Settled(confirmation, done));
        });
    }

    fn commit(&self) {
        let mut kafka = self.world.kafka.borrow_mut();
        for (partition, offset) in self.open.borrow().commits() {
            let held = kafka.groups.entry(Place::Intents(partition)).or_default();
            let generation = self.reading.borrow().get(&partition).map(|(generation, _)| *generation);
            if held.owner == Some(self.owner) && Some(held.generation) == generation {
                held.committed = Some((offset, CommitMetadata::default()));
            }
        }
    }
}

impl Means for Reconciler {
    fn placed(&self) -> &IndexPattern {
        &self.pattern
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn documents(&self) -> usize {
        100
    }

    fn learn(&self, _: usize, _: usize) {}

    fn looks(&self) {}

    fn found(&self, _: Found) {}

    async fn read_back(&self, turn: &mut Turn) -> Result<(), String> {
        self.world.sleep(self.world.latency()).await;
        let kafka = self.world.kafka.borrow();
        let log = &kafka.intents[turn.partition as usize];
        for offset in turn.offsets().collect::<Vec<_>>() {
            let found = &log[offset as usize];
            if let Some(intent) = &found.value {
                turn.read(offset, found.request.as_bytes(), Ok((**intent).clone()));
            }
        }
        Ok(())
    }

    async fn roles(&self) -> Result<Arc<Roles>, String> {
        Ok(Arc::new(Roles { epoch: EPOCH, primary: "P".into(), cluster_uuid: "c".into() }))
    }

    async fn ticket(&self, partition: i32) -> Result<Ticket, PublishError> {
        let (world, begun) = (&self.world, self.world.instant());
        let key: Arc<str> = look_key(&self.name, partition).into();
        let message = Message::Intent(key.clone(), Some(world.no_intent.clone()));
        let at_ms = world.append(self.owner, Place::Intents(partition), message, times::INTENT_TIMEOUT).await?;
        Ok(Ticket { request: key, at_ms, begun, open: None })
    }

    async fn sight(&self, _: &BTreeSet<Arc<str>>) -> Result<Sight, String> {
        let seen = self.eyes.look().await;
        Ok(self.eyes.sight(&seen))
    }

    async fn observe(&self, epoch: u64, keys: &[DocumentKey]) -> Result<Observation, String> {
        Ok(self.eyes.observe(epoch, keys).await)
    }

    async fn check_cluster(&self, _: &Roles) -> Result<(), String> {
        self.world.sleep(self.world.latency()).await;
        Ok(())
    }

    async fn publish(
        &self,
        _: &Roles,
        ticket: &Ticket,
        turn: &Turn,
        observation: &Observation,
        effects: &[Sighted],
    ) -> Result<Vec<bool>, String> {
        let world = &self.world;
        let need = observation.indices.values().map(|need| need.mapping).max().unwrap_or(0);
        self.schemas.ensure(&self.eyes, need, false).await.map_err(|error| error.to_string())?;
        let mut by_intent: BTreeMap<usize, Vec<Effect>> = BTreeMap::new();
        for ((_, intent), effect) in effects {
            by_intent.entry(*intent).or_default().push(effect.clone());
        }
        let mut published = BTreeSet::new();
        for (intent, effects) in by_intent {
            let Some((request, _)) = turn.intent(intent) else { continue };
            let mut ticket_ms = ticket.at_ms;
            if !world.holds(Rule::TicketFirst) {
                ticket_ms = world.kafka.borrow().clock(Place::Intents(turn.partition), world.now());
            }
            let needs = &observation.indices;
            if append_effects(world, self.owner, request, ticket_ms, &effects, needs).await.is_ok() {
                published.insert(intent);
            }
        }
        Ok(effects.iter().map(|((_, intent), _)| published.contains(intent)).collect())
    }
}
