//! Creating an index and extending its mapping: forwarded, then published as schema.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use hyper::{Method, Request, Uri, header::HeaderMap};
use understudy_common::{
    cluster::{Answer, CallError, full},
    config::Unplaced,
    state::IndexLookup,
};

use crate::{
    forward, gate::Placement, gateway::Gateway, refusal::Refusal, replicate::Reply, route::Query,
    write::plan::refused_whole,
};

/// A change of one index.
pub struct IndexChange {
    /// The index.
    pub index: Arc<str>,
    /// Whether it creates the index.
    pub creates: bool,
    /// Method of the request.
    pub method: Method,
    /// Path and query of the request.
    pub uri: Uri,
    /// Body.
    pub body: Bytes,
}

/// Forwards a change, and publishes what the index is like then.
///
/// # Errors
/// What the client gets instead of the primary's answer.
pub async fn change(gateway: &Gateway, change: IndexChange, headers: &HeaderMap) -> Result<Reply, Refusal> {
    let placed = gateway.pattern.matches(&change.index);
    if !placed && gateway.unplaced == Unplaced::Refuse {
        return Err(Refusal::not_replicated(format!(
            "index [{}] is outside of the placement [{}], so nothing was executed (unplaced_writes)",
            change.index,
            gateway.pattern.as_str()
        )));
    }
    let placement = if placed {
        if gateway.log.is_down() {
            return Err(Refusal::log_unavailable("nothing was changed, because no Kafka broker can be reached"));
        }
        Some(gateway.gate.placement().map_err(Refusal::log_unavailable)?)
    } else {
        None
    };
    check_change(gateway, &change, placement.as_deref()).await?;
    let answer = forward_change(gateway, &change, headers).await?;
    if let Some(placement) = placement.filter(|_| answer.status.is_success()) {
        gateway.schemas.publish_now(placement.epoch, &change.index).await.map_err(|error| {
            Refusal::replication_pending(format!("the primary has the change, and the log did not take it: {error}"))
                .with_primary(answer.status, answer.body.clone())
        })?;
    } else if !answer.status.is_success() && !refused_whole(answer.status) {
        return Err(Refusal::outcome_unknown(format!("the primary answered {}", answer.status))
            .with_primary(answer.status, answer.body));
    }
    let headers = forward::answer_headers(answer.headers);
    Ok(Reply { status: answer.status, headers, body: answer.body })
}

/// Types were given up; an alias stands for indices that are not named; another cluster's indices are none of ours.
async fn check_change(gateway: &Gateway, change: &IndexChange, placement: Option<&Placement>) -> Result<(), Refusal> {
    let query = Query::parse(change.uri.query().unwrap_or_default())?;
    if query.get("include_type_name").is_some() {
        return Err(Refusal::not_replicated("include_type_name is not replicated: mappings have no types"));
    }
    let sight = gateway
        .metadata
        .read(&BTreeSet::from([change.index.clone()]))
        .await
        .map_err(|error| Refusal::primary_unavailable(format!("nothing was changed: {error}")))?;
    if let Some(placement) = placement {
        placement.check_cluster(&sight.state)?;
    }
    if !change.creates && matches!(sight.lookup(&change.index), IndexLookup::Other | IndexLookup::Alias(_)) {
        return Err(Refusal::not_replicated(format!(
            "[{}] is an alias or a data stream, whose mapping cannot be changed through it yet: name the index",
            change.index
        )));
    }
    Ok(())
}

async fn forward_change(gateway: &Gateway, change: &IndexChange, headers: &HeaderMap) -> Result<Answer, Refusal> {
    let request = Request::builder()
        .method(change.method.clone())
        .uri(change.uri.clone())
        .body(full(change.body.clone()))
        .map(|request| forward::with_headers(request, headers, change.body.len()))
        .map_err(|error| Refusal::malformed(error.to_string()))?;
    gateway.primary.exchange(request, gateway.config.primary_timeout).await.map_err(|error| match error {
        CallError::NotSent { .. } => Refusal::primary_unavailable(format!("nothing was changed: {error}")),
        CallError::Unanswered { .. } | CallError::TooLarge { .. } => Refusal::outcome_unknown(error.to_string()),
    })
}
