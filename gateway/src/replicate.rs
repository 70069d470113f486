//! The way of a write: ticket, the write, guard, effects, reply, settlement.
//!
//! ```text
//! plan ─► gate ─┬─ ticket (Kafka) ─────────┬─► checks ─► primary ─► answer ─► guard ─► decide ─┬─────────────┬► schema ─► effects ─► reply
//!               └─ look at the state before ┘                                                └─ observe ───┘                    └► settle
//! ```
//!
//! It runs in a task of its own: a client that goes away does not stop a write in the middle.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::future::join_all;
use hyper::{
    StatusCode,
    header::{HeaderMap, HeaderValue},
};
use understudy_common::{
    bulk::Action,
    cluster::{Answer as ClusterAnswer, CallError},
    config::Unplaced,
    effect::{DocumentState, Effect},
    log::{EffectsError, Ticket},
    process::now_ms,
    record::{self, Provenance},
    schema::SchemaError,
    state::{IndexLookup, Sight},
};

use crate::{
    doubt, failpoint, forward,
    gate::Placement,
    gateway::Gateway,
    intent,
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
/// The effects of one request for one partition share a record up to this size.
const RECORD_BYTES: usize = 1 << 20;

/// An answer for the client.
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers of the primary's answer.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// Writes to the primary and publishes what it did.
///
/// # Errors
/// What the client gets instead of the primary's answer.
pub async fn write(
    gateway: &Gateway,
    request: &Arc<str>,
    plan: &PlannedWrite,
    headers: &HeaderMap,
) -> Result<Reply, Refusal> {
    if !is_placed(gateway, plan)? {
        return write_unplaced(gateway, plan, headers).await;
    }
    let placement = gateway.gate.placement().map_err(Refusal::log_unavailable)?;
    let intent = intent::encode(gateway, &placement, plan, None)?;
    let (ticket, before) = tokio::join!(gateway.log.ticket(request.clone(), &intent), sight_before(gateway, plan));
    let ticket = ticket.map_err(not_taken)?;
    // Up to here nothing was sent to the primary that could change it: whoever refuses settles the ticket.
    let ready = match before {
        Ok(before) => ready(gateway, &placement, plan, ticket.clone(), intent, before).await,
        Err(refusal) => Err(refusal),
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(refusal) => {
            gateway.settle(ticket);
            return Err(refusal);
        }
    };
    let sent = tokio::time::Instant::now();
    let answered = {
        let _time = gateway.metrics.primary_seconds.start_timer();
        exchange(gateway, plan, headers).await
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(error @ CallError::NotSent { .. }) => {
            gateway.settle(ready.ticket);
            return Err(Refusal::primary_unavailable(format!("nothing was written: {error}")));
        }
        Err(error @ (CallError::Unanswered { .. } | CallError::TooLarge { .. })) => {
            return Err(gateway.leave_open(&ready, false, Refusal::outcome_unknown(error.to_string())));
        }
    };
    let slow = sent.elapsed() >= gateway.longest_wait;
    // Of updates the sources stand in the answer, and are copied from there.
    let copies = if plan.items.iter().any(|item| item.action == Action::Update) { 1 + gateway.copies } else { 1 };
    let _answer_held = gateway.budget.count(copies * answer.body.len());
    conclude(gateway, &placement, ready, plan, answer, slow).await
}

/// A write that may be sent.
pub struct Ready {
    /// Its permission.
    pub ticket: Ticket,
    /// What its intent says.
    pub intent: Bytes,
    /// What its indices are like.
    pub before: Sight,
}

fn not_taken(error: impl std::fmt::Display) -> Refusal {
    Refusal::log_unavailable(format!("nothing was written, because the log did not take the write: {error}"))
}

/// Checks everything once more before a write is sent. An intent that named aliases is replaced by one that names the
/// documents behind them: an alias may lead elsewhere when the reconciler looks.
async fn ready(
    gateway: &Gateway,
    placement: &Placement,
    plan: &PlannedWrite,
    ticket: Ticket,
    intent: Bytes,
    before: Sight,
) -> Result<Ready, Refusal> {
    let begun = ticket.begun;
    placement.check_cluster(&before.state)?;
    decide::check_before(&plan.items, &before)?;
    let (ticket, intent) = if before.aliases().is_empty() {
        (ticket, intent)
    } else {
        let intent = intent::encode(gateway, placement, plan, Some(&before))?;
        (gateway.log.replace_ticket(&ticket, &intent).await.map_err(not_taken)?, intent)
    };
    if begun.elapsed() >= gateway.config.intent_timeout {
        return Err(Refusal::log_unavailable("nothing was written: its permission came too late"));
    }
    Ok(Ready { ticket, intent, before })
}

/// Publishes what an answered write did, and settles it or leaves it open.
async fn conclude(
    gateway: &Gateway,
    placement: &Placement,
    ready: Ready,
    plan: &PlannedWrite,
    answer: ClusterAnswer,
    slow: bool,
) -> Result<Reply, Refusal> {
    let (answered, answered_ms) = (tokio::time::Instant::now(), now_ms());
    failpoint::answered(&ready.ticket.request).await;
    let read = Answer::read(plan.shape, answer.status, &answer.body, plan.items.len());
    if let Answer::Refused(_) = read {
        // A coordinating node that lost a shard tries again by itself, and its second try may be refused where the first
        // one was done: that shows in the second look.
        // And newer versions of Elasticsearch execute the beginning of a large bulk before they read its end.
        if slow || plan.body_len() > WHOLE_BULK && !matches!(answer.status.as_u16(), 401 | 403) {
            gateway.stays_open(&ready.ticket, ready.intent, false);
            return Ok(reply(plan, answer));
        }
        let (ticket, intent, seen) = (ready.ticket, ready.intent, ready.before);
        gateway.settle_later(settle::Done { ticket, intent, answered, seen, mappings: BTreeMap::new() });
        return Ok(reply(plan, answer));
    }
    let after = sight_after(gateway, plan, &ready.before).await;
    let mut decision = decide::decide(placement.epoch, &plan.items, &ready.before, read, after.as_ref(), slow);
    let pending = observe(gateway, placement, &mut decision).await;
    // What the client did not ask for (documents that updates made) is in no error either.
    let with_primary = |refusal: Refusal| refusal.with_primary(answer.status, plan.reply.apply(&answer.body));
    if let Err(error) = publish(gateway, placement, &ready.ticket, &decision, answered_ms).await {
        let refusal = Refusal::replication_pending(format!(
            "the primary has the write, and the log did not take it: {error}; do not send it again, read it"
        ));
        let void = matches!(error, NotPublished::Effects(EffectsError::Void { .. }));
        return Err(gateway.leave_open(&ready, void, with_primary(refusal)));
    }
    if let Some(reason) = &decision.unknown {
        let refusal = Refusal::outcome_unknown(format!(
            "{reason}: whether the primary has the write is unknown; read before you send it again"
        ));
        return Err(gateway.leave_open(&ready, false, with_primary(refusal)));
    }
    if let Err(reason) = pending {
        let refusal = Refusal::replication_pending(format!(
            "{reason}: the primary has the write and the targets do not have it yet; do not send it again, read it"
        ));
        return Err(gateway.leave_open(&ready, false, with_primary(refusal)));
    }
    let mappings = decision.indices.iter().map(|(index, need)| (index.clone(), need.mapping)).collect();
    let seen = trusted_sight(ready.before, after);
    gateway.settle_later(settle::Done { ticket: ready.ticket, intent: ready.intent, answered, seen, mappings });
    Ok(reply(plan, answer))
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
async fn observe(gateway: &Gateway, placement: &Placement, decision: &mut Decision) -> Result<(), String> {
    doubt::route(&gateway.observer, decision).await;
    let doubtful = std::mem::take(&mut decision.observe);
    if doubtful.is_empty() {
        return Ok(());
    }
    if let Some(stream) = doubtful.iter().find(|doubtful| doubtful.key.index.starts_with(".ds-")) {
        return Err(format!("the write reached [{}], of a data stream, which is not replicated", stream.key.index));
    }
    let (placed, strangers): (Vec<_>, Vec<_>) =
        doubtful.into_iter().partition(|doubtful| gateway.pattern.matches(&doubtful.key.index));
    for doubtful in &placed {
        tracing::debug!(document = doubtful.key.record_key(), reason = doubtful.reason, "observing");
    }
    gateway.metrics.observed.inc_by(placed.len() as u64);
    let resolved = doubt::resolve(&gateway.observer, placement.epoch, &placed).await;
    decision.effects.extend(resolved.effects);
    if let Some(index) = doubt::merge(&mut decision.indices, resolved.indices) {
        // Which effect is of which incarnation is not known: none of them is published.
        decision.effects.retain(|effect| effect.key.index != index);
        decision.indices.remove(&index);
        return Err(format!("index [{index}] was made anew during the write"));
    }
    if let Some(stranger) = strangers.first().filter(|_| gateway.unplaced == Unplaced::Refuse) {
        tracing::error!(index = &*stranger.key.index, "a pipeline wrote to an index that is not replicated");
        return Err(format!(
            "a pipeline wrote to index [{}], outside of the placement [{}]",
            stranger.key.index,
            gateway.pattern.as_str()
        ));
    }
    resolved.torn.or(resolved.unknown).map_or(Ok(()), Err)
}

/// The configuration says that writes outside of the placement go to the primary alone. Nothing that leads from there
/// into the placement may pass: an alias, or a pipeline that names another index.
async fn write_unplaced(gateway: &Gateway, plan: &PlannedWrite, headers: &HeaderMap) -> Result<Reply, Refusal> {
    let before = sight_before(gateway, plan).await?;
    decide::check_unplaced(&plan.items, &before)?;
    let answer = exchange(gateway, plan, headers).await.map_err(|error| match error {
        CallError::NotSent { .. } => Refusal::primary_unavailable(format!("nothing was written: {error}")),
        CallError::Unanswered { .. } | CallError::TooLarge { .. } => Refusal::outcome_unknown(error.to_string()),
    })?;
    // What was created by the write itself may have had such a thing from its template.
    let read = Answer::read(plan.shape, answer.status, &answer.body, plan.items.len());
    if let Some(index) = read.written().find(|index| gateway.pattern.matches(index)) {
        tracing::error!(index, "a write outside of the placement reached an index inside of it and is not replicated");
        return Err(Refusal::replication_pending(format!(
            "the write reached index [{index}], which is replicated, by way of an alias or a pipeline, which are not"
        ))
        .with_primary(answer.status, answer.body));
    }
    Ok(reply(plan, answer))
}

/// Whether the write belongs to the placement; `false` when it goes to the primary alone.
fn is_placed(gateway: &Gateway, plan: &PlannedWrite) -> Result<bool, Refusal> {
    let indices = plan.indices();
    let outside = indices.iter().filter(|index| !gateway.pattern.matches(index)).count();
    match (outside, gateway.unplaced) {
        (0, _) => Ok(true),
        (outside, Unplaced::Pass) if outside == indices.len() => Ok(false),
        (_, Unplaced::Pass) => Err(Refusal::not_replicated(format!(
            "one bulk writes to indices inside and outside of the placement [{}]: send two",
            gateway.pattern.as_str()
        ))),
        (_, Unplaced::Refuse) => Err(Refusal::not_replicated(format!(
            "an index outside of the placement [{}] would not be replicated, so nothing was executed (unplaced_writes)",
            gateway.pattern.as_str()
        ))),
    }
}

async fn sight_before(gateway: &Gateway, plan: &PlannedWrite) -> Result<Sight, Refusal> {
    let unavailable = |error: String| Refusal::primary_unavailable(format!("nothing was written: {error}"));
    let look = async {
        let state = gateway.looks.look().await.map_err(|error| error.to_string())?;
        gateway.metadata.at(&state, &plan.indices()).await.map_err(|error| error.to_string())
    };
    tokio::time::timeout(gateway.config.intent_timeout, look)
        .await
        .map_err(|_| unavailable("the primary does not say what its state is".to_owned()))?
        .map_err(unavailable)
}

/// What the guard sees: the state before when nothing moved, `None` when it cannot see.
async fn sight_after(gateway: &Gateway, plan: &PlannedWrite, before: &Sight) -> Option<Sight> {
    let _time = gateway.metrics.guard_seconds.start_timer();
    let state = match gateway.looks.look().await {
        Ok(state) if state == before.state => return Some(before.clone()),
        Ok(state) => state,
        Err(error) => {
            gateway.metrics.guard_failures.inc();
            tracing::warn!(%error, "no look at the cluster state after a write");
            return None;
        }
    };
    match gateway.metadata.at(&state, &plan.indices()).await {
        Ok(sight) => Some(sight),
        Err(error) => {
            gateway.metrics.guard_failures.inc();
            tracing::warn!(%error, "no look at indices after a write");
            None
        }
    }
}

async fn exchange(gateway: &Gateway, plan: &PlannedWrite, headers: &HeaderMap) -> Result<ClusterAnswer, CallError> {
    let request = forward::write_request(plan, headers)
        .map_err(|refusal| CallError::NotSent { cluster: gateway.primary.name().to_owned(), reason: refusal.reason })?;
    gateway.primary.exchange(request, gateway.config.primary_timeout).await
}

/// Why effects are not durable in the log.
#[derive(Debug, thiserror::Error)]
enum NotPublished {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Effects(#[from] EffectsError),
}

/// Publishes the effects of a decision to every target.
async fn publish(
    gateway: &Gateway,
    placement: &Placement,
    ticket: &Ticket,
    decision: &Decision,
    answered_ms: i64,
) -> Result<(), NotPublished> {
    if decision.effects.is_empty() {
        return Ok(());
    }
    gateway.schemas.ensure(placement.epoch, &decision.indices).await?;
    for effect in decision.effects.iter().filter(|effect| effect.client_version.is_some()) {
        if let Some(need) = decision.indices.get(&effect.key.index) {
            gateway.schemas.ensure_client_versions(&effect.key.index, &need.uuid).await?;
        }
    }
    let provenance = Provenance {
        request: ticket.request.clone(),
        ticket_ms: ticket.at_ms,
        answered_ms,
        epoch: placement.epoch,
        gateway: gateway.config.name.as_str().into(),
    };
    let effects: Vec<Effect> =
        decision.effects.iter().map(|effect| effect.fitting(gateway.limits.record_bytes)).collect();
    let records = record::encode(&provenance, &decision.indices, &effects, placement.partitions, RECORD_BYTES);
    // At once, so that several targets take no longer than one; all are waited for, for the worst says what follows.
    let published = placement.targets.iter().map(|target| gateway.log.effects(target, ticket, &records));
    let failed: Vec<EffectsError> = join_all(published).await.into_iter().filter_map(Result::err).collect();
    if let Some(error) = failed.into_iter().min_by_key(|error| !matches!(error, EffectsError::Void { .. })) {
        return Err(error.into());
    }
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for effect in &effects {
        let kind = match effect.state {
            DocumentState::Put(_) => "put",
            DocumentState::Deleted => "delete",
            DocumentState::Reference => "reference",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    for (kind, count) in kinds {
        gateway.metrics.effects.with_label_values(&[kind]).inc_by(count);
    }
    Ok(())
}

fn reply(plan: &PlannedWrite, answer: ClusterAnswer) -> Reply {
    let mut headers = forward::answer_headers(answer.headers);
    let body = plan.reply.apply(&answer.body);
    headers.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Reply { status: answer.status, headers, body }
}
