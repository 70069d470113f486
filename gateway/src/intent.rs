//! What a write's intent says.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use understudy_common::{
    intent::{Intent, IntentDocument},
    state::{IndexLookup, Sight},
};

use crate::{
    gate::Placement,
    gateway::Gateway,
    refusal::Refusal,
    write::plan::{PlannedWrite, too_long_a_list},
};

/// The intent of a write, as its record has it: documents as the request names them, or, where `before` is given, those
/// behind the aliases that it names.
///
/// # Errors
/// When it would not fit into a record, or an alias leads out of the placement.
pub fn encode(
    gateway: &Gateway,
    placement: &Placement,
    plan: &PlannedWrite,
    before: Option<&Sight>,
) -> Result<Bytes, Refusal> {
    let mut aliases: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
    let mut documents = Vec::with_capacity(plan.items.len());
    for item in &plan.items {
        let key = before.map_or_else(|| item.key.clone(), |before| before.resolve(&item.key));
        if before.is_some_and(|before| matches!(before.lookup(&item.key.index), IndexLookup::Alias(_))) {
            if !gateway.pattern.matches(&key.index) {
                return Err(Refusal::not_replicated(format!(
                    "{}nothing was executed: the alias [{}] leads to index [{}], outside of the placement [{}]",
                    item.place(),
                    item.key.index,
                    key.index,
                    gateway.pattern.as_str()
                )));
            }
            let known = aliases.entry(key.index.clone()).or_default();
            if !known.contains(&item.key.index) {
                known.push(item.key.index.clone());
            }
        }
        documents.push(IntentDocument::from(key));
    }
    let intent = Intent {
        format: Intent::FORMAT,
        gateway: gateway.config.name.as_str().into(),
        epoch: placement.epoch,
        primary: placement.primary.clone(),
        targets: placement.targets.clone(),
        documents,
        aliases,
    };
    let bytes = serde_json::to_vec(&intent).map_err(|error| Refusal::malformed(error.to_string()))?;
    if bytes.len() > gateway.limits.record_bytes {
        return Err(too_long_a_list(bytes.len(), gateway.limits));
    }
    Ok(bytes.into())
}
