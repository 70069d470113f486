//! What clients do and what goes wrong in a schedule: drawn from the seed beforehand, so that some of it can be left out
//! (see `shrink`) without moving the rest.

use understudy_common::{bulk::Action, document::DocumentKey};

use crate::{
    primary::Field,
    random::Random,
    scenario::Scenario,
    world::{Wish, key},
};

/// A write, or something that goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Write {
        gateway: usize,
        wishes: Vec<Wish>,
        bulk: bool,
    },
    GatewayDies(usize),
    /// Which one, for how long, and after how long it dies then.
    GatewayFreezes(usize, u64, Option<u64>),
    ShardFails(usize, u64),
    TargetRestarts(usize),
    ConsumerDies(usize),
    ConsumerFreezes(usize, u64),
    HandsOver {
        target: usize,
        partition: i32,
    },
    KafkaBlocks(u64, u64),
    PipelineChanges(u32),
    ClockJumps(u64, i64),
}

/// What happens when, in ms.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) acts: Vec<(u64, Act)>,
    pub(crate) documents: Vec<DocumentKey>,
}

/// Draws a plan.
pub(crate) fn draw(scenario: &Scenario, seed: u64) -> Plan {
    let random = Random::new(seed, 0);
    let (mut acts, mut documents) = (Vec::new(), Vec::new());
    let mut writes = 0;
    let consumers = scenario.consumers * scenario.targets;
    for second in 0..scenario.seconds {
        let at = |random: &Random| second * 1_000 + random.below(1_000);
        // Clients write two at once, now and then.
        for _ in 0..2 {
            if !random.chance(scenario.rate / 1.4) || random.chance(0.3) {
                continue;
            }
            let items = if random.chance(0.2) { random.between(2, 4) } else { 1 };
            let wishes = (0..items).map(|_| wish(scenario, &random, second, &mut writes, &mut documents));
            let wishes: Vec<Wish> = wishes.collect();
            let bulk = items > 1 || random.chance(0.4);
            let (gateway, begins) = (random.below(scenario.gateways as u64) as usize, at(&random));
            acts.push((begins, Act::Write { gateway, wishes, bulk }));
            let within = |random: &Random| random.below(1 << random.between(1, 10));
            if random.chance(scenario.caught) {
                let (length, dies) = freeze(scenario, &random);
                acts.push((begins + within(&random), Act::GatewayFreezes(gateway, length, dies)));
            }
            if random.chance(scenario.consumer_caught) {
                let (which, length) = (random.below(consumers as u64) as usize, freeze(scenario, &random).0);
                // While its effects are applied, or while the reconciler looks.
                let after = *random.pick(&[0, 0, scenario.reconcile_after]);
                let act =
                    if random.chance(0.3) { Act::ConsumerDies(which) } else { Act::ConsumerFreezes(which, length) };
                acts.push((begins + after + within(&random), act));
            }
        }
        let any = |random: &Random, of: usize| random.below(of as u64) as usize;
        let mut maybe = |chance: f64, act: &dyn Fn(&Random) -> Act| {
            if random.chance(chance) {
                acts.push((at(&random), act(&random)));
            }
        };
        maybe(scenario.gateway_dies, &|random| Act::GatewayDies(any(random, scenario.gateways)));
        maybe(scenario.gateway_freezes, &|random| {
            let (length, dies) = freeze(scenario, random);
            Act::GatewayFreezes(any(random, scenario.gateways), length, dies)
        });
        maybe(scenario.shard_fails, &|random| {
            let answers = if scenario.stale { random.below(60_000) } else { 0 };
            Act::ShardFails(any(random, scenario.shards as usize), answers)
        });
        maybe(scenario.target_restarts, &|random| Act::TargetRestarts(any(random, scenario.targets)));
        maybe(scenario.consumer_dies, &|random| Act::ConsumerDies(any(random, consumers)));
        maybe(scenario.consumer_freezes, &|random| {
            Act::ConsumerFreezes(any(random, consumers), freeze(scenario, random).0)
        });
        maybe(scenario.hands_over, &|random| Act::HandsOver {
            target: any(random, scenario.targets),
            partition: any(random, scenario.partitions as usize) as i32,
        });
        maybe(scenario.kafka_blocks, &|random| Act::KafkaBlocks(random.next(), random.between(500, 60_000)));
        maybe(scenario.pipeline_changes, &|random| Act::PipelineChanges(random.below(1_000) as u32));
        maybe(scenario.clock_jumps, &|random| Act::ClockJumps(random.next(), random.below(5_001) as i64 - 2_500));
    }
    acts.sort_by_key(|(at, _)| *at);
    Plan { acts, documents }
}

/// How long a process freezes, and after how long a gateway dies then.
fn freeze(scenario: &Scenario, random: &Random) -> (u64, Option<u64>) {
    // Most of what it had to do is done within some milliseconds.
    let dies = random.chance(scenario.dies_thawed).then(|| random.below(1 << random.between(1, 12)));
    (random.between(scenario.freeze.0, scenario.freeze.1), dies)
}

fn wish(scenario: &Scenario, random: &Random, second: u64, writes: &mut u64, documents: &mut Vec<DocumentKey>) -> Wish {
    *writes += 1;
    let mut drawn = random.below(scenario.mix.iter().sum());
    let mut action = Action::Index;
    for (share, kind) in scenario.mix.iter().zip([Action::Index, Action::Delete, Action::Create, Action::Update]) {
        if drawn < *share {
            action = kind;
            break;
        }
        drawn -= share;
    }
    let id = second / scenario.burst * 10 + random.below(scenario.keys);
    let routing: &&str = random.pick(scenario.routings);
    let key = key(id, routing);
    let document = documents.iter().position(|known| *known == key).unwrap_or_else(|| {
        documents.push(key);
        documents.len() - 1
    });
    let n = if action == Action::Update { *writes % 3 } else { *writes };
    let has_field = scenario.fields && matches!(action, Action::Index | Action::Create);
    let field = has_field.then(|| Field { number: second / 40, date: random.chance(0.5) });
    let versioned = matches!(action, Action::Index | Action::Delete) && random.chance(scenario.client_versions);
    let client_version = versioned.then(|| random.between(1, 12) + second / 20);
    Wish { document, action, n, field, client_version }
}
