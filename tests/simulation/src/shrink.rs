//! A failure made small: fewer writes, fewer faults, less chance.

use crate::{
    plan::{Act, Plan, draw},
    rules::Without,
    run::{Outcome, run},
    scenario::Scenario,
};

/// With other chance a smaller plan may fail where it did not: so many are tried.
const VARIATIONS: u64 = 6;

/// A failure that is as small as it was made.
#[derive(Clone, Debug)]
pub struct Small {
    /// What came of it, with its trace.
    pub outcome: Outcome,
    /// Writes in it, and faults.
    pub acts: (usize, usize),
    /// And in what it was made from.
    pub from: usize,
    /// Runs that it took.
    pub runs: usize,
}

struct Shrinking {
    seed: u64,
    without: Without,
    scenario: Scenario,
    plan: Plan,
    variation: u64,
    /// What must be in the errors.
    kind: String,
    runs: usize,
}

/// Makes the failure of a seed small. `None` when it does not fail.
#[must_use]
pub fn shrink(scenario: &Scenario, seed: u64, without: Without) -> Option<Small> {
    let plan = draw(scenario, seed);
    let outcome = run(scenario, seed, 0, &plan, without, false);
    let kind = outcome.errors.first()?.split(' ').next()?.to_owned();
    let from = plan.acts.len();
    let mut shrinking = Shrinking { seed, without, scenario: *scenario, plan, variation: 0, kind, runs: 1 };
    shrinking.drop_acts();
    shrinking.drop_items();
    shrinking.drop_chance();
    shrinking.drop_acts();
    let Shrinking { scenario, plan, variation, runs, .. } = shrinking;
    let outcome = run(&scenario, seed, variation, &plan, without, true);
    let writes = plan.acts.iter().filter(|(_, act)| matches!(act, Act::Write { .. })).count();
    Some(Small { outcome, acts: (writes, plan.acts.len() - writes), from, runs })
}

impl Shrinking {
    /// Whether it still fails like this, by any chance. If so, it stays like this.
    fn fails(&mut self, scenario: Scenario, plan: Plan) -> bool {
        for variation in (0..VARIATIONS).map(|offset| (self.variation + offset) % VARIATIONS) {
            self.runs += 1;
            let outcome = run(&scenario, self.seed, variation, &plan, self.without, false);
            if outcome.errors.iter().any(|error| error.starts_with(&self.kind)) {
                (self.scenario, self.plan, self.variation) = (scenario, plan, variation);
                return true;
            }
        }
        false
    }

    fn drop_acts(&mut self) {
        let mut size = self.plan.acts.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.plan.acts.len() {
                let mut plan = self.plan.clone();
                plan.acts.drain(from..(from + size).min(plan.acts.len()));
                if !self.fails(self.scenario, plan) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// Bulks of one item.
    fn drop_items(&mut self) {
        for place in 0..self.plan.acts.len() {
            let mut item = 0;
            while let Act::Write { wishes, .. } = &self.plan.acts[place].1
                && wishes.len() > 1
                && item < wishes.len()
            {
                let mut plan = self.plan.clone();
                if let Act::Write { wishes, .. } = &mut plan.acts[place].1 {
                    wishes.remove(item);
                }
                if !self.fails(self.scenario, plan) {
                    item += 1;
                }
            }
        }
    }

    fn drop_chance(&mut self) {
        let chances: [fn(&mut Scenario); 8] = [
            |scenario| scenario.kafka_error = 0.0,
            |scenario| scenario.lose_reply = 0.0,
            |scenario| scenario.lingers = 0.0,
            |scenario| scenario.bulk_slow = 0.0,
            |scenario| scenario.bulk_unanswered = 0.0,
            |scenario| scenario.slow_look = 0.0,
            |scenario| scenario.replication = &[1],
            |scenario| scenario.consumers = 1,
        ];
        for less in chances {
            let mut scenario = self.scenario;
            less(&mut scenario);
            if scenario.consumers == self.scenario.consumers || !self.names_consumers() {
                self.fails(scenario, self.plan.clone());
            }
        }
    }

    fn names_consumers(&self) -> bool {
        let named = |act: &Act| matches!(act, Act::ConsumerDies(_) | Act::ConsumerFreezes(..) | Act::HandsOver { .. });
        self.plan.acts.iter().any(|(_, act)| named(act))
    }
}
