//! A consumer: its engine is the product's; polling, sending, preparing and committing are simulated.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use understudy_common::{document::DocumentKey, kafka::LogRecord};
use understudy_consumer::{
    driver::STILL,
    engine::{Bulk, Command, Engine, IndexId, LetterTicket, Limits, Moment, PartitionStatus, Received, Way},
    offsets::{Commit, CommitMetadata, Start},
    service::FRESH,
    source::{Found, decide, learn},
    verdict::{BulkVerdict, Verdict},
    window::{DocumentHasher, Window},
};

use crate::{
    executor::{Owner, Slot},
    gateway::{intent_for, intent_place},
    kafka::{Message, Place},
    rules::Rule,
    world::{World, times},
};

/// What happens to a consumer.
pub(crate) enum Event {
    Assigned { partition: i32, generation: u64 },
    Begins { partition: i32, generation: u64, start: Start, window: Window },
    Revoking(i32),
    Gone { partition: i32, generation: u64 },
    Answered(u64, BulkVerdict),
    Ready(IndexId, u64, u64),
    Kept(LetterTicket),
    Committed(Vec<Commit>),
}

struct Reading {
    generation: u64,
    next: i64,
    paused: bool,
}

/// A consumer, from its start to its end.
pub(crate) struct Consumer {
    pub(crate) world: Rc<World>,
    pub(crate) owner: Owner,
    pub(crate) target: usize,
    engine: RefCell<Engine>,
    reading: RefCell<BTreeMap<i32, Reading>>,
    inbox: RefCell<Vec<Event>>,
    notify: Slot<()>,
    /// To be committed next; one commit is under way at a time.
    commits: RefCell<BTreeMap<i32, Commit>>,
    committing: Cell<bool>,
    /// Effects that the target answered with a conflict (`zombie_clients` off): what is forced without one is a repetition.
    conflicts: RefCell<HashSet<(Arc<str>, u64)>>,
    hasher: DocumentHasher,
    stood_still: Cell<bool>,
}

fn limits(world: &World) -> Limits {
    let ms = Duration::from_millis;
    Limits {
        batch_bytes: 1 << 20,
        batch_actions: 4,
        linger: ms(5),
        max_backoff: ms(times::MAX_BACKOFF),
        max_buffered_bytes: 1 << 20,
        ticket_lifetime: lifetime(world),
        window: width(world),
        lingers: ms(times::LINGER),
    }
}

/// `L`, by which consumers say what is void.
fn lifetime(world: &World) -> Duration {
    Duration::from_millis(if world.holds(Rule::Void) { times::TICKET_LIFETIME } else { 1 << 40 })
}

/// `W`.
fn width(world: &World) -> Duration {
    let skew = if world.holds(Rule::WindowSkew) { 2 * times::CLOCK_SKEW } else { 0 };
    Duration::from_millis(if world.holds(Rule::Window) { times::TICKET_LIFETIME + skew } else { 0 })
}

impl Consumer {
    pub(crate) fn start(world: &Rc<World>, owner: Owner, target: usize) -> Rc<Self> {
        let hasher = DocumentHasher::new([7; 16]);
        let mut engine = Engine::new(limits(world), hasher);
        engine.permit(true);
        let consumer = Rc::new(Self {
            world: world.clone(),
            owner,
            target,
            engine: RefCell::new(engine),
            reading: RefCell::default(),
            inbox: RefCell::default(),
            notify: Slot::new(&world.executor),
            commits: RefCell::default(),
            committing: Cell::new(false),
            conflicts: RefCell::default(),
            hasher,
            stood_still: Cell::new(false),
        });
        let driver = consumer.clone();
        world.spawn(owner, async move { driver.drive().await });
        consumer
    }

    fn place(&self, partition: i32) -> Place {
        Place::Effects { target: self.target, partition }
    }

    /// It stands still for so many ms from now on. The real loop wakes twice a second, so that it notices.
    pub(crate) fn stands_still(&self, milliseconds: u64) {
        if milliseconds > STILL.as_millis() as u64 {
            self.stood_still.set(true);
            self.notify.put(());
        }
    }

    pub(crate) fn happens(&self, event: Event) {
        self.inbox.borrow_mut().push(event);
        self.notify.put(());
    }

    async fn drive(self: Rc<Self>) {
        let world = &self.world;
        loop {
            for event in std::mem::take(&mut *self.inbox.borrow_mut()) {
                self.happened(event);
            }
            self.fetch();
            let now = world.now();
            if self.stood_still.take() && world.holds(Rule::Caution) {
                world.say(|| format!("consumer {}: stood still", self.owner));
                self.engine.borrow_mut().stood_still(self.moment());
            }
            let commands = self.engine.borrow_mut().step(self.moment());
            for command in commands {
                self.execute(command);
            }
            let wakes = self.engine.borrow().wakes_at(world.at());
            let wakes = wakes.map_or(u64::MAX, |at| (at.as_micros() as u64).div_ceil(1_000).max(now + 1));
            let _ = self.notify.take_by(wakes).await;
        }
    }

    fn moment(&self) -> Moment {
        Moment { at: self.world.at(), dice: self.world.chance.unit() }
    }

    fn fetch(&self) {
        let now = self.moment();
        let kafka = self.world.kafka.borrow();
        let mut engine = self.engine.borrow_mut();
        for (partition, reading) in &mut *self.reading.borrow_mut() {
            let log = &kafka.effects[self.target][*partition as usize];
            while !reading.paused && (reading.next as usize) < log.len() {
                let (offset, found) = (reading.next, &log[reading.next as usize]);
                let (key, value, headers) = Default::default();
                let record = LogRecord { partition: *partition, offset, at_ms: found.at_ms, key, value, headers };
                reading.next += 1;
                let received = Received { record, content: Ok((*found.record).clone()) };
                engine.record(now, *partition, reading.generation, received);
            }
        }
    }

    fn happened(self: &Rc<Self>, event: Event) {
        let now = self.moment();
        match event {
            Event::Assigned { partition, generation } => {
                // What it had before it has lost, also where nobody told it.
                self.gone(partition);
                self.engine.borrow_mut().assigned(partition, generation);
                self.begin(partition, generation);
            }
            Event::Begins { partition, generation, start, window } => {
                let marked = self.world.kafka.borrow().schemas.iter().any(|schema| schema.client_versions);
                let mut engine = self.engine.borrow_mut();
                if marked {
                    engine.client_versions(&["u".into()]);
                }
                let ours =
                    engine.status().any(|status| status.partition == partition && status.generation == generation);
                engine.started(now, partition, generation, start, window);
                if ours {
                    let next = start.offset;
                    self.reading.borrow_mut().insert(partition, Reading { generation, next, paused: false });
                    self.world.listen(self.place(partition), self.owner, &self.notify);
                }
            }
            Event::Revoking(partition) => self.engine.borrow_mut().revoke(&[partition]),
            Event::Gone { partition, generation } => {
                let has = |status: PartitionStatus| status.partition == partition && status.generation == generation;
                let is_ours = self.engine.borrow().status().any(has);
                if is_ours {
                    self.gone(partition);
                }
            }
            Event::Answered(bulk, verdict) => self.engine.borrow_mut().answered(now, bulk, verdict),
            Event::Ready(index, sequence, mapping) => self.engine.borrow_mut().index_ready(&index, sequence, mapping),
            Event::Kept(ticket) => self.engine.borrow_mut().letter_kept(ticket),
            Event::Committed(commits) => {
                commits.iter().for_each(|commit| self.engine.borrow_mut().committed(commit));
                self.committing.set(false);
                self.commit();
            }
        }
    }

    fn gone(&self, partition: i32) {
        self.reading.borrow_mut().remove(&partition);
        self.commits.borrow_mut().remove(&partition);
        for commit in self.engine.borrow_mut().let_go(&[partition]) {
            self.commit_now(&commit);
        }
    }

    fn execute(self: &Rc<Self>, command: Command) {
        match command {
            Command::Send(bulk) => self.send(bulk),
            Command::Prepare { index, mapping, sequence } => self.prepare(index, mapping, sequence),
            Command::DeadLetter(letter) => {
                let text = format!("{:?}: {}", letter.effect.map(|effect| effect.key), letter.reason);
                self.world.dead_letters.borrow_mut().push(text);
                self.happens(Event::Kept(letter.ticket));
            }
            Command::Commit(commits) => {
                self.commits.borrow_mut().extend(commits.into_iter().map(|commit| (commit.partition, commit)));
                self.commit();
            }
            Command::Pause { partition, .. } => self.pause(partition, true),
            Command::Resume { partition, .. } => self.pause(partition, false),
            Command::Released { partition, commit } => {
                self.reading.borrow_mut().remove(&partition);
                if let Some(commit) = commit {
                    self.commit_now(&commit);
                }
                self.world.say(|| format!("consumer {}: lets partition {partition} go", self.owner));
                self.world.kafka.borrow_mut().groups.entry(self.place(partition)).or_default().owner = None;
            }
            Command::Report { partition, from, to } => self.report(partition, from, to),
            Command::ReadFrom { partition, offset, .. } => {
                if let Some(reading) = self.reading.borrow_mut().get_mut(&partition) {
                    reading.next = offset;
                }
            }
            Command::Stopped { partition, reason, detail, .. } => {
                self.world.fail(format!("STOPPED partition {partition}: {reason:?} {detail}"));
            }
            Command::Read(reference) => self.world.fail(format!("REFERENCE {reference:?}")),
            Command::TargetDown(_)
            | Command::TargetUp
            | Command::Blocked { .. }
            | Command::Unblocked { .. }
            | Command::Unsettled { .. }
            | Command::Settled { .. } => {}
        }
    }

    fn pause(&self, partition: i32, paused: bool) {
        if let Some(reading) = self.reading.borrow_mut().get_mut(&partition) {
            reading.paused = paused;
        }
    }

    fn send(self: &Rc<Self>, bulk: Bulk) {
        let (consumer, decided) = (self.clone(), self.world.now());
        self.world.spawn(self.owner, async move {
            let world = &consumer.world;
            world.sleep(world.chance.below(3)).await;
            let verdict = if world.holds(Rule::Fresh) && world.now() - decided > FRESH.as_millis() as u64 {
                BulkVerdict::Withdrawn
            } else {
                // It may be frozen here: checked, and not yet sent.
                let (longest, slow) = world.scenario.connects;
                world.sleep(world.chance.below(if world.fault(slow) { longest } else { 3 })).await;
                consumer.apply(&bulk).await
            };
            consumer.happens(Event::Answered(bulk.id, verdict));
        });
    }

    async fn apply(&self, bulk: &Bulk) -> BulkVerdict {
        let conflicts = || self.conflicts.borrow_mut();
        let name = |place: usize| (bulk.effects[place].key.id.clone(), bulk.effects[place].version.raw());
        if bulk.way == Way::Force && !self.world.holds(Rule::ZombieClients) {
            let repeated = (0..bulk.effects.len()).all(|place| !conflicts().contains(&name(place)));
            if repeated {
                return BulkVerdict::Items(vec![Verdict::Applied; bulk.effects.len()]);
            }
        }
        let verdict = self.world.apply(self.target, bulk).await;
        if let BulkVerdict::Items(verdicts) = &verdict
            && !self.world.holds(Rule::ZombieClients)
        {
            let superseded = (0..verdicts.len()).filter(|place| verdicts[*place] == Verdict::Superseded);
            conflicts().extend(superseded.map(name));
        }
        verdict
    }

    /// Waits for the schema and brings the target's index to it.
    fn prepare(self: &Rc<Self>, index: IndexId, mapping: u64, sequence: u64) {
        let consumer = self.clone();
        self.world.spawn(self.owner, async move {
            let world = &consumer.world;
            let mut version = mapping;
            while world.holds(Rule::SchemaFirst) {
                world.sleep(world.latency()).await;
                let known = {
                    let kafka = world.kafka.borrow();
                    let schemas = kafka.schemas.iter().filter(|schema| !schema.client_versions);
                    let greatest = schemas.clone().max_by_key(|schema| schema.version);
                    let chosen = if world.holds(Rule::SchemaGreatest) { greatest } else { schemas.clone().next_back() };
                    greatest.zip(chosen).map(|(greatest, chosen)| (greatest.version, chosen.mapping.clone()))
                };
                if let Some((greatest, fields)) = known.filter(|(greatest, _)| *greatest >= mapping) {
                    let mut targets = world.targets.borrow_mut();
                    for (field, date) in fields {
                        targets[consumer.target].mapping.entry(field).or_insert(date);
                    }
                    version = greatest;
                    break;
                }
                world.sleep(200).await;
            }
            consumer.happens(Event::Ready(index, sequence, version));
        });
    }

    /// Looks where an assigned partition begins, and rebuilds its window.
    fn begin(self: &Rc<Self>, partition: i32, generation: u64) {
        let consumer = self.clone();
        self.world.spawn(self.owner, async move {
            let world = &consumer.world;
            world.sleep(world.chance.between(2, 30)).await;
            let (start, window) = {
                let kafka = world.kafka.borrow();
                let log = &kafka.effects[consumer.target][partition as usize];
                let committed = kafka.groups.get(&consumer.place(partition)).and_then(|held| held.committed);
                let before = committed.filter(|(offset, _)| *offset > 0).map(|(offset, _)| offset as usize - 1);
                let before_ms = before.map(|place| log[place].at_ms);
                let found = Found {
                    committed: committed.map(|(offset, metadata)| (offset, Some(metadata))),
                    low: 0,
                    high: log.len() as i64,
                    before_ms,
                    begun: committed.is_some(),
                };
                let mut start = match decide(&found) {
                    Ok(start) => start,
                    Err(gap) => {
                        world.fail(format!("GAP {gap:?}"));
                        return;
                    }
                };
                let width = width(world);
                let mut window = Window::new(width);
                if let Some(before_ms) = before_ms.filter(|_| world.holds(Rule::Rebuild)) {
                    let since = before_ms - width.as_millis() as i64;
                    let from = log.iter().position(|record| record.at_ms >= since).unwrap_or(0);
                    for record in &log[from..start.offset as usize] {
                        learn(&mut window, record.at_ms, &record.record, &consumer.hasher, lifetime(world));
                    }
                }
                start.clean |= !world.holds(Rule::ZombieDeletes);
                start.sealed |= !world.holds(Rule::Seal);
                (start, window)
            };
            world.say(|| format!("consumer {}: partition {partition} begins {start:?}", consumer.owner));
            consumer.happens(Event::Begins { partition, generation, start, window });
        });
    }

    /// One commit at a time, as in the driver.
    fn commit(self: &Rc<Self>) {
        if self.committing.get() || self.commits.borrow().is_empty() {
            return;
        }
        self.committing.set(true);
        let consumer = self.clone();
        let commits: Vec<Commit> = std::mem::take(&mut *self.commits.borrow_mut()).into_values().collect();
        self.world.spawn(self.owner, async move {
            let world = &consumer.world;
            world.sleep(world.latency()).await;
            let done: Vec<Commit> = commits.into_iter().filter(|commit| consumer.commit_now(commit)).collect();
            world.sleep(1).await;
            consumer.happens(Event::Committed(done));
        });
    }

    /// Kafka takes nothing from a former owner.
    fn commit_now(&self, commit: &Commit) -> bool {
        let mut kafka = self.world.kafka.borrow_mut();
        let held = kafka.groups.entry(self.place(commit.partition)).or_default();
        let ours = held.owner == Some(self.owner) && held.generation == commit.generation;
        if ours {
            let metadata = CommitMetadata { last_ms: commit.last_ms, clean: commit.clean };
            held.committed = Some((commit.offset, metadata));
            self.world.say(|| format!("consumer {}: {commit:?}", self.owner));
        }
        ours
    }

    /// Opens intents for what was sent of a lost partition.
    fn report(self: &Rc<Self>, partition: i32, from: i64, to: i64) {
        if !self.world.holds(Rule::ZombieReports) {
            return;
        }
        let consumer = self.clone();
        let keys: BTreeSet<DocumentKey> = {
            let kafka = self.world.kafka.borrow();
            let records = &kafka.effects[self.target][partition as usize][from as usize..to as usize];
            let effects = records.iter().flat_map(|record| &record.record.effects);
            effects.map(|effect| effect.key.clone()).collect()
        };
        let intent = intent_for(&self.world, keys.iter());
        self.world.say(|| format!("consumer {}: reports {from}..{to} of partition {partition}", self.owner));
        let under_way = self.world.under_way();
        self.world.spawn(self.owner, async move {
            let (world, _under_way) = (&consumer.world, under_way);
            let request = world.request();
            loop {
                let message = Message::Intent(request.clone(), Some(intent.clone()));
                if world.append(consumer.owner, intent_place(&request), message, times::PUBLISH_TIMEOUT).await.is_ok() {
                    return;
                }
                world.sleep(500).await;
            }
        });
    }

    /// Whether nothing of it is under way.
    pub(crate) fn rests(&self) -> bool {
        let engine = self.engine.borrow();
        !engine.is_busy() && engine.status().all(|status| !status.unsettled)
    }
}
