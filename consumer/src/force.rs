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

mod decide;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use decide::{Copy, Step, decide};
use hyper::{Method, StatusCode};
use understudy_common::{cluster::ClusterClient, document::DocumentKey, effect::Effect};

use crate::{
    engine::Bulk,
    metrics::Metrics,
    request,
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

    /// Brings the effects of a bulk to the target, whatever versions it has.
    pub async fn force(&self, bulk: &Bulk) -> BulkVerdict {
        let mut verdicts: Vec<Option<Verdict>> = vec![None; bulk.effects.len()];
        for _ in 0..TRIES {
            let open: Vec<usize> = (0..verdicts.len()).filter(|place| verdicts[*place].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let effects: Vec<&Effect> = open.iter().map(|place| &bulk.effects[*place]).collect();
            let copies = match self.copies(&effects).await {
                Ok(copies) => copies,
                Err(verdict) => return verdict,
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
            match self.post(body, &expected).await {
                BulkVerdict::Items(items) => {
                    for ((place, ..), verdict) in writes.into_iter().zip(items) {
                        // Another copy came in between: it is looked at once more.
                        verdicts[place] = Some(verdict).filter(|verdict| *verdict != Verdict::Superseded);
                    }
                }
                whole => return whole,
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
        let answer = self.client.call(Method::POST, &path, Some(decide::question(keys)), self.timeout).await;
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
        self.metrics.bulk_actions.observe(expected.len() as f64);
        let verdict = match self.client.call(Method::POST, &self.path, Some(body), self.timeout).await {
            Ok(answer) => verdict::of_answer(answer.status, &answer.body, expected),
            Err(error) => verdict::of_silence(&error),
        };
        timer.observe_duration();
        verdict
    }
}
