//! Records to effects.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{EffectsRecord, FORMAT, IndexNeed, Provenance, header};
use crate::{
    bulk::{self, Action},
    document::DocumentKey,
    effect::{DocumentState, Effect},
    version::PackedVersion,
};

/// Why a record cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not ours, or it is damaged: a dead letter.
    #[error("{0}")]
    Foreign(String),
    /// It is ours, of a kind or format that this build does not know: whoever applied what follows would pass over it,
    /// so the partition must stop.
    #[error("{0}")]
    Newer(String),
}

fn foreign(reason: impl Into<String>) -> Unreadable {
    Unreadable::Foreign(reason.into())
}

/// Reads a record of a target's topic.
///
/// # Errors
/// When it cannot be applied; the reason says what is wrong with it.
pub fn decode(headers: &BTreeMap<String, String>, value: &Bytes) -> Result<EffectsRecord, Unreadable> {
    let format = headers.get(header::FORMAT).ok_or_else(|| foreign(format!("no header [{}]", header::FORMAT)))?;
    if format != FORMAT {
        return Err(Unreadable::Newer(format!("record format [{format}], this build reads [{FORMAT}]")));
    }
    let kind = text(headers, header::KIND)?;
    if kind != "effects" {
        return Err(Unreadable::Newer(format!("record kind [{kind}], this build reads [effects]")));
    }
    if let Some(lines) = headers.get(header::LINES).filter(|lines| *lines != "{}") {
        return Err(Unreadable::Newer(format!("header [{}] is {lines}, this build reads none", header::LINES)));
    }
    let provenance = Provenance {
        request: text(headers, header::REQUEST)?.into(),
        ticket_ms: number(headers, header::TICKET)?,
        answered_ms: number(headers, header::ANSWERED)?,
        epoch: number(headers, header::EPOCH)?,
        gateway: text(headers, header::GATEWAY)?.into(),
    };
    let indices: BTreeMap<Arc<str>, IndexNeed> = serde_json::from_str(text(headers, header::INDICES)?)
        .map_err(|error| foreign(format!("header [{}]: {error}", header::INDICES)))?;
    if let Some((index, _)) = indices.iter().find(|(_, need)| !need.shards.is_valid()) {
        return Err(foreign(format!("header [{}]: the shards of [{index}] are none", header::INDICES)));
    }
    let effects = effects(value, &indices, provenance.epoch)?;
    Ok(EffectsRecord { provenance, indices, effects })
}

fn text<'a>(headers: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, Unreadable> {
    headers.get(name).map(String::as_str).ok_or_else(|| foreign(format!("no header [{name}]")))
}

fn number<N: std::str::FromStr>(headers: &BTreeMap<String, String>, name: &str) -> Result<N, Unreadable> {
    let value = text(headers, name)?;
    value.parse().map_err(|_| foreign(format!("header [{name}] is [{value}], not a number")))
}

fn effects(value: &Bytes, indices: &BTreeMap<Arc<str>, IndexNeed>, epoch: u64) -> Result<Vec<Effect>, Unreadable> {
    let operations = bulk::parse(value).map_err(|error| foreign(error.to_string()))?;
    operations
        .into_iter()
        .map(|operation| {
            let wrong = |what: String| foreign(format!("line {}: {what}", operation.line));
            let fields = operation.fields;
            let index = fields.index.ok_or_else(|| wrong("no _index".into()))?;
            let id = fields.id.ok_or_else(|| wrong("no _id".into()))?;
            let (index, _) = indices
                .get_key_value(index.as_str())
                .ok_or_else(|| wrong(format!("index [{index}] is not in header [{}]", header::INDICES)))?;
            if fields.version_type.as_deref() != Some("external") || !fields.others.is_empty() {
                return Err(wrong("not an action line of an effect".into()));
            }
            let version = fields.version.ok_or_else(|| wrong("no version".into()))?;
            let version = PackedVersion::from_raw(version).map_err(|error| wrong(error.to_string()))?;
            if version.epoch() != epoch {
                return Err(wrong(format!("version {version} is not of epoch {epoch}")));
            }
            let state = match (operation.action, operation.source) {
                (Action::Index, Some(source)) => DocumentState::Put(source),
                (Action::Delete, None) => DocumentState::Deleted,
                (action, _) => return Err(wrong(format!("action [{}] is no effect", action.name()))),
            };
            let key = DocumentKey { index: index.clone(), id: id.into(), routing: fields.routing.map(Arc::from) };
            Ok(Effect { key, version, state })
        })
        .collect()
}
