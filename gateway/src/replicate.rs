//! The way of a write: ticket, the write, guard, effects, reply, settlement.
//!
//! ```text
//! plan ─► gate ─┬─ ticket (Kafka) ─────────┬─► checks ─► primary ─► answer ─► guard ─► decide ─► schema ─► effects ─► reply
//!               └─ look at the state before ┘                                                                      └► settle
//! ```
//!
//! It runs in a task of its own: a client that goes away does not stop a write in the middle.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{HeaderMap, HeaderValue},
};
use understudy_common::{
    cluster::{Answer as ClusterAnswer, CallError},
    config::Unplaced,
    effect::DocumentState,
    intent::{Intent, IntentDocument},
    log::Ticket,
    process::now_ms,
    record::{self, Provenance},
    state::Sight,
};

use crate::{
    forward,
    gate::Placement,
    gateway::Gateway,
    refusal::Refusal,
    write::{
        answer::Answer,
        decide::{self, Decision},
        plan::{PlannedWrite, too_long_a_list},
    },
};

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
    let begun = Instant::now();
    let intent = intent(gateway, &placement, plan)?;
    let (ticket, before) = tokio::join!(gateway.log.ticket(request.clone(), &intent), sight_before(gateway, plan));
    let ticket = ticket.map_err(|error| {
        Refusal::log_unavailable(format!("nothing was written, because the log did not take the write: {error}"))
    })?;
    // Up to here nothing was sent to the primary that could change it: whoever refuses settles the ticket.
    let checked = before.and_then(|before| {
        check(&placement, plan, &before)?;
        if begun.elapsed() >= gateway.config.intent_timeout {
            return Err(Refusal::log_unavailable("nothing was written: its permission came too late"));
        }
        Ok(before)
    });
    let before = match checked {
        Ok(before) => before,
        Err(refusal) => {
            gateway.settle(ticket);
            return Err(refusal);
        }
    };
    let answered = {
        let _time = gateway.metrics.primary_seconds.start_timer();
        exchange(gateway, plan, headers).await
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(error @ CallError::NotSent { .. }) => {
            gateway.settle(ticket);
            return Err(Refusal::primary_unavailable(format!("nothing was written: {error}")));
        }
        Err(error @ CallError::Unanswered { .. }) => {
            return Err(gateway.leave_open(&ticket, Refusal::outcome_unknown(error.to_string())));
        }
    };
    conclude(gateway, &placement, ticket, plan, &before, answer).await
}

/// Publishes what an answered write did, and settles it or leaves it open.
async fn conclude(
    gateway: &Gateway,
    placement: &Placement,
    ticket: Ticket,
    plan: &PlannedWrite,
    before: &Sight,
    answer: ClusterAnswer,
) -> Result<Reply, Refusal> {
    let answered_ms = now_ms();
    let read = Answer::read(plan.shape, answer.status, &answer.body, plan.items.len());
    if let Answer::Refused(_) = read {
        gateway.settle(ticket);
        return Ok(reply(plan, answer));
    }
    let after = sight_after(gateway, plan, before).await;
    let decision = decide::decide(placement.epoch, &plan.items, before, read, after.as_ref());
    let with_primary = |refusal: Refusal| refusal.with_primary(answer.status, answer.body.clone());
    if let Err(reason) = publish(gateway, placement, &ticket, &decision, answered_ms).await {
        let refusal = Refusal::replication_pending(format!(
            "the primary has the write, and the log did not take it: {reason}; do not send it again, read it"
        ));
        return Err(gateway.leave_open(&ticket, with_primary(refusal)));
    }
    if let Some(doubt) = &decision.doubt {
        return Err(gateway.leave_open(&ticket, with_primary(doubt.refusal())));
    }
    gateway.settle(ticket);
    Ok(reply(plan, answer))
}

/// The configuration says that writes outside of the placement go to the primary alone. Nothing that leads from there
/// into the placement may pass: an alias, or a pipeline that names another index.
async fn write_unplaced(gateway: &Gateway, plan: &PlannedWrite, headers: &HeaderMap) -> Result<Reply, Refusal> {
    let before = sight_before(gateway, plan).await?;
    decide::check_before(&plan.items, &before)?;
    let answer = exchange(gateway, plan, headers).await.map_err(|error| match error {
        CallError::NotSent { .. } => Refusal::primary_unavailable(format!("nothing was written: {error}")),
        CallError::Unanswered { .. } => Refusal::outcome_unknown(error.to_string()),
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

fn intent(gateway: &Gateway, placement: &Placement, plan: &PlannedWrite) -> Result<Vec<u8>, Refusal> {
    let documents = plan.items.iter().map(|item| {
        let (index, id) = (item.key.index.to_string(), item.key.id.to_string());
        match &item.key.routing {
            Some(routing) => IntentDocument::Routed(index, id, routing.to_string()),
            None => IntentDocument::Plain(index, id),
        }
    });
    let intent = Intent {
        format: Intent::FORMAT,
        gateway: gateway.config.name.as_str().into(),
        epoch: placement.epoch,
        primary: placement.primary.clone(),
        targets: placement.targets.clone(),
        documents: documents.collect(),
        aliases: BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&intent).map_err(|error| Refusal::malformed(error.to_string()))?;
    if bytes.len() > gateway.limits.record_bytes {
        return Err(too_long_a_list(bytes.len(), gateway.limits));
    }
    Ok(bytes)
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
            tracing::warn!(%error, "no look at the cluster state after a write");
            return None;
        }
    };
    match gateway.metadata.at(&state, &plan.indices()).await {
        Ok(sight) => Some(sight),
        Err(error) => {
            tracing::warn!(%error, "no look at indices after a write");
            None
        }
    }
}

fn check(placement: &Placement, plan: &PlannedWrite, before: &Sight) -> Result<(), Refusal> {
    placement.check_cluster(&before.state)?;
    decide::check_before(&plan.items, before)
}

async fn exchange(gateway: &Gateway, plan: &PlannedWrite, headers: &HeaderMap) -> Result<ClusterAnswer, CallError> {
    let request = forward::write_request(plan, headers)
        .map_err(|refusal| CallError::NotSent { cluster: gateway.primary.name().to_owned(), reason: refusal.reason })?;
    gateway.primary.exchange(request, gateway.config.primary_timeout).await
}

/// Publishes the effects of a decision to every target.
async fn publish(
    gateway: &Gateway,
    placement: &Placement,
    ticket: &Ticket,
    decision: &Decision,
    answered_ms: i64,
) -> Result<(), String> {
    if decision.effects.is_empty() {
        return Ok(());
    }
    gateway.schemas.ensure(placement.epoch, &decision.indices).await.map_err(|error| error.to_string())?;
    let provenance = Provenance {
        request: ticket.request.clone(),
        ticket_ms: ticket.at_ms,
        answered_ms,
        epoch: placement.epoch,
        gateway: gateway.config.name.as_str().into(),
    };
    let records = record::encode(&provenance, &decision.indices, &decision.effects, placement.partitions, RECORD_BYTES);
    for target in &placement.targets {
        gateway.log.effects(target, ticket, &records).await.map_err(|error| error.to_string())?;
    }
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for effect in &decision.effects {
        let kind = if effect.state == DocumentState::Deleted { "delete" } else { "put" };
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
