//! What the gateway's own writes work with: Kafka, the primary, and looks at it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::future::join_all;
use hyper::header::HeaderMap;
use tokio::time::Instant;
use understudy_common::{
    bulk::Action,
    cluster::{Answer as ClusterAnswer, CallError},
    config::{IndexPattern, Unplaced},
    effect::{DocumentState, Effect},
    kafka::PublishError,
    log::{EffectsError, Ticket},
    observe::Observer,
    planted::{Bug, planted},
    process::now_ms,
    record::{self, Provenance},
    state::Sight,
};

use super::{
    course::{Course, CourseTimes, NotPublished},
    exchange, sight_before,
};
use crate::{
    budget::Hold,
    gate::Placement,
    gateway::Gateway,
    intent,
    refusal::Refusal,
    settle,
    write::{decide::Decision, plan::PlannedWrite},
};

/// The effects of one request for one partition share a record up to this size.
const RECORD_BYTES: usize = 1 << 20;

/// A write within the placement.
pub(super) struct Placed {
    pub(super) gateway: Arc<Gateway>,
    pub(super) request: Arc<str>,
    pub(super) placement: Arc<Placement>,
    pub(super) plan: PlannedWrite,
    pub(super) headers: HeaderMap,
}

impl Course for Placed {
    type Look = Observer;
    type Held = Hold;

    fn plan(&self) -> &PlannedWrite {
        &self.plan
    }

    fn placement(&self) -> &Placement {
        &self.placement
    }

    fn pattern(&self) -> &IndexPattern {
        &self.gateway.pattern
    }

    fn unplaced(&self) -> Unplaced {
        self.gateway.unplaced
    }

    fn times(&self) -> CourseTimes {
        let gateway = &self.gateway;
        CourseTimes { intent_timeout: gateway.config.intent_timeout, longest_wait: gateway.longest_wait }
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn now_ms(&self) -> i64 {
        now_ms()
    }

    fn look(&self) -> &Observer {
        &self.gateway.observer
    }

    fn observes(&self, documents: usize) {
        self.gateway.metrics.observed.inc_by(documents as u64);
    }

    fn intent(&self, before: Option<&Sight>) -> Result<Bytes, Refusal> {
        intent::encode(&self.gateway, &self.placement, &self.plan, before)
    }

    async fn ticket(&self, intent: &Bytes) -> Result<Ticket, PublishError> {
        self.gateway.log.ticket(self.request.clone(), intent).await
    }

    async fn replace_ticket(&self, ticket: &Ticket, intent: &Bytes) -> Result<Ticket, PublishError> {
        self.gateway.log.replace_ticket(ticket, intent).await
    }

    async fn sight_before(&self) -> Result<Sight, Refusal> {
        sight_before(&self.gateway, &self.plan).await
    }

    async fn exchange(&self) -> Result<ClusterAnswer, CallError> {
        let _time = self.gateway.metrics.primary_seconds.start_timer();
        exchange(&self.gateway, &self.plan, &self.headers).await
    }

    fn hold(&self, bytes: usize) -> Hold {
        // Of updates the sources stand in the answer, and are copied from there.
        let updates = self.plan.items.iter().any(|item| item.action == Action::Update);
        let copies = if updates { 1 + self.gateway.copies } else { 1 };
        self.gateway.budget.count(copies * bytes)
    }

    async fn sight_after(&self, before: &Sight) -> Option<Sight> {
        let gateway = &self.gateway;
        let _time = gateway.metrics.guard_seconds.start_timer();
        if planted(Bug::NoGuard) {
            return Some(before.clone());
        }
        let state = match gateway.looks.look().await {
            Ok(state) if state == before.state => return Some(before.clone()),
            Ok(state) => state,
            Err(error) => {
                gateway.metrics.guard_failures.inc();
                tracing::warn!(%error, "no look at the cluster state after a write");
                return None;
            }
        };
        match gateway.metadata.at(&state, &self.plan.indices()).await {
            Ok(sight) => Some(sight),
            Err(error) => {
                gateway.metrics.guard_failures.inc();
                tracing::warn!(%error, "no look at indices after a write");
                None
            }
        }
    }

    async fn publish(&self, ticket: &Ticket, decision: &Decision, answered_ms: i64) -> Result<(), NotPublished> {
        if decision.effects.is_empty() {
            return Ok(());
        }
        let (gateway, placement) = (&self.gateway, &self.placement);
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

    fn settle(&self, ticket: Ticket) {
        self.gateway.settle(ticket);
    }

    fn settle_later(&self, done: settle::Done) {
        self.gateway.settle_later(done);
    }

    fn stays_open(&self, ticket: &Ticket, intent: Bytes, late: bool) {
        self.gateway.stays_open(ticket, intent, late);
    }
}
