//! What follows what in a write: the sequence alone, over whatever does it. The gateway's own means are in `placed`; the
//! simulation has others, and its writes take the very same course.

use std::{collections::BTreeMap, future::Future, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use understudy_common::{
    cluster::{Answer as ClusterAnswer, CallError},
    config::{IndexPattern, Unplaced},
    kafka::PublishError,
    log::{EffectsError, Ticket},
    planted::{Bug, planted},
    schema::SchemaError,
    state::{IndexLookup, Sight},
};

use crate::{
    doubt::{self, Look},
    failpoint,
    gate::Placement,
    refusal::Refusal,
    settle,
    write::{
        answer::Answer,
        decide::{self, Decision},
        plan::PlannedWrite,
    },
};

/// A bulk up to this size is read by the primary before anything of it is executed.
const WHOLE_BULK: usize = 64 << 10;

/// A write that may be sent.
pub struct Ready {
    /// Its permission.
    pub ticket: Ticket,
    /// What its intent says.
    pub intent: Bytes,
    /// What its indices are like.
    pub before: Sight,
}

/// Why effects are not durable in the log.
#[derive(Debug, thiserror::Error)]
pub enum NotPublished {
    /// What their index is like is not.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// They themselves are not, or came too late.
    #[error(transparent)]
    Effects(#[from] EffectsError),
}

/// How long a write waits.
#[derive(Clone, Copy, Debug)]
pub struct CourseTimes {
    /// After its ticket was asked for nothing is sent.
    pub intent_timeout: Duration,
    /// How long a write may wait inside the primary for its shard.
    pub longest_wait: Duration,
}

/// What one write works with.
pub trait Course {
    /// Reads documents back.
    type Look: Look;
    /// Pays for what an answer takes in memory, until it is dropped.
    type Held;

    /// What is written.
    fn plan(&self) -> &PlannedWrite;
    /// One snapshot of epoch, primary and targets, from the beginning to the end.
    fn placement(&self) -> &Placement;
    /// The indices that are replicated.
    fn pattern(&self) -> &IndexPattern;
    /// What a write outside of them gets.
    fn unplaced(&self) -> Unplaced;
    /// How long it waits.
    fn times(&self) -> CourseTimes;
    /// The time.
    fn now(&self) -> Instant;
    /// The time, in milliseconds since 1970.
    fn now_ms(&self) -> i64;
    /// The way to look at documents.
    fn look(&self) -> &Self::Look;
    /// So many documents are read back.
    fn observes(&self, documents: usize);
    /// What the intent says; of the documents behind aliases where `before` is given.
    ///
    /// # Errors
    /// When it would not fit into a record, or an alias leads out of the placement.
    fn intent(&self, before: Option<&Sight>) -> Result<Bytes, Refusal>;
    /// Opens the intent.
    fn ticket(&self, intent: &Bytes) -> impl Future<Output = Result<Ticket, PublishError>>;
    /// Replaces what the intent says.
    fn replace_ticket(&self, ticket: &Ticket, intent: &Bytes) -> impl Future<Output = Result<Ticket, PublishError>>;
    /// What the indices are like before the write.
    fn sight_before(&self) -> impl Future<Output = Result<Sight, Refusal>>;
    /// Writes to the primary.
    fn exchange(&self) -> impl Future<Output = Result<ClusterAnswer, CallError>>;
    /// The answer takes so many bytes.
    fn hold(&self, bytes: usize) -> Self::Held;
    /// What the guard sees, by a look that begins now: the state before when nothing moved, `None` when it cannot see.
    fn sight_after(&self, before: &Sight) -> impl Future<Output = Option<Sight>>;
    /// Publishes the effects of a decision to every target.
    fn publish(
        &self,
        ticket: &Ticket,
        decision: &Decision,
        answered_ms: i64,
    ) -> impl Future<Output = Result<(), NotPublished>>;
    /// Settles the intent, off the reply's path.
    fn settle(&self, ticket: Ticket);
    /// Settles the intent after the second look.
    fn settle_later(&self, done: settle::Done);
    /// Leaves the intent open. `late`: by its ticket others may settle it too early.
    fn stays_open(&self, ticket: &Ticket, intent: Bytes, late: bool);
}

/// Writes, and publishes what was done: the primary's answer.
///
/// # Errors
/// What the client gets instead.
pub async fn course<C: Course>(write: &C) -> Result<ClusterAnswer, Refusal> {
    let intent = write.intent(None)?;
    let (ticket, before) = tokio::join!(write.ticket(&intent), write.sight_before());
    let ticket = ticket.map_err(not_taken)?;
    // Up to here nothing was sent to the primary that could change it: whoever refuses settles the ticket.
    let ready = match before {
        Ok(before) => ready(write, ticket.clone(), intent, before).await,
        Err(refusal) => Err(refusal),
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(refusal) => {
            write.settle(ticket);
            return Err(refusal);
        }
    };
    let sent = write.now();
    let answer = match write.exchange().await {
        Ok(answer) => answer,
        Err(error) if matches!(error, CallError::NotSent { .. }) || planted(Bug::UnknownIsNotWritten) => {
            write.settle(ready.ticket);
            return Err(Refusal::primary_unavailable(format!("nothing was written: {error}")));
        }
        Err(error) => {
            let late = may_be_sent_late(write, &ready);
            return Err(leave_open(write, &ready, late, Refusal::outcome_unknown(error.to_string())));
        }
    };
    let slow = write.now().duration_since(sent) >= write.times().longest_wait;
    let _answer_held = write.hold(answer.body.len());
    conclude(write, ready, answer, slow).await
}

fn not_taken(error: impl std::fmt::Display) -> Refusal {
    Refusal::log_unavailable(format!("nothing was written, because the log did not take the write: {error}"))
}

/// Checks everything once more before a write is sent. An intent that named aliases is replaced by one that names the
/// documents behind them: an alias may lead elsewhere when the reconciler looks.
async fn ready<C: Course>(write: &C, ticket: Ticket, intent: Bytes, before: Sight) -> Result<Ready, Refusal> {
    let begun = ticket.begun;
    write.placement().check_cluster(&before.state)?;
    decide::check_before(&write.plan().items, &before)?;
    let (ticket, intent) = if before.aliases().is_empty() {
        (ticket, intent)
    } else {
        let intent = write.intent(Some(&before))?;
        (write.replace_ticket(&ticket, &intent).await.map_err(not_taken)?, intent)
    };
    if write.now().into_std().duration_since(begun) >= write.times().intent_timeout {
        return Err(Refusal::log_unavailable("nothing was written: its permission came too late"));
    }
    Ok(Ready { ticket, intent, before })
}

/// Publishes what an answered write did, and settles it or leaves it open.
async fn conclude<C: Course>(
    write: &C,
    ready: Ready,
    answer: ClusterAnswer,
    slow: bool,
) -> Result<ClusterAnswer, Refusal> {
    let (answered, answered_ms, plan) = (write.now(), write.now_ms(), write.plan());
    failpoint::answered(&ready.ticket.request).await;
    let body = answer.body.clone();
    let read = Answer::read(plan.shape, answer.status, &body, plan.items.len());
    if let Answer::Refused(_) = read {
        // A coordinating node that lost a shard tries again by itself, and its second try may be refused where the first
        // one was done: that shows in the second look.
        // And newer versions of Elasticsearch execute the beginning of a large bulk before they read its end.
        if slow || plan.body_len() > WHOLE_BULK && !matches!(answer.status.as_u16(), 401 | 403) {
            write.stays_open(&ready.ticket, ready.intent, false);
            return Ok(answer);
        }
        let (ticket, intent, seen) = (ready.ticket, ready.intent, ready.before);
        write.settle_later(settle::Done { ticket, intent, answered, seen, mappings: BTreeMap::new() });
        return Ok(answer);
    }
    let after = write.sight_after(&ready.before).await;
    let epoch = write.placement().epoch;
    let mut decision = decide::decide(epoch, &plan.items, &ready.before, read, after.as_ref(), slow);
    let pending = observe(write, &mut decision).await;
    // What the client did not ask for (documents that updates made) is in no error either.
    let with_primary = |refusal: Refusal| refusal.with_primary(answer.status, plan.reply.apply(&answer.body));
    if let Err(error) = write.publish(&ready.ticket, &decision, answered_ms).await {
        let refusal = Refusal::replication_pending(format!(
            "the primary has the write, and the log did not take it: {error}; do not send it again, read it"
        ));
        let void = matches!(error, NotPublished::Effects(EffectsError::Void { .. }));
        let late = void || decision.unknown.is_some() && may_be_sent_late(write, &ready);
        return Err(leave_open(write, &ready, late, with_primary(refusal)));
    }
    if let Some(reason) = &decision.unknown {
        let refusal = Refusal::outcome_unknown(format!(
            "{reason}: whether the primary has the write is unknown; read before you send it again"
        ));
        let late = may_be_sent_late(write, &ready);
        return Err(leave_open(write, &ready, late, with_primary(refusal)));
    }
    if let Err(reason) = pending {
        let refusal = Refusal::replication_pending(format!(
            "{reason}: the primary has the write and the targets do not have it yet; do not send it again, read it"
        ));
        return Err(leave_open(write, &ready, false, with_primary(refusal)));
    }
    let mappings = decision.indices.iter().map(|(index, need)| (index.clone(), need.mapping)).collect();
    let seen = trusted_sight(ready.before, after);
    write.settle_later(settle::Done { ticket: ready.ticket, intent: ready.intent, answered, seen, mappings });
    Ok(answer)
}

/// Whether a write of unknown outcome may have been sent later than everybody relies on: a connection took its time, or this
/// gateway was frozen after its last check. Then it may linger in the primary longer than the reconciler waits.
fn may_be_sent_late<C: Course>(write: &C, ready: &Ready) -> bool {
    write.now().into_std().duration_since(ready.ticket.begun) >= write.times().intent_timeout
}

/// Leaves an intent open: the reconciler looks at the documents.
fn leave_open<C: Course>(write: &C, ready: &Ready, late: bool, refusal: Refusal) -> Refusal {
    tracing::warn!(request = &*ready.ticket.request, reason = refusal.reason, "an intent stays open");
    write.stays_open(&ready.ticket, ready.intent.clone(), late);
    refusal
}

/// What must still hold at the second look: everything as it was before the write, and what the write itself created as it
/// was found after it.
fn trusted_sight(mut before: Sight, after: Option<Sight>) -> Sight {
    for (name, lookup) in before.indices.iter_mut().filter(|(_, lookup)| **lookup == IndexLookup::Absent) {
        if let Some(after) = &after {
            *lookup = after.lookup(name).clone();
        }
    }
    before
}

/// Reads back what the answer does not tell, into the decision.
///
/// # Errors
/// Why the state of a document could not be told.
async fn observe<C: Course>(write: &C, decision: &mut Decision) -> Result<(), String> {
    doubt::route(write.look(), decision).await;
    let doubtful = std::mem::take(&mut decision.observe);
    if doubtful.is_empty() {
        return Ok(());
    }
    if let Some(stream) = doubtful.iter().find(|doubtful| doubtful.key.index.starts_with(".ds-")) {
        return Err(format!("the write reached [{}], of a data stream, which is not replicated", stream.key.index));
    }
    let (placed, strangers): (Vec<_>, Vec<_>) =
        doubtful.into_iter().partition(|doubtful| write.pattern().matches(&doubtful.key.index));
    for doubtful in &placed {
        tracing::debug!(document = doubtful.key.record_key(), reason = doubtful.reason, "observing");
    }
    write.observes(placed.len());
    let resolved = doubt::resolve(write.look(), write.placement().epoch, &placed).await;
    decision.effects.extend(resolved.effects);
    if let Some(index) = doubt::merge(&mut decision.indices, resolved.indices) {
        // Which effect is of which incarnation is not known: none of them is published.
        decision.effects.retain(|effect| effect.key.index != index);
        decision.indices.remove(&index);
        return Err(format!("index [{index}] was made anew during the write"));
    }
    if let Some(stranger) = strangers.first().filter(|_| write.unplaced() == Unplaced::Refuse) {
        tracing::error!(index = &*stranger.key.index, "a pipeline wrote to an index that is not replicated");
        return Err(format!(
            "a pipeline wrote to index [{}], outside of the placement [{}]",
            stranger.key.index,
            write.pattern().as_str()
        ));
    }
    resolved.torn.or(resolved.unknown).map_or(Ok(()), Err)
}
