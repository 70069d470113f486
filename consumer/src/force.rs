//! Writes effects by compare-and-set against the target's own copies (`client_cas`).
//!
//! ```text
//! 409 on an index with client versions ─► look at the target's copy ─► is it the effect? ─► done
//!                                              ▲                           │ no
//!                                              └── another one came ◄── write if it is still that copy ─► done
//! ```
//!
//! Clients' versions may fall after a delete, and they do not compare with packed ones, so there a conflict says nothing
//! about which of two effects is newer. The window does: an effect that it let pass is the greatest that is known of its
//! document, and so it belongs on the target, whatever version stands there. The primary is not asked. It could only tell
//! what its own effects will say in their turn, and this way the target goes on following while the primary is dead.
//! `_version` is then one that the target counts, until a write brings one that it takes.

pub mod decide;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use decide::{Copy, Step, decide};
use hyper::{Method, StatusCode};
use tokio::time::Instant;
use understudy_common::{cluster::ClusterClient, document::DocumentKey, effect::Effect};

use crate::{
    engine::Bulk,
    metrics::Metrics,
    request,
    service::FRESH,
    verdict::{self, BulkVerdict, Expected, Reason, Verdict},
};

/// How often a copy that keeps changing is looked at before the partition rests.
const TRIES: usize = 5;

/// Writes to one target by compare-and-set.
pub struct Forcer {
    client: ClusterClient,
    path: String,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Forcer {
    /// The way to `client`, whose answers are waited for as long as `timeout`.
    #[must_use]
    pub fn new(client: ClusterClient, timeout: Duration, linger: Duration, metrics: Arc<Metrics>) -> Self {
        Self { client, path: request::path(timeout, linger), timeout, metrics }
    }

    /// Brings the effects of a bulk that was decided at `decided` to the target, whatever versions it has.
    pub async fn force(&self, bulk: &Bulk, decided: Instant) -> BulkVerdict {
        if decided.elapsed() > FRESH {
            return BulkVerdict::Withdrawn;
        }
        let mut verdicts: Vec<Option<Verdict>> = vec![None; bulk.effects.len()];
        for round in 0..TRIES {
            let open: Vec<usize> = (0..verdicts.len()).filter(|place| verdicts[*place].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let effects: Vec<&Effect> = open.iter().map(|place| &bulk.effects[*place]).collect();
            let copies = match self.copies(&effects).await {
                Ok(copies) => copies,
                Err(whole) => return cut_short(verdicts, whole),
            };
            let mut writes = Vec::new();
            for ((place, effect), copy) in open.into_iter().zip(effects).zip(copies) {
                match decide(effect, &copy) {
                    Step::Done => verdicts[place] = Some(Verdict::Applied),
                    Step::NoIndex => verdicts[place] = Some(Verdict::IndexMissing),
                    Step::Unknown(text) => {
                        let reason = Reason { status: 0, kind: "copy_unknown".into(), text };
                        verdicts[place] = Some(Verdict::Retry { overloaded: false, lingers: false, reason });
                    }
                    Step::Write(condition) => writes.push((place, effect, condition)),
                }
            }
            if writes.is_empty() {
                break;
            }
            let body = decide::body(writes.iter().map(|(_, effect, condition)| (*effect, *condition)));
            let expected: Vec<Expected<'_>> = writes
                .iter()
                .map(|(_, effect, condition)| {
                    let action = condition.action(effect);
                    Expected { action, index: &effect.key.index, id: &effect.key.id }
                })
                .collect();
            if decided.elapsed() > FRESH {
                return cut_short(verdicts, too_late(round));
            }
            match self.post(body, &expected).await {
                BulkVerdict::Items(items) => {
                    for ((place, ..), verdict) in writes.into_iter().zip(items) {
                        // Another copy came in between: it is looked at once more.
                        verdicts[place] = Some(verdict).filter(|verdict| *verdict != Verdict::Superseded);
                    }
                }
                whole => return cut_short(verdicts, whole),
            }
        }
        let restless = || Verdict::Retry {
            overloaded: false,
            lingers: false,
            reason: Reason {
                status: 409,
                kind: "copy_changes".into(),
                text: "the target's copy keeps changing".into(),
            },
        };
        BulkVerdict::Items(verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(restless)).collect())
    }

    /// The target's copies. Sources are read where the version says that a copy may be the effect itself; they are as large
    /// as the effects then.
    async fn copies(&self, effects: &[&Effect]) -> Result<Vec<Copy>, BulkVerdict> {
        let keys: Vec<&DocumentKey> = effects.iter().map(|effect| &effect.key).collect();
        let mut copies = self.look(&keys, false).await?;
        let alike: Vec<usize> = (0..effects.len()).filter(|place| copies[*place].may_be(effects[*place])).collect();
        let keys: Vec<&DocumentKey> = alike.iter().map(|place| keys[*place]).collect();
        if !keys.is_empty() {
            let found = self.look(&keys, true).await?;
            alike.into_iter().zip(found).for_each(|(place, copy)| copies[place] = copy);
        }
        Ok(copies)
    }

    async fn look(&self, keys: &[&DocumentKey], sources: bool) -> Result<Vec<Copy>, BulkVerdict> {
        let path = format!("/_mget?realtime=true&_source={sources}");
        // Reading leaves nothing behind that could linger.
        let silent = |text: String| BulkVerdict::NotSent(Reason { status: 0, kind: "copies_unknown".into(), text });
        let answer = self.client.ask(Method::POST, &path, Some(decide::question(keys)), self.timeout, usize::MAX).await;
        let answer = answer.map_err(|error| silent(error.to_string()))?;
        if answer.status != StatusCode::OK {
            return Err(match verdict::of_answer(answer.status, &answer.body, &[]) {
                BulkVerdict::Unknown(reason) => BulkVerdict::NotSent(reason),
                known => known,
            });
        }
        decide::copies(&answer.body, keys).map_err(silent)
    }

    async fn post(&self, body: Bytes, expected: &[Expected<'_>]) -> BulkVerdict {
        let timer = self.metrics.bulk_seconds.start_timer();
        self.metrics.bulk_bytes.observe(body.len() as f64);
        self.metrics.bulk_actions.observe(expected.len() as f64);
        let verdict = match self.client.call(Method::POST, &self.path, Some(body), self.timeout).await {
            Ok(answer) => verdict::of_answer(answer.status, &answer.body, expected),
            Err(error) => verdict::of_silence(&error),
        };
        timer.observe_duration();
        verdict
    }
}

/// The verdict when too much time went by before the write of a round (from 0): what earlier rounds wrote was not withdrawn.
/// Looking at copies takes a target longer than that when it has too much to do, and it is asked for fewer at once then. Where
/// the process stood still, whoever takes the verdict notices by himself.
fn too_late(round: usize) -> BulkVerdict {
    let text = "too much time went by before the write".to_owned();
    let reason = Reason { status: 0, kind: "slow".into(), text };
    if round == 0 { BulkVerdict::Overloaded(reason) } else { BulkVerdict::Unknown(reason) }
}

/// The verdict when a round ends with one on the whole bulk. What earlier rounds left behind must not be forgotten: writes
/// that may still be under way, and first ones in a shard. Then each item has its own verdict.
fn cut_short(verdicts: Vec<Option<Verdict>>, whole: BulkVerdict) -> BulkVerdict {
    let stays = |verdict: &Verdict| matches!(verdict, Verdict::AppliedFirst | Verdict::Retry { lingers: true, .. });
    if !verdicts.iter().flatten().any(stays) {
        return whole;
    }
    let retry = |overloaded, lingers, reason| Verdict::Retry { overloaded, lingers, reason };
    let rest = match whole {
        BulkVerdict::Blocked(reason) => Verdict::Blocked(reason),
        BulkVerdict::TooLarge(reason) | BulkVerdict::Overloaded(reason) => retry(true, false, reason),
        BulkVerdict::Refused(reason) | BulkVerdict::NotSent(reason) => retry(false, false, reason),
        BulkVerdict::Unknown(reason) => retry(false, true, reason),
        whole @ (BulkVerdict::Items(_) | BulkVerdict::Withdrawn) => return whole,
    };
    BulkVerdict::Items(verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(|| rest.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason() -> Reason {
        Reason { status: 503, kind: "k".into(), text: "t".into() }
    }

    #[test]
    fn what_an_earlier_round_left_behind_is_not_forgotten() {
        let retry = |overloaded, lingers| Verdict::Retry { overloaded, lingers, reason: reason() };
        for (whole, rest) in [
            (BulkVerdict::NotSent(reason()), retry(false, false)),
            (BulkVerdict::Refused(reason()), retry(false, false)),
            (BulkVerdict::TooLarge(reason()), retry(true, false)),
            (BulkVerdict::Overloaded(reason()), retry(true, false)),
            (BulkVerdict::Unknown(reason()), retry(false, true)),
            (BulkVerdict::Blocked(reason()), Verdict::Blocked(reason())),
        ] {
            for left in [retry(false, true), Verdict::AppliedFirst] {
                let verdicts = vec![Some(left.clone()), None, Some(Verdict::Applied)];
                let items = BulkVerdict::Items(vec![left, rest.clone(), Verdict::Applied]);
                assert_eq!(cut_short(verdicts, whole.clone()), items);
            }
            assert_eq!(cut_short(vec![Some(Verdict::Applied), None], whole.clone()), whole, "nothing was left behind");
        }
    }

    #[test]
    fn a_target_that_is_slow_to_show_its_copies_is_asked_for_fewer() {
        assert!(matches!(too_late(0), BulkVerdict::Overloaded(_)));
        assert!(matches!(too_late(1), BulkVerdict::Unknown(_)));
    }
}
