//! A gateway: the course of its writes is the product's, what they work with is simulated.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use tokio::time::Instant;
use understudy_common::{
    bulk::Action,
    cluster::{Answer as ClusterAnswer, CallError},
    config::{IndexPattern, Unplaced},
    document::DocumentKey,
    effect::Effect,
    intent::{Intent, IntentDocument},
    kafka::PublishError,
    log::{EffectsError, LogTimes, Ticket, in_time},
    observe::{Observation, Observed},
    record::{EffectsRecord, IndexNeed, Provenance},
    schema::SchemaError,
    shard::ShardLayout,
    state::Sight,
    version::PackedVersion,
};
use understudy_gateway::{
    doubt::{Look, Routed},
    gate::Placement,
    refusal::Refusal,
    replicate::course::{Course, CourseTimes, NotPublished, course},
    settle::{self, reopens, still_holds},
    write::{
        decide::Decision,
        plan::{AnswerShape, PlannedItem, PlannedWrite},
    },
};

use crate::{
    executor::Owner,
    kafka::{INTENT_PARTITIONS, Message, Place, Schema},
    looks::Eyes,
    primary::Did,
    rules::Rule,
    world::{Acknowledged, Wish, World, number, times},
};

pub(crate) const EPOCH: u64 = 1;

/// One gateway, from its start to its end.
pub(crate) struct Gateway {
    pub(crate) world: Rc<World>,
    pub(crate) owner: Owner,
    pub(crate) eyes: Rc<Eyes>,
    placement: Rc<Placement>,
    schemas: Schemas,
    pattern: IndexPattern,
    /// Writes that were sent later than they may be, because it was frozen after its last check, and are not reported yet.
    pub(crate) owes: Cell<usize>,
}

/// What this process has made sure of in the schema topic.
pub(crate) struct Schemas {
    world: Rc<World>,
    owner: Owner,
    version: Cell<u64>,
    client_versions: Cell<bool>,
}

/// The partition of an intent.
pub(crate) fn intent_place(request: &str) -> Place {
    Place::Intents((number(request) % INTENT_PARTITIONS as u64) as i32)
}

pub(crate) fn placement(world: &World) -> Placement {
    Placement {
        epoch: EPOCH,
        primary: "P".into(),
        cluster_uuid: "c".into(),
        targets: world.no_intent.targets.clone(),
        partitions: world.scenario.partitions,
    }
}

/// What every intent says.
pub(crate) fn no_intent(targets: usize) -> Rc<Intent> {
    Rc::new(Intent {
        format: Intent::FORMAT,
        gateway: "g".into(),
        epoch: EPOCH,
        primary: "P".into(),
        targets: (0..targets).map(|target| target.to_string().into()).collect(),
        documents: Vec::new(),
        aliases: BTreeMap::new(),
    })
}

/// An intent for these documents.
pub(crate) fn intent_for<'a>(world: &World, keys: impl Iterator<Item = &'a DocumentKey>) -> Rc<Intent> {
    let documents = keys.cloned().map(IntentDocument::from).collect();
    Rc::new(Intent { documents, ..(*world.no_intent).clone() })
}

pub(crate) fn log_times() -> LogTimes {
    LogTimes {
        intent_timeout: Duration::from_millis(times::INTENT_TIMEOUT),
        publish_timeout: Duration::from_millis(times::PUBLISH_TIMEOUT),
        ticket_lifetime: Duration::from_millis(times::TICKET_LIFETIME),
        clock_skew: Duration::from_millis(times::CLOCK_SKEW),
    }
}

impl Schemas {
    pub(crate) fn new(world: &Rc<World>, owner: Owner) -> Self {
        Self { world: world.clone(), owner, version: Cell::new(0), client_versions: Cell::new(false) }
    }

    /// Makes sure that the log has a schema of that mapping version; publishes until it rests.
    pub(crate) async fn ensure(&self, eyes: &Eyes, need: u64, client_versions: bool) -> Result<(), PublishError> {
        let world = &self.world;
        if !world.holds(Rule::SchemaFirst) {
            return Ok(());
        }
        if client_versions && !self.client_versions.get() {
            let mark = Schema { version: 0, mapping: BTreeMap::new(), client_versions: true };
            world.append(self.owner, Place::Schema, Message::Schema(mark), times::PUBLISH_TIMEOUT).await?;
            self.client_versions.set(true);
        }
        if self.version.get() >= need {
            return Ok(());
        }
        for _ in 0..4 {
            let version = shown_mapping(eyes).await;
            world.sleep(world.latency()).await;
            let mapping = world.primary.borrow().mapping.clone();
            let schema = Schema { version, mapping, client_versions: false };
            world.append(self.owner, Place::Schema, Message::Schema(schema), times::PUBLISH_TIMEOUT).await?;
            if shown_mapping(eyes).await == version {
                self.version.set(version);
                return Ok(());
            }
        }
        Ok(())
    }
}

async fn shown_mapping(eyes: &Eyes) -> u64 {
    eyes.look().await.index().map_or(0, |sight| sight.state.mapping_version)
}

/// Appends effects to the log of every target: when, or why not.
pub(crate) async fn append_effects(
    world: &Rc<World>,
    owner: Owner,
    request: &Arc<str>,
    ticket_ms: i64,
    effects: &[Effect],
    needs: &BTreeMap<Arc<str>, IndexNeed>,
) -> Result<(), EffectsError> {
    let mut needs = needs.clone();
    if !world.holds(Rule::RoutingKey) {
        let one = ShardLayout { number: 1, routing: 1, partition: 1 };
        needs.values_mut().for_each(|need| need.shards = one);
    }
    let mut by_partition: BTreeMap<i32, Vec<Effect>> = BTreeMap::new();
    for effect in effects {
        let mut effect = effect.clone();
        effect.observed &= world.holds(Rule::ObservationWins);
        if let Some(version) = effect.client_version.filter(|_| !world.holds(Rule::PackedOrder)) {
            effect.version = PackedVersion::pack(EPOCH, 1, version).unwrap_or(effect.version);
        }
        by_partition.entry(effect.key.partition(world.scenario.partitions)).or_default().push(effect);
    }
    let records: Vec<(i32, Rc<EffectsRecord>)> = by_partition
        .into_iter()
        .map(|(partition, effects)| {
            let provenance =
                Provenance { request: request.clone(), ticket_ms, answered_ms: 0, epoch: EPOCH, gateway: "g".into() };
            (partition, Rc::new(EffectsRecord { provenance, indices: needs.clone(), effects }))
        })
        .collect();
    let everywhere = (0..world.scenario.targets).flat_map(|target| {
        records
            .iter()
            .map(move |(partition, record)| (Place::Effects { target, partition: *partition }, record.clone()))
    });
    // In a list: of an unknown number `join_all` would want to be woken for each.
    let appended: Vec<_> = everywhere
        .map(|(place, record)| world.append(owner, place, Message::Effects(record), times::PUBLISH_TIMEOUT))
        .collect();
    let (mut at, mut failed) = (Vec::new(), None);
    for appended in join_all(appended).await {
        match appended {
            Ok(at_ms) => at.push(at_ms),
            Err(error) => failed = Some(error),
        }
    }
    if world.holds(Rule::VoidCheck) {
        in_time(ticket_ms, at, Duration::from_millis(times::TICKET_LIFETIME))?;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

impl Gateway {
    pub(crate) fn new(world: &Rc<World>, owner: Owner) -> Rc<Self> {
        Rc::new(Self {
            world: world.clone(),
            owner,
            eyes: Rc::new(Eyes::new(world)),
            placement: Rc::new(placement(world)),
            schemas: Schemas::new(world, owner),
            pattern: IndexPattern::new("*"),
            owes: Cell::new(0),
        })
    }

    /// A client's write.
    pub(crate) fn write(self: &Rc<Self>, number_of: u64, wishes: &[Wish], bulk: bool) {
        let world = &self.world;
        let item = |wish: &Wish| PlannedItem {
            key: world.documents[wish.document].clone(),
            action: wish.action,
            source: matches!(wish.action, Action::Index | Action::Create)
                .then(|| crate::primary::Value { n: wish.n, pipeline: 0, field: wish.field }.source()),
            client_version: wish.client_version,
            pipeline: false,
            line: None,
        };
        let shape = if bulk { AnswerShape::Bulk } else { AnswerShape::Document };
        let plan = PlannedWrite {
            method: hyper::Method::POST,
            path: String::new(),
            body: Vec::new(),
            items: wishes.iter().map(item).collect(),
            shape,
            reply: Default::default(),
        };
        let write = Write {
            intent: intent_for(world, plan.items.iter().map(|item| &item.key)),
            gateway: self.clone(),
            number: number_of,
            request: world.request(),
            wishes: wishes.into(),
            plan,
            did: RefCell::new(None),
            unknown: Cell::new(false),
            asked: Cell::new(0),
            owes: Cell::new(false),
        };
        world.say(|| format!("gateway {}: write {number_of} {} {wishes:?}", self.owner, write.request));
        let under_way = world.under_way();
        world.spawn(self.owner, async move {
            let _under_way = under_way;
            let answered = course(&write).await;
            write.replied(answered);
        });
    }

    fn reopen(self: &Rc<Self>, intent: Rc<Intent>) {
        let (gateway, under_way) = (self.clone(), self.world.under_way());
        self.world.spawn(self.owner, async move {
            let _under_way = under_way;
            loop {
                let request = gateway.world.request();
                if gateway.open(&request, &intent).await.is_ok() {
                    return;
                }
                gateway.world.sleep(500).await;
            }
        });
    }

    /// Opens an intent; one that is not acknowledged is followed by its tombstone.
    async fn open(&self, request: &Arc<str>, intent: &Rc<Intent>) -> Result<Ticket, PublishError> {
        let (world, begun) = (&self.world, self.world.instant());
        let message = Message::Intent(request.clone(), Some(intent.clone()));
        match world.append(self.owner, intent_place(request), message, times::INTENT_TIMEOUT).await {
            Ok(at_ms) => Ok(Ticket { request: request.clone(), at_ms, begun, open: None }),
            Err(error) => {
                self.settle(request);
                Err(error)
            }
        }
    }

    fn settle(&self, request: &Arc<str>) {
        let (world, owner, request) = (self.world.clone(), self.owner, request.clone());
        self.world.spawn(self.owner, async move {
            let message = Message::Intent(request.clone(), None);
            let _ = world.append(owner, intent_place(&request), message, times::PUBLISH_TIMEOUT).await;
        });
    }

    fn stays_open(self: &Rc<Self>, ticket: &Ticket, intent: &Rc<Intent>, late: bool) {
        let world = &self.world;
        world.say(|| format!("gateway {}: {} stays open", self.owner, ticket.request));
        if !world.holds(Rule::Intent) {
            let (gateway, request, intent) = (self.clone(), ticket.request.clone(), intent.clone());
            world.spawn(self.owner, async move { drop(gateway.open(&request, &intent).await) });
        } else if world.holds(Rule::Reopen) && reopens(ticket, late, log_times(), world.instant()) {
            self.reopen(intent.clone());
        }
    }

    /// The second look (`settle::run` takes all that wait together; here each has its own).
    fn settle_later(self: &Rc<Self>, done: settle::Done, intent: Rc<Intent>) {
        let gateway = self.clone();
        self.world.spawn(self.owner, async move {
            let world = &gateway.world;
            if world.holds(Rule::SecondLook) {
                let answered = done.answered.into_std().duration_since(world.instant() - world.at());
                world.executor.sleep_until(answered.as_millis() as u64 + times::SETTLE_AFTER).await;
                let seen = gateway.eyes.look().await;
                let now = gateway.eyes.sight(&seen);
                let holds = now.state == done.seen.state || still_holds(&done.seen, &done.mappings, &now).is_ok();
                if !holds {
                    gateway.stays_open(&done.ticket, &intent, false);
                    return;
                }
            }
            gateway.settle(&done.ticket.request);
        });
    }
}

/// A write on its course.
struct Write {
    gateway: Rc<Gateway>,
    number: u64,
    request: Arc<str>,
    wishes: Rc<[Wish]>,
    plan: PlannedWrite,
    intent: Rc<Intent>,
    did: RefCell<Option<Rc<[Did]>>>,
    /// Whether the outcome of an item is not known.
    unknown: Cell<bool>,
    /// When its ticket was asked for.
    asked: Cell<u64>,
    /// Whether it was sent too late, and nobody else knows of it.
    owes: Cell<bool>,
}

impl Write {
    fn replied(&self, answered: Result<ClusterAnswer, Refusal>) {
        let world = &self.gateway.world;
        if self.owes.get() {
            self.gateway.owes.set(self.gateway.owes.get() - 1);
        }
        world.say(|| match &answered {
            Ok(answer) => format!("reply to write {}: {}", self.number, answer.status),
            Err(refusal) => format!("reply to write {}: {} {}", self.number, refusal.status, refusal.reason),
        });
        let did = self.did.borrow().clone();
        let (Ok(_), Some(did)) = (answered, did) else { return };
        for (item, did) in self.plan.items.iter().zip(did.iter()) {
            if let Did::Done { result, seq, term, .. } = did {
                let shard = world.primary.borrow().layout.shard_of(&item.key);
                if let Some(target) = world.not_in_log(&item.key, *term, *seq) {
                    let id = &item.key.id;
                    world.fail(format!("NOT IN THE LOG of target {target}: {id} {term}/{seq}, write {}", self.number));
                }
                // A primary answers a noop from a write that its replica may not have: the loss of that is not ours.
                if *result == "noop" {
                    continue;
                }
                let (write, id, order) = (self.number, number(&item.key.id), (*term, *seq));
                world.acknowledged.borrow_mut().push(Acknowledged { write, shard, id, order });
            }
        }
    }

    fn became(&self, key: &DocumentKey, what: impl Fn(&Did) -> bool) -> bool {
        let did = self.did.borrow();
        let mut all = self.plan.items.iter().zip(did.iter().flat_map(|did| did.iter()));
        all.any(|(item, did)| item.key.id == key.id && what(did))
    }
}

impl Look for Write {
    async fn observe(&self, epoch: u64, keys: &[DocumentKey]) -> Result<Observation, CallError> {
        let world = &self.gateway.world;
        let mut observation = self.gateway.eyes.observe(epoch, keys).await;
        if !world.holds(Rule::Observe409) {
            for (found, key) in observation.found.iter_mut().zip(keys) {
                if self.became(key, |did| matches!(did, Did::Conflict)) {
                    *found = Observed::Nothing;
                }
            }
        }
        if !world.holds(Rule::IndexShown) {
            let layout = world.primary.borrow().layout;
            observation.shards.extend(keys.iter().map(|key| (key.index.clone(), layout)));
        }
        Ok(observation)
    }

    async fn routings(&self, keys: &[&DocumentKey]) -> Result<Vec<Option<Routed>>, String> {
        Ok(self.gateway.eyes.routings(keys).await)
    }

    fn now(&self) -> std::time::Instant {
        self.gateway.world.instant()
    }

    async fn sleep(&self, time: Duration) {
        self.gateway.world.sleep(time.as_millis() as u64).await;
    }
}

impl Course for Write {
    type Look = Self;
    type Held = ();

    fn plan(&self) -> &PlannedWrite {
        &self.plan
    }

    fn placement(&self) -> &Placement {
        &self.gateway.placement
    }

    fn pattern(&self) -> &IndexPattern {
        &self.gateway.pattern
    }

    fn unplaced(&self) -> Unplaced {
        Unplaced::Refuse
    }

    fn times(&self) -> CourseTimes {
        let slow = self.gateway.world.holds(Rule::Slow);
        CourseTimes {
            intent_timeout: Duration::from_millis(times::INTENT_TIMEOUT),
            longest_wait: if slow { Duration::from_millis(times::LINGER / 2) } else { Duration::MAX },
        }
    }

    fn now(&self) -> Instant {
        self.gateway.eyes.now()
    }

    fn now_ms(&self) -> i64 {
        0
    }

    fn look(&self) -> &Self {
        self
    }

    fn observes(&self, _: usize) {}

    fn intent(&self, _: Option<&Sight>) -> Result<Bytes, Refusal> {
        Ok(Bytes::new())
    }

    async fn ticket(&self, _: &Bytes) -> Result<Ticket, PublishError> {
        let (gateway, request) = (&self.gateway, self.request.clone());
        self.asked.set(gateway.world.now());
        if !gateway.world.holds(Rule::Intent) {
            let at_ms = gateway.world.kafka.borrow().clock(intent_place(&request), gateway.world.now());
            return Ok(Ticket { request, at_ms, begun: gateway.world.instant(), open: None });
        }
        gateway.open(&request, &self.intent).await
    }

    async fn replace_ticket(&self, ticket: &Ticket, _: &Bytes) -> Result<Ticket, PublishError> {
        Ok(ticket.clone())
    }

    async fn sight_before(&self) -> Result<Sight, Refusal> {
        let seen = self.gateway.eyes.look().await;
        Ok(self.gateway.eyes.sight(&seen))
    }

    async fn exchange(&self) -> Result<ClusterAnswer, CallError> {
        let world = &self.gateway.world;
        let (longest, slow) = world.scenario.connects;
        world.sleep(if world.fault(slow) { world.chance.below(longest) } else { world.chance.below(2) }).await;
        if world.now() - self.asked.get() > times::LINGER_BEGINS {
            self.owes.set(true);
            self.gateway.owes.set(self.gateway.owes.get() + 1);
        }
        let answered = world.send(self.number, self.wishes.clone(), &self.plan.items, self.plan.shape);
        // A connection breaks sooner than the time-out, sometimes.
        let patience =
            if world.fault(world.scenario.breaks) { world.chance.below(2_000) } else { times::PRIMARY_TIMEOUT };
        match answered.take_by(world.now() + patience).await {
            Some((answer, did)) => {
                self.unknown.set(did.iter().any(|did| matches!(did, Did::Unknown)));
                *self.did.borrow_mut() = Some(did);
                Ok(answer)
            }
            None => {
                self.unknown.set(true);
                Err(CallError::Unanswered { cluster: "P".into(), reason: "no answer".into() })
            }
        }
    }

    fn hold(&self, _: usize) {}

    async fn sight_after(&self, before: &Sight) -> Option<Sight> {
        if !self.gateway.world.holds(Rule::Guard) {
            return Some(before.clone());
        }
        let seen = self.gateway.eyes.look().await;
        Some(self.gateway.eyes.sight(&seen))
    }

    async fn publish(&self, ticket: &Ticket, decision: &Decision, _: i64) -> Result<(), NotPublished> {
        let world = &self.gateway.world;
        let noop = |effect: &Effect| {
            let is_noop = |did: &Did| matches!(did, Did::Done { result: "noop", .. });
            !world.holds(Rule::NoopEffect) && self.became(&effect.key, is_noop)
        };
        let effects: Vec<Effect> = decision.effects.iter().filter(|effect| !noop(effect)).cloned().collect();
        if effects.is_empty() {
            return Ok(());
        }
        let need = decision.indices.values().map(|need| need.mapping).max().unwrap_or(0);
        let client_versions = effects.iter().any(|effect| effect.client_version.is_some());
        self.gateway.schemas.ensure(&self.gateway.eyes, need, client_versions).await.map_err(SchemaError::from)?;
        let (owner, indices) = (self.gateway.owner, &decision.indices);
        Ok(append_effects(world, owner, &self.request, ticket.at_ms, &effects, indices).await?)
    }

    fn settle(&self, ticket: Ticket) {
        self.gateway.settle(&ticket.request);
    }

    fn settle_later(&self, done: settle::Done) {
        self.gateway.settle_later(done, self.intent.clone());
    }

    fn stays_open(&self, ticket: &Ticket, _: Bytes, late: bool) {
        if self.unknown.get() && !self.gateway.world.holds(Rule::UnknownWaits) {
            let (gateway, ticket) = (self.gateway.clone(), ticket.clone());
            let keys: Vec<DocumentKey> = self.plan.items.iter().map(|item| item.key.clone()).collect();
            self.gateway.world.spawn(self.gateway.owner, async move { gateway.finish(&ticket, &keys).await });
            return;
        }
        let late = late && (!self.unknown.get() || self.gateway.world.holds(Rule::SentLate));
        self.gateway.stays_open(ticket, &self.intent, late);
    }
}

impl Gateway {
    /// What a gateway must not do (`unknown_waits` off): looks by itself at documents of unknown outcome, and settles.
    async fn finish(&self, ticket: &Ticket, keys: &[DocumentKey]) {
        let observation = self.eyes.observe(EPOCH, keys).await;
        if observation.found.iter().any(|found| matches!(found, Observed::Unknown(_))) {
            return;
        }
        let effect = |found| if let Observed::Effect(effect) = found { Some(effect) } else { None };
        let effects: Vec<Effect> = observation.found.into_iter().filter_map(effect).collect();
        let needs = &observation.indices;
        if append_effects(&self.world, self.owner, &ticket.request, ticket.at_ms, &effects, needs).await.is_ok() {
            self.settle(&ticket.request);
        }
    }
}
