//! The way of a write: ticket, the write, guard, effects, reply, settlement.
//!
//! ```text
//! plan ─► gate ─┬─ ticket (Kafka) ─────────┬─► checks ─► primary ─► answer ─► guard ─► decide ─┬─────────────┬► schema ─► effects ─► reply
//!               └─ look at the state before ┘                                                └─ observe ───┘                    └► settle
//! ```
//!
//! It runs in a task of its own: a client that goes away does not stop a write in the middle. [`mod@course`] says what follows
//! what, `placed` does it.

pub mod course;
mod placed;

use std::sync::Arc;

use bytes::Bytes;
use course::course;
use hyper::{
    StatusCode,
    header::{HeaderMap, HeaderValue},
};
use placed::Placed;
use understudy_common::{
    cluster::{Answer as ClusterAnswer, CallError},
    config::Unplaced,
    state::Sight,
};

use crate::{
    forward,
    gateway::Gateway,
    refusal::Refusal,
    write::{answer::Answer, decide, plan::PlannedWrite},
};

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
    gateway: Arc<Gateway>,
    request: Arc<str>,
    plan: PlannedWrite,
    headers: HeaderMap,
) -> Result<Reply, Refusal> {
    if !is_placed(&gateway, &plan)? {
        return write_unplaced(&gateway, &plan, &headers).await;
    }
    let placement = gateway.gate.placement().map_err(Refusal::log_unavailable)?;
    let placed = Placed { gateway, request, placement, plan, headers };
    let answer = course(&placed).await?;
    Ok(reply(&placed.plan, answer))
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
    let body = answer.body.clone();
    let read = Answer::read(plan.shape, answer.status, &body, plan.items.len());
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

async fn exchange(gateway: &Gateway, plan: &PlannedWrite, headers: &HeaderMap) -> Result<ClusterAnswer, CallError> {
    let request = forward::write_request(plan, headers)
        .map_err(|refusal| CallError::NotSent { cluster: gateway.primary.name().to_owned(), reason: refusal.reason })?;
    gateway.primary.exchange(request, gateway.config.primary_timeout).await
}

fn reply(plan: &PlannedWrite, answer: ClusterAnswer) -> Reply {
    let mut headers = forward::answer_headers(answer.headers);
    let body = plan.reply.apply(&answer.body);
    headers.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Reply { status: answer.status, headers, body }
}
