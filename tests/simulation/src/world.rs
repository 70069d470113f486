//! Everything that is not ours: clusters, Kafka, clients, time; and what was promised to whom.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::StatusCode;
use understudy_common::{
    bulk::Action, cluster::Answer as ClusterAnswer, document::DocumentKey, intent::Intent, kafka::PublishError,
    record::is_void, version::PackedVersion,
};
use understudy_gateway::write::plan::{AnswerShape, PlannedItem};

use crate::{
    executor::{Executor, NOBODY, Owner, Sleep, Slot},
    kafka::{EffectsAt, Kafka, Message, Place},
    primary::{Did, Field, INDEX, Order, Primary, Value},
    random::Random,
    rules::{Rule, Without},
    scenario::Scenario,
    target::Target,
    text::{append, append_number, named},
};

/// The configuration's defaults, in ms.
pub(crate) mod times {
    pub(crate) const TICKET_LIFETIME: u64 = 60_000;
    pub(crate) const CLOCK_SKEW: u64 = 5_000;
    pub(crate) const LINGER: u64 = 60_000;
    pub(crate) const STALE_PRIMARY: u64 = 90_000;
    pub(crate) const SETTLE_AFTER: u64 = 2_000;
    pub(crate) const INTENT_TIMEOUT: u64 = 2_000;
    /// What is sent later than this after its ticket may outlive what the reconciler waits for.
    pub(crate) const LINGER_BEGINS: u64 = INTENT_TIMEOUT + CLOCK_SKEW;
    pub(crate) const PRIMARY_TIMEOUT: u64 = 40_000;
    pub(crate) const PUBLISH_TIMEOUT: u64 = 10_000;
    pub(crate) const TARGET_TIMEOUT: u64 = 30_000;
    pub(crate) const MAX_BACKOFF: u64 = 5_000;
    /// `session.timeout.ms` of members of groups.
    pub(crate) const SESSION: u64 = 15_000;
    pub(crate) const REVOKE_TIMEOUT: u64 = 5_000;
}

/// What clients want of one document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) document: usize,
    pub(crate) action: Action,
    pub(crate) n: u64,
    pub(crate) field: Option<Field>,
    pub(crate) client_version: Option<u64>,
}

/// Something is under way until this is dropped.
pub(crate) struct UnderWay(Rc<World>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}

/// A promise: this write of a document was acknowledged.
pub(crate) struct Acknowledged {
    pub(crate) write: u64,
    pub(crate) shard: u32,
    pub(crate) id: u64,
    pub(crate) order: (u64, u64),
}

/// Who is woken.
type Listeners = Vec<(Owner, Slot<()>)>;

pub(crate) struct World {
    pub(crate) executor: Rc<Executor>,
    pub(crate) chance: Random,
    pub(crate) scenario: Scenario,
    pub(crate) without: Without,
    pub(crate) quiet: Cell<bool>,
    pub(crate) primary: RefCell<Primary>,
    pub(crate) kafka: RefCell<Kafka>,
    pub(crate) targets: RefCell<Vec<Target>>,
    pub(crate) documents: Vec<DocumentKey>,
    /// An intent without documents: tickets of looks have it, and all others are made from it.
    pub(crate) no_intent: Rc<Intent>,
    begun: Instant,
    pub(crate) trace: Option<RefCell<Vec<String>>>,
    pub(crate) acknowledged: RefCell<Vec<Acknowledged>>,
    /// Requests in clusters, and writes in gateways.
    pub(crate) busy: Cell<usize>,
    pub(crate) errors: RefCell<Vec<String>>,
    /// Who waits for records of a partition.
    pub(crate) listeners: RefCell<BTreeMap<Place, Listeners>>,
    pub(crate) dead_letters: RefCell<Vec<String>>,
}

/// The number of a document's id.
pub(crate) fn number(id: &str) -> u64 {
    id[1..].parse().unwrap_or(0)
}

pub(crate) fn key(id: u64, routing: &str) -> DocumentKey {
    let routing = (!routing.is_empty()).then(|| Arc::from(routing));
    DocumentKey { index: INDEX.into(), id: named('d', id).into(), routing }
}

impl World {
    pub(crate) fn new(
        scenario: &Scenario,
        without: Without,
        documents: Vec<DocumentKey>,
        owners: usize,
        seeds: (u64, u64),
        trace: bool,
        begun: Instant,
    ) -> Self {
        let primary = Primary::new(scenario.shards, !scenario.created);
        let targets = (0..scenario.targets).map(|_| Target::new(primary.layout)).collect();
        Self {
            executor: Rc::new(Executor::new(Random::new(seeds.0, seeds.1 + 1), owners)),
            chance: Random::new(seeds.0, seeds.1 + 2),
            scenario: *scenario,
            without,
            quiet: Cell::new(false),
            primary: RefCell::new(primary),
            kafka: RefCell::new(Kafka::new(scenario.targets, scenario.partitions)),
            targets: RefCell::new(targets),
            documents,
            no_intent: crate::gateway::no_intent(scenario.targets),
            begun,
            trace: trace.then(RefCell::default),
            acknowledged: RefCell::default(),
            busy: Cell::new(0),
            errors: RefCell::default(),
            listeners: RefCell::default(),
            dead_letters: RefCell::default(),
        }
    }

    pub(crate) fn holds(&self, rule: Rule) -> bool {
        self.without.holds(rule)
    }

    pub(crate) fn now(&self) -> u64 {
        self.executor.now()
    }

    pub(crate) fn at(&self) -> Duration {
        Duration::from_millis(self.now())
    }

    pub(crate) fn instant(&self) -> Instant {
        self.begun + self.at()
    }

    pub(crate) fn sleep(&self, milliseconds: u64) -> Sleep {
        self.executor.sleep(milliseconds)
    }

    /// Chance of a fault, while there are faults.
    pub(crate) fn fault(&self, probability: f64) -> bool {
        !self.quiet.get() && self.chance.chance(probability)
    }

    pub(crate) fn say(&self, text: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let at = self.now();
            trace.borrow_mut().push(format!("{:>4}.{:03} {}", at / 1_000, at % 1_000, text()));
        }
    }

    pub(crate) fn spawn(&self, owner: Owner, work: impl Future<Output = ()> + 'static) {
        self.executor.spawn(owner, work);
    }

    pub(crate) fn under_way(self: &Rc<Self>) -> UnderWay {
        self.busy.set(self.busy.get() + 1);
        UnderWay(self.clone())
    }

    /// An id for a request.
    pub(crate) fn request(&self) -> Arc<str> {
        let mut kafka = self.kafka.borrow_mut();
        kafka.requests += 1;
        named('q', kafka.requests).into()
    }

    /// A way there and back.
    pub(crate) fn latency(&self) -> u64 {
        self.chance.between(1, 4)
    }

    // ---- Kafka

    fn append_now(&self, place: Place, message: &Message) -> i64 {
        let at_ms = self.kafka.borrow_mut().append(place, message, self.now());
        if self.trace.is_some() {
            self.say(|| show(place, message));
        }
        for (_, listener) in self.listeners.borrow().get(&place).into_iter().flatten() {
            listener.put(());
        }
        at_ms
    }

    /// Appends as a producer of `owner`, and waits for the acknowledgement: the append time. What is not acknowledged may be
    /// in the log or may still arrive; what one producer sends to one partition keeps its order.
    pub(crate) async fn append(
        self: &Rc<Self>,
        owner: Owner,
        place: Place,
        message: Message,
        timeout: u64,
    ) -> Result<i64, PublishError> {
        let now = self.now();
        let kafka_error = self.fault(self.scenario.kafka_error);
        let fate = self.chance.unit();
        let mut arrives = now + self.chance.between(0, 3);
        let mut heard = true;
        if kafka_error {
            heard = false;
            arrives = match fate {
                fate if fate > 0.7 => now + self.chance.between(1, self.scenario.kafka_late.max(2)),
                fate if fate > 0.4 => arrives,
                _ => u64::MAX,
            };
        }
        {
            let mut kafka = self.kafka.borrow_mut();
            if let Some(until) = kafka.blocked.get(&place).filter(|until| **until > now) {
                // librdkafka gives up after the time-out, and what it has not sent by then is not sent.
                if *until > now + timeout {
                    arrives = u64::MAX;
                } else if arrives != u64::MAX {
                    arrives = arrives.max(*until);
                }
            }
            if arrives != u64::MAX {
                let lane = kafka.lanes.entry((owner, place)).or_insert(0);
                arrives = arrives.max(*lane);
                *lane = arrives;
            }
        }
        let acknowledged = Slot::new(&self.executor);
        if arrives != u64::MAX {
            let (world, slot, under_way) = (self.clone(), acknowledged.clone(), self.under_way());
            self.spawn(NOBODY, async move {
                let _under_way = under_way;
                world.sleep(arrives.saturating_sub(world.now())).await;
                let at_ms = world.append_now(place, &message);
                if heard {
                    world.sleep(1).await;
                    slot.put(at_ms);
                }
            });
        }
        let failed = || PublishError::TimedOut(Duration::from_millis(timeout));
        acknowledged.take_by(now + timeout).await.ok_or_else(failed)
    }

    /// Wakes `owner` when something is appended to a partition.
    pub(crate) fn listen(&self, place: Place, owner: Owner, listener: &Slot<()>) {
        let mut listeners = self.listeners.borrow_mut();
        let there = listeners.entry(place).or_default();
        there.retain(|(known, _)| *known != owner);
        there.push((owner, listener.clone()));
    }

    /// The target in whose log nothing stands of a document that is as new as this write.
    pub(crate) fn not_in_log(&self, key: &DocumentKey, term: u64, seq: u64) -> Option<usize> {
        let version = PackedVersion::pack(crate::gateway::EPOCH, term, seq).ok()?;
        let kafka = self.kafka.borrow();
        let partition = key.partition(self.scenario.partitions) as usize;
        let lifetime = Duration::from_millis(times::TICKET_LIFETIME);
        let is_in = |log: &Vec<EffectsAt>| {
            log.iter().rev().any(|at| {
                let counts = !is_void(at.at_ms, at.record.provenance.ticket_ms, lifetime);
                counts && at.record.effects.iter().any(|effect| effect.key.id == key.id && effect.version >= version)
            })
        };
        kafka.effects.iter().position(|target| !is_in(&target[partition]))
    }

    // ---- the primary

    /// The cluster state moved.
    pub(crate) fn state_moves(&self, lags: bool) {
        let lag = if self.quiet.get() || !lags { 0 } else { *self.chance.pick(self.scenario.lag) };
        self.primary.borrow_mut().moves(self.now(), lag);
    }

    /// A request in the primary, which lives on when its gateway dies, and whose coordinating node tries again by itself.
    pub(crate) fn send(
        self: &Rc<Self>,
        write: u64,
        wishes: Rc<[Wish]>,
        items: &[PlannedItem],
        shape: AnswerShape,
    ) -> Slot<(ClusterAnswer, Rc<[Did]>)> {
        let answered = Slot::new(&self.executor);
        let (world, slot) = (self.clone(), answered.clone());
        let keys: Vec<DocumentKey> = items.iter().map(|item| item.key.clone()).collect();
        let under_way = self.under_way();
        self.spawn(NOBODY, async move {
            let _under_way = under_way;
            let lingers = world.fault(world.scenario.lingers);
            let wait = if lingers { world.chance.below(world.scenario.linger) } else { world.chance.below(4) };
            world.sleep(wait).await;
            let mut did = Vec::with_capacity(wishes.len());
            let mut piped = false;
            for (wish, key) in wishes.iter().zip(&keys) {
                let (what, through) = world.execute(write, wish, key).await;
                piped |= through;
                did.push(what);
            }
            if !world.fault(world.scenario.lose_reply) {
                world.sleep(1).await;
                let answer = answer(shape, &wishes, &keys, &did, piped);
                slot.put((answer, did.into()));
            }
        });
        answered
    }

    /// One item of a request: what became of it, and whether a pipeline ran.
    async fn execute(self: &Rc<Self>, write: u64, wish: &Wish, key: &DocumentKey) -> (Did, bool) {
        let born = self.now();
        for _ in 0..3 {
            if self.now() - born > times::LINGER / 3 {
                return (Did::Unknown, false);
            }
            let (did, entry, moved, shard, piped, term);
            {
                let mut primary = self.primary.borrow_mut();
                let mut moves = false;
                if !primary.exists {
                    if matches!(wish.action, Action::Delete | Action::Update) {
                        return (Did::NoIndex, false);
                    }
                    primary.exists = true;
                    moves = true;
                }
                if let Some(Field { number, date }) = wish.field {
                    match primary.mapping.get(&number) {
                        Some(true) if !date => return (Did::Refused, false),
                        Some(_) => {}
                        None => {
                            primary.mapping.insert(number, date);
                            primary.mapping_version += 1;
                            // A new mapping that is shown late is a known gap: in a scenario of its own alone.
                            if !moves && !self.scenario.mapping_lag {
                                primary.catches_up(self.now());
                            }
                            moves = true;
                        }
                    }
                }
                shard = primary.layout.shard_of(key);
                piped = primary.pipeline > 0 && matches!(wish.action, Action::Index | Action::Create);
                let order = Order {
                    id: number(&key.id),
                    routing: key.routing.as_ref(),
                    shard,
                    action: wish.action,
                    value: Value { n: wish.n, pipeline: 0, field: wish.field },
                    client_version: wish.client_version,
                };
                term = primary.shards[shard as usize].term;
                (did, entry) = primary.execute(&order, self.now());
                moved = moves;
            }
            if moved {
                self.state_moves(self.scenario.mapping_lag);
            }
            self.say(|| format!("primary: write {write} {:?} {} {did:?}", wish.action, key.id));
            let Some(entry) = entry else { return (did, piped) };
            let wait = if self.quiet.get() { 0 } else { *self.chance.pick(self.scenario.replication) };
            self.sleep(wait).await;
            self.primary.borrow_mut().replicate(shard, &entry);
            self.sleep(0).await;
            let failed_over = self.primary.borrow().shards[shard as usize].term != term;
            if entry.lost.get() || failed_over && self.chance.chance(0.5) {
                if self.chance.chance(0.7) {
                    self.say(|| format!("primary: the coordinating node tries write {write} again"));
                    self.sleep(3).await;
                    continue;
                }
                return (Did::Unknown, piped);
            }
            return (did, piped);
        }
        (Did::Unknown, false)
    }

    pub(crate) fn fail(&self, text: String) {
        self.errors.borrow_mut().push(text);
    }
}

fn show(place: Place, message: &Message) -> String {
    match message {
        Message::Effects(record) => {
            let effects = record.effects.iter().map(|effect| {
                let how = if effect.observed { " observed" } else { "" };
                let client = effect.client_version.map(|version| format!(" client {version}")).unwrap_or_default();
                format!("{} {:?} {}{how}{client}", effect.key.id, effect.state, effect.version)
            });
            let from = &record.provenance;
            format!(
                "{place:?}: {} of {}, ticket {}",
                effects.collect::<Vec<_>>().join(", "),
                from.request,
                from.ticket_ms
            )
        }
        Message::Intent(request, Some(_)) => format!("{place:?}: open {request}"),
        Message::Intent(request, None) => format!("{place:?}: settled {request}"),
        Message::Schema(schema) => format!("{place:?}: {schema:?}"),
    }
}

/// The answer's bytes, as Elasticsearch writes them.
fn answer(shape: AnswerShape, wishes: &[Wish], keys: &[DocumentKey], did: &[Did], piped: bool) -> ClusterAnswer {
    let mut body = String::with_capacity(192 * wishes.len() + 64);
    let bulk = shape == AnswerShape::Bulk;
    let mut whole = 200;
    if bulk {
        let ingest = if piped { "\"ingest_took\":0," } else { "" };
        append(&mut body, &["{\"took\":1,", ingest, "\"errors\":false,\"items\":["]);
    }
    for (place, ((wish, key), did)) in wishes.iter().zip(keys).zip(did).enumerate() {
        if bulk {
            append(&mut body, &[if place > 0 { "," } else { "" }, "{\"", wish.action.name(), "\":"]);
        }
        append(&mut body, &["{\"_index\":\"", INDEX, "\",\"_id\":\"", &key.id, "\""]);
        let status = item(&mut body, did);
        body.push_str(",\"status\":");
        append_number(&mut body, u64::from(status));
        body.push('}');
        if bulk {
            body.push('}');
        } else {
            whole = status;
        }
    }
    if bulk {
        body.push_str("]}");
    }
    let status = StatusCode::from_u16(whole).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    ClusterAnswer { status, headers: hyper::HeaderMap::new(), body: body.into() }
}

/// What became of one item; its status.
fn item(body: &mut String, did: &Did) -> u16 {
    let (status, kind) = match did {
        Did::Done { result, seq, term, version, source } => {
            body.push_str(",\"_version\":");
            append_number(body, *version);
            append(body, &[",\"result\":\"", result, "\""]);
            order(body, *seq, *term);
            if let Some(source) = source {
                body.push_str(",\"get\":{\"found\":true");
                order(body, *seq, *term);
                append(body, &[",\"_source\":", &String::from_utf8_lossy(source), "}"]);
            }
            return match *result {
                "created" => 201,
                "not_found" => 404,
                _ => 200,
            };
        }
        Did::Conflict => (409, "version_conflict_engine_exception"),
        Did::Missing => (404, "document_missing_exception"),
        Did::NoIndex => (404, "index_not_found_exception"),
        Did::Refused => (400, "mapper_parsing_exception"),
        Did::Unknown => (503, "unavailable_shards_exception"),
    };
    append(body, &[",\"error\":{\"type\":\"", kind, "\"}"]);
    status
}

fn order(body: &mut String, seq: u64, term: u64) {
    body.push_str(",\"_seq_no\":");
    append_number(body, seq);
    body.push_str(",\"_primary_term\":");
    append_number(body, term);
}
