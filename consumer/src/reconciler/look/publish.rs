//! Publishing what was observed: schemas first, then the effects of each intent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::join_all;
use understudy_common::{
    control::Roles,
    effect::Effect,
    log::{EffectsError, Ticket},
    observe::Observation,
    process::now_ms,
    record::{self, Provenance},
    schema::SchemaError,
};

use super::Looker;
use crate::reconciler::turn::Turn;

/// The effects of one intent for one partition share a record up to this size.
const RECORD_BYTES: usize = 1 << 20;

impl Looker {
    /// Publishes effects, each with its place and intent; says of each whether it is in the log of every target, in time.
    ///
    /// # Errors
    /// When the primary or Kafka does not answer.
    pub(super) async fn publish(
        &self,
        roles: &Roles,
        ticket: &Ticket,
        turn: &Turn,
        observation: &Observation,
        effects: &[((usize, usize), Effect)],
    ) -> Result<Vec<bool>, String> {
        let unready = self.ensure_schemas(roles, observation).await?;
        let mut by_intent: BTreeMap<usize, Vec<Effect>> = BTreeMap::new();
        for ((_, intent), effect) in effects.iter().filter(|(_, effect)| !unready.contains(&effect.key.index)) {
            by_intent.entry(*intent).or_default().push(effect.clone());
        }
        let published = by_intent.iter().map(async |(intent, effects)| {
            let (request, written) = turn.intent(*intent)?;
            let provenance = Provenance {
                request: request.clone(),
                ticket_ms: ticket.at_ms,
                answered_ms: now_ms(),
                epoch: roles.epoch,
                gateway: self.name.clone(),
            };
            let partitions = self.config.kafka.partitions;
            let records = record::encode(&provenance, &observation.indices, effects, partitions, RECORD_BYTES);
            let targets = written.targets.iter().map(|target| self.log.effects(target, ticket, &records));
            for published in join_all(targets).await {
                match published {
                    Ok(()) => {}
                    Err(error @ EffectsError::Void { .. }) => {
                        tracing::warn!(request = &**request, %error, "what was seen of an open intent counts as unseen");
                        return None;
                    }
                    Err(error) => {
                        tracing::debug!(request = &**request, %error, "what was seen of an open intent is not in the log");
                        return None;
                    }
                }
            }
            Some(*intent)
        });
        let published: BTreeSet<usize> = join_all(published).await.into_iter().flatten().collect();
        let is_published = |((_, intent), effect): &((usize, usize), Effect)| {
            published.contains(intent) && !unready.contains(&effect.key.index)
        };
        Ok(effects.iter().map(is_published).collect())
    }

    /// Makes sure that the schemas are in the log; answers the indices that went in the meantime.
    async fn ensure_schemas(&self, roles: &Roles, observation: &Observation) -> Result<BTreeSet<Arc<str>>, String> {
        let mut unready = BTreeSet::new();
        for (index, need) in &observation.indices {
            match self.schemas.ensure(roles.epoch, &BTreeMap::from([(index.clone(), need.clone())])).await {
                Ok(()) => {}
                Err(error @ (SchemaError::Gone(_) | SchemaError::Unreadable { .. })) => {
                    tracing::debug!(index = &**index, %error, "no schema of an index of an open intent");
                    unready.insert(index.clone());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(unready)
    }
}
