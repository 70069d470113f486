//! One schedule, from its beginning to the judgement.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Instant};

use crate::{
    consumer::{self, Consumer},
    executor::{NOBODY, Owner},
    gateway::Gateway,
    judge,
    kafka::{INTENT_PARTITIONS, Place},
    plan::{Act, Plan},
    reconciler::{self, Reconciler},
    rules::{Rule, Without},
    scenario::Scenario,
    world::{World, times},
};

/// After the faults, everything must have come to rest within this time, in ms.
const PATIENCE: u64 = 900_000;

/// What came of a schedule.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What does not hold; nothing where all is well.
    pub errors: Vec<String>,
    /// What happened, where that was asked for.
    pub trace: Vec<String>,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// How often a task went on.
    pub steps: u64,
}

struct Processes {
    gateways: RefCell<Vec<Option<Rc<Gateway>>>>,
    consumers: RefCell<Vec<Option<Rc<Consumer>>>>,
    reconcilers: RefCell<Vec<Option<Rc<Reconciler>>>>,
}

/// Who is who: gateways first, consumers behind them.
fn gateway_owner(gateway: usize) -> Owner {
    1 + gateway
}

struct Run {
    world: Rc<World>,
    processes: Processes,
}

/// Runs a schedule. `variation` changes everything that is left to chance but the plan.
pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    variation: u64,
    plan: &Plan,
    without: Without,
    trace: bool,
) -> Outcome {
    let owners = 1 + scenario.gateways + scenario.consumers * scenario.targets;
    let (documents, seeds) = (plan.documents.clone(), (seed, 10 * variation));
    let world = Rc::new(World::new(scenario, without, documents, owners, seeds, trace, Instant::now()));
    let consumers = scenario.consumers * scenario.targets;
    let run = Rc::new(Run {
        world: world.clone(),
        processes: Processes {
            gateways: RefCell::new(vec![None; scenario.gateways]),
            consumers: RefCell::new(vec![None; consumers]),
            reconcilers: RefCell::new((0..consumers).map(|_| None).collect()),
        },
    });
    (0..scenario.gateways).for_each(|gateway| run.start_gateway(gateway));
    (0..consumers).for_each(|consumer| run.start_consumer(consumer));
    for place in run.places() {
        run.give(place, None);
    }
    let master = run.clone();
    let acts = plan.acts.clone();
    let over = Rc::new(std::cell::Cell::new(false));
    let ended = over.clone();
    world.spawn(NOBODY, async move {
        master.lead(acts).await;
        ended.set(true);
    });
    while !over.get() && world.executor.step() {}
    let mut errors = std::mem::take(&mut *world.errors.borrow_mut());
    errors.extend(judge::judge(&world));
    let trace = world.trace.as_ref().map(RefCell::take).unwrap_or_default();
    let (acknowledged, steps) = (world.acknowledged.borrow().len(), world.executor.steps());
    // Tasks hold the world and the world holds tasks.
    (0..owners).for_each(|owner| world.executor.kill(owner));
    world.listeners.borrow_mut().clear();
    Outcome { errors, trace, acknowledged, steps }
}

impl Run {
    fn consumer_owner(&self, consumer: usize) -> Owner {
        1 + self.world.scenario.gateways + consumer
    }

    fn target_of(&self, consumer: usize) -> usize {
        consumer / self.world.scenario.consumers
    }

    /// Every partition that has an owner.
    fn places(&self) -> Vec<Place> {
        let scenario = &self.world.scenario;
        let of = |target| (0..scenario.partitions).map(move |partition| Place::Effects { target, partition });
        (0..INTENT_PARTITIONS).map(Place::Intents).chain((0..scenario.targets).flat_map(of)).collect()
    }

    fn start_gateway(&self, gateway: usize) {
        self.processes.gateways.borrow_mut()[gateway] = Some(Gateway::new(&self.world, gateway_owner(gateway)));
    }

    fn start_consumer(&self, consumer: usize) {
        let (owner, target) = (self.consumer_owner(consumer), self.target_of(consumer));
        self.processes.consumers.borrow_mut()[consumer] = Some(Consumer::start(&self.world, owner, target));
        self.processes.reconcilers.borrow_mut()[consumer] = Some(Reconciler::start(&self.world, owner));
    }

    /// Gives a partition to one of those that live, another one than `but` where there is one.
    fn give(&self, place: Place, but: Option<Owner>) {
        let world = &self.world;
        let consumers = self.processes.consumers.borrow();
        let may = |consumer: &usize| {
            let fits = match place {
                Place::Effects { target, .. } => self.target_of(*consumer) == target,
                _ => true,
            };
            fits && consumers[*consumer].is_some() && !world.executor.is_frozen(self.consumer_owner(*consumer))
        };
        let mut able: Vec<usize> = (0..consumers.len()).filter(may).collect();
        if able.len() > 1 {
            able.retain(|consumer| Some(self.consumer_owner(*consumer)) != but);
        }
        let mut kafka = world.kafka.borrow_mut();
        kafka.generations += 1;
        let generation = kafka.generations;
        let held = kafka.groups.entry(place).or_default();
        held.generation = generation;
        held.owner = None;
        if able.is_empty() {
            return;
        }
        let chosen = *world.chance.pick(&able);
        held.owner = Some(self.consumer_owner(chosen));
        drop(kafka);
        match place {
            Place::Effects { partition, .. } => {
                if let Some(consumer) = &consumers[chosen] {
                    consumer.happens(consumer::Event::Assigned { partition, generation });
                }
            }
            Place::Intents(partition) => {
                if let Some(reconciler) = &self.processes.reconcilers.borrow()[chosen] {
                    reconciler.happens(reconciler::Event::Assigned { partition, generation });
                }
            }
            Place::Schema => {}
        }
    }

    fn held_by(&self, owner: Owner) -> Vec<(Place, u64)> {
        let kafka = self.world.kafka.borrow();
        let held = kafka.groups.iter().filter(|(_, held)| held.owner == Some(owner));
        let mut held: Vec<_> = held.map(|(place, held)| (*place, held.generation)).collect();
        held.sort_unstable();
        held
    }

    /// After the session the group gives what a member had to others.
    fn session_ends(self: &Rc<Self>, owner: Owner, frozen_until: Option<u64>) {
        let run = self.clone();
        self.world.spawn(NOBODY, async move {
            let world = &run.world;
            let held = run.held_by(owner);
            world.sleep(times::SESSION).await;
            if frozen_until.is_some_and(|until| until <= world.now()) {
                return;
            }
            for (place, generation) in held {
                let current = world.kafka.borrow().groups.get(&place).is_some_and(|held| held.generation == generation);
                if current {
                    run.give(place, Some(owner));
                    if frozen_until.is_some() {
                        run.tell_gone(owner, place, generation);
                    }
                }
            }
        });
    }

    /// A member that was frozen hears of it some time after it goes on.
    fn tell_gone(self: &Rc<Self>, owner: Owner, place: Place, generation: u64) {
        let consumer = owner - self.consumer_owner(0);
        let (world, run) = (self.world.clone(), self.clone());
        let (known, reconciles) = (
            self.processes.consumers.borrow()[consumer].clone(),
            self.processes.reconcilers.borrow()[consumer].clone(),
        );
        self.world.spawn(owner, async move {
            world.sleep(world.chance.below(1_500)).await;
            match (place, known, reconciles) {
                (Place::Effects { partition, .. }, Some(consumer), _) => {
                    consumer.happens(consumer::Event::Gone { partition, generation });
                }
                (Place::Intents(partition), _, Some(reconciler)) => {
                    reconciler.happens(reconciler::Event::Gone { partition, generation });
                }
                _ => {}
            }
            drop(run);
        });
    }

    async fn lead(self: Rc<Self>, acts: Vec<(u64, Act)>) {
        let world = &self.world;
        for (number, (at, act)) in acts.into_iter().enumerate() {
            world.executor.sleep_until(at).await;
            self.act(number as u64 + 1, act);
        }
        world.executor.sleep_until(world.scenario.seconds * 1_000).await;
        world.quiet.set(true);
        world.say(|| "faults end".to_owned());
        {
            let mut kafka = world.kafka.borrow_mut();
            kafka.blocked.clear();
            kafka.skew.clear();
        }
        let until = world.now() + PATIENCE;
        loop {
            world.sleep(5_000).await;
            self.adopt();
            let open = self.open_work();
            if open.is_empty() || !world.errors.borrow().is_empty() {
                return;
            }
            if world.now() > until {
                world.fail(format!("STALL: {}", open.join(", ")));
                return;
            }
        }
    }

    /// Partitions without an owner are given to whoever lives.
    fn adopt(&self) {
        for place in self.places() {
            let alone = self.world.kafka.borrow().groups.get(&place).is_none_or(|held| held.owner.is_none());
            if alone {
                self.give(place, None);
            }
        }
    }

    fn open_work(&self) -> Vec<String> {
        let world = &self.world;
        let kafka = world.kafka.borrow();
        let mut open = Vec::new();
        let owners = 1 + world.scenario.gateways + world.scenario.consumers * world.scenario.targets;
        if (1..owners).any(|owner| world.executor.is_frozen(owner)) {
            open.push("somebody stands still".to_owned());
        }
        if world.busy.get() > 0 {
            open.push("requests".to_owned());
        }
        if !kafka.open.is_empty() && world.holds(Rule::Reconcile) {
            open.push(format!("intents {:?}", kafka.open.keys().collect::<Vec<_>>()));
        }
        for place in self.places() {
            let Place::Effects { target, partition } = place else { continue };
            let end = kafka.effects[target][partition as usize].len() as i64;
            let committed = kafka.groups.get(&place).and_then(|held| held.committed).map_or(0, |(offset, _)| offset);
            if committed < end {
                open.push(format!("{place:?} at {committed} of {end}"));
            }
        }
        let rests = |consumer: &Rc<Consumer>| consumer.rests();
        if !self.processes.consumers.borrow().iter().flatten().all(rests) {
            open.push("consumers".to_owned());
        }
        open
    }

    fn act(self: &Rc<Self>, number: u64, act: Act) {
        let world = &self.world;
        match act {
            Act::Write { gateway, wishes, bulk } => {
                let frozen = world.executor.is_frozen(gateway_owner(gateway));
                if let Some(gateway) = self.processes.gateways.borrow()[gateway].as_ref().filter(|_| !frozen) {
                    gateway.write(number, &wishes, bulk);
                }
            }
            Act::GatewayDies(gateway) => self.gateway_dies(gateway),
            Act::GatewayFreezes(gateway, milliseconds, dies) => {
                if let Some(after) = dies {
                    let run = self.clone();
                    world.spawn(NOBODY, async move {
                        run.world.sleep(milliseconds + after).await;
                        run.gateway_dies(gateway);
                    });
                }
                world.say(|| format!("gateway {} stands still for {milliseconds} ms", gateway_owner(gateway)));
                world.executor.freeze(gateway_owner(gateway), world.now() + milliseconds);
            }
            Act::ShardFails(shard, answers) => {
                let lost = world.primary.borrow_mut().fail_over(shard, world.now() + answers);
                world.say(|| format!("primary: shard {shard} fails over, {lost} operations are lost"));
                world.state_moves(true);
            }
            Act::TargetRestarts(target) => {
                world.say(|| format!("target {target} restarts"));
                world.targets.borrow_mut()[target].forget();
            }
            Act::ConsumerDies(consumer) => self.consumer_dies(consumer),
            Act::ConsumerFreezes(consumer, milliseconds) => {
                let owner = self.consumer_owner(consumer);
                world.say(|| format!("consumer {owner} stands still for {milliseconds} ms"));
                world.executor.freeze(owner, world.now() + milliseconds);
                if let Some(consumer) = &self.processes.consumers.borrow()[consumer] {
                    consumer.stands_still(milliseconds);
                }
                self.session_ends(owner, Some(world.now() + milliseconds));
            }
            Act::HandsOver { target, partition } => self.hand_over(target, partition),
            Act::KafkaBlocks(which, milliseconds) => {
                let places = self.places();
                let place = places[which as usize % places.len()];
                world.say(|| format!("Kafka: {place:?} takes nothing for {milliseconds} ms"));
                world.kafka.borrow_mut().blocked.insert(place, world.now() + milliseconds);
            }
            Act::PipelineChanges(pipeline) => {
                let mut primary = world.primary.borrow_mut();
                let pipeline = if primary.pipeline > 0 { 0 } else { pipeline + 1 };
                primary.set_pipeline(pipeline);
                drop(primary);
                world.say(|| format!("primary: the pipeline is {pipeline}"));
                world.state_moves(true);
            }
            Act::ClockJumps(which, skew) => {
                let places = self.places();
                let place = places[which as usize % places.len()];
                world.say(|| format!("Kafka: the clock of {place:?} is off by {skew} ms"));
                world.kafka.borrow_mut().skew.insert(place, skew);
            }
        }
    }

    fn gateway_dies(self: &Rc<Self>, gateway: usize) {
        let world = &self.world;
        // Nothing is promised of a gateway that dies before it reports what it sent too late.
        let owes = self.processes.gateways.borrow()[gateway].as_ref().is_some_and(|gateway| gateway.owes.get() > 0);
        if owes {
            return;
        }
        world.say(|| format!("gateway {} dies", gateway_owner(gateway)));
        world.executor.kill(gateway_owner(gateway));
        self.processes.gateways.borrow_mut()[gateway] = None;
        let run = self.clone();
        world.spawn(NOBODY, async move {
            run.world.sleep(run.world.chance.between(1_000, 20_000)).await;
            if run.processes.gateways.borrow()[gateway].is_none() {
                run.start_gateway(gateway);
            }
        });
    }

    fn consumer_dies(self: &Rc<Self>, consumer: usize) {
        let (world, owner) = (&self.world, self.consumer_owner(consumer));
        if self.processes.consumers.borrow()[consumer].is_none() {
            return;
        }
        world.say(|| format!("consumer {owner} dies"));
        world.executor.kill(owner);
        self.processes.consumers.borrow_mut()[consumer] = None;
        self.processes.reconcilers.borrow_mut()[consumer] = None;
        self.session_ends(owner, None);
        let run = self.clone();
        world.spawn(NOBODY, async move {
            run.world.sleep(run.world.chance.between(1_000, 30_000)).await;
            if run.processes.consumers.borrow()[consumer].is_none() {
                run.start_consumer(consumer);
            }
            run.world.sleep(times::SESSION).await;
            run.adopt();
        });
    }

    /// A partition goes to another member in good order, if its owner lets it go in time.
    fn hand_over(self: &Rc<Self>, target: usize, partition: i32) {
        let place = Place::Effects { target, partition };
        let held = self.world.kafka.borrow().groups.get(&place).cloned().unwrap_or_default();
        let Some(owner) = held.owner else { return };
        let Some(consumer) = self.processes.consumers.borrow()[owner - self.consumer_owner(0)].clone() else { return };
        self.world.say(|| format!("partition {partition} is taken from consumer {owner}"));
        consumer.happens(consumer::Event::Revoking(partition));
        let run = self.clone();
        self.world.spawn(NOBODY, async move {
            let world = &run.world;
            let until = world.now() + times::REVOKE_TIMEOUT;
            let state = || {
                let kafka = world.kafka.borrow();
                let now = kafka.groups.get(&place).cloned().unwrap_or_default();
                (now.generation == held.generation, now.owner.is_none())
            };
            loop {
                world.sleep(50).await;
                match state() {
                    (false, _) => return,
                    (true, true) => break,
                    (true, false) if world.now() > until => {
                        run.tell_gone(owner, place, held.generation);
                        break;
                    }
                    (true, false) => {}
                }
            }
            run.give(place, Some(owner));
        });
    }
}

/// Whether two maps say the same; what they differ in.
pub(crate) fn differences<K: Ord + Clone, V: PartialEq>(one: &BTreeMap<K, V>, other: &BTreeMap<K, V>) -> Vec<K> {
    let mut keys: Vec<K> = one.keys().chain(other.keys()).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().filter(|key| one.get(key) != other.get(key)).collect()
}
