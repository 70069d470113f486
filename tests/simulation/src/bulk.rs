//! The way of a bulk into a target: it lives on when its consumer dies or gives up.

use std::rc::Rc;

use bytes::Bytes;
use hyper::StatusCode;
use understudy_common::{cluster::CallError, effect::Effect};
use understudy_consumer::{
    engine::{Bulk, Way},
    force::decide::{Condition, Copy, Step, decide},
    verdict::{BulkVerdict, Expected, Reason, Verdict, of_answer, of_silence},
};

use crate::{
    executor::{NOBODY, Slot},
    primary::INDEX,
    rules::Rule,
    target::Check,
    text::{append, append_number},
    world::{World, times},
};

/// How often a copy that keeps changing is looked at, as in `force`.
const TRIES: usize = 5;

impl World {
    fn bulk(self: &Rc<Self>, target: usize, items: Vec<(Effect, Check)>) -> Slot<Bytes> {
        let answered = Slot::new(&self.executor);
        let (world, slot) = (self.clone(), answered.clone());
        let under_way = self.under_way();
        self.spawn(NOBODY, async move {
            let _under_way = under_way;
            let slow = world.fault(world.scenario.bulk_slow);
            let wait = if slow { world.chance.between(1_000, times::LINGER - 5_000) } else { world.chance.below(3) };
            world.sleep(wait).await;
            let mut body = String::with_capacity(128 * items.len() + 16);
            body.push_str("{\"items\":[");
            for (place, (effect, check)) in items.iter().enumerate() {
                let (status, result, seq) = world.targets.borrow_mut()[target].apply(effect, *check);
                world.say(|| {
                    format!("target {target}: {} {} {:?} -> {status}", effect.key.id, effect.version, effect.state)
                });
                let action = match check {
                    Check::Condition(condition) => condition.action(effect),
                    Check::Versions { .. } => effect.action(),
                };
                let rest = match status {
                    409 => "\"error\":{\"type\":\"version_conflict_engine_exception\"}",
                    400 => "\"error\":{\"type\":\"mapper_parsing_exception\"}",
                    _ => "",
                };
                if place > 0 {
                    body.push(',');
                }
                let id = &effect.key.id;
                append(&mut body, &["{\"", action, "\":{\"_index\":\"", INDEX, "\",\"_id\":\"", id, "\",\"status\":"]);
                append_number(&mut body, u64::from(status));
                body.push(',');
                if rest.is_empty() {
                    append(&mut body, &["\"result\":\"", result, "\",\"_seq_no\":"]);
                    append_number(&mut body, seq);
                } else {
                    body.push_str(rest);
                }
                body.push_str("}}");
                if world.chance.chance(0.2) {
                    world.sleep(1).await;
                }
            }
            body.push_str("]}");
            if !world.fault(world.scenario.bulk_unanswered) {
                slot.put(body.into());
            }
        });
        answered
    }

    /// Sends a bulk and judges the answer, as `service` and `force` do.
    pub(crate) async fn apply(self: &Rc<Self>, target: usize, bulk: &Bulk) -> BulkVerdict {
        match bulk.way {
            Way::Versions => {
                let check = Check::Versions { external: self.holds(Rule::External) };
                let items: Vec<(Effect, Check)> = bulk.effects.iter().map(|effect| (effect.clone(), check)).collect();
                if !self.holds(Rule::OneBatch) {
                    let _ = self.bulk(target, items);
                    return BulkVerdict::Items(vec![Verdict::Applied; bulk.effects.len()]);
                }
                self.post(target, items).await
            }
            Way::Force => self.force(target, bulk).await,
        }
    }

    async fn post(self: &Rc<Self>, target: usize, items: Vec<(Effect, Check)>) -> BulkVerdict {
        let told: Vec<(Effect, &'static str)> = items
            .iter()
            .map(|(effect, check)| match check {
                Check::Condition(condition) => (effect.clone(), condition.action(effect)),
                Check::Versions { .. } => (effect.clone(), effect.action()),
            })
            .collect();
        let answered = self.bulk(target, items);
        let verdict = match answered.take_by(self.now() + times::TARGET_TIMEOUT).await {
            Some(body) => {
                let expected: Vec<Expected<'_>> = told
                    .iter()
                    .map(|(effect, action)| Expected { action, index: &effect.key.index, id: &effect.key.id })
                    .collect();
                of_answer(StatusCode::OK, &body, &expected)
            }
            None => of_silence(&CallError::Unanswered { cluster: target.to_string(), reason: "no answer".into() }),
        };
        match verdict {
            BulkVerdict::Unknown(reason) if !self.holds(Rule::OwnTimeout) => BulkVerdict::NotSent(reason),
            verdict => verdict,
        }
    }

    /// Rounds of looks and conditional writes, as in `Forcer::force`.
    async fn force(self: &Rc<Self>, target: usize, bulk: &Bulk) -> BulkVerdict {
        let mut verdicts: Vec<Option<Verdict>> = vec![None; bulk.effects.len()];
        if !self.holds(Rule::ClientCas) {
            return BulkVerdict::Items(vec![Verdict::Applied; bulk.effects.len()]);
        }
        for _ in 0..TRIES {
            self.sleep(self.latency()).await;
            let mut writes: Vec<(usize, Condition)> = Vec::new();
            for (place, verdict) in verdicts.iter_mut().enumerate().filter(|(_, verdict)| verdict.is_none()) {
                let effect = &bulk.effects[place];
                let copy: Copy = self.targets.borrow()[target].copy(effect);
                match decide(effect, &copy) {
                    Step::Done => *verdict = Some(Verdict::Applied),
                    Step::Write(condition) => writes.push((place, condition)),
                    Step::NoIndex | Step::Unknown(_) => {}
                }
            }
            if writes.is_empty() {
                break;
            }
            let items =
                writes.iter().map(|(place, condition)| (bulk.effects[*place].clone(), Check::Condition(*condition)));
            match self.post(target, items.collect()).await {
                BulkVerdict::Items(items) => {
                    for ((place, _), verdict) in writes.into_iter().zip(items) {
                        verdicts[place] = Some(verdict).filter(|verdict| *verdict != Verdict::Superseded);
                    }
                }
                whole => return whole,
            }
        }
        let restless = || Verdict::Retry {
            overloaded: false,
            lingers: false,
            reason: Reason { status: 409, kind: "copy_changes".into(), text: String::new() },
        };
        BulkVerdict::Items(verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(restless)).collect())
    }
}
