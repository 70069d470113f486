//! Records to effects.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{EffectsRecord, FORMAT, IndexNeed, Line, Provenance, header};
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
    let lines: BTreeMap<usize, Line> = match headers.get(header::LINES) {
        None => BTreeMap::new(),
        Some(lines) => serde_json::from_str(lines)
            .map_err(|error| Unreadable::Newer(format!("header [{}] is {lines}: {error}", header::LINES)))?,
    };
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
    let effects = effects(value, &indices, &lines, provenance.epoch)?;
    Ok(EffectsRecord { provenance, indices, effects })
}

fn text<'a>(headers: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, Unreadable> {
    headers.get(name).map(String::as_str).ok_or_else(|| foreign(format!("no header [{name}]")))
}

fn number<N: std::str::FromStr>(headers: &BTreeMap<String, String>, name: &str) -> Result<N, Unreadable> {
    let value = text(headers, name)?;
    value.parse().map_err(|_| foreign(format!("header [{name}] is [{value}], not a number")))
}

fn effects(
    value: &Bytes,
    indices: &BTreeMap<Arc<str>, IndexNeed>,
    lines: &BTreeMap<usize, Line>,
    epoch: u64,
) -> Result<Vec<Effect>, Unreadable> {
    let operations = bulk::parse(value).map_err(|error| foreign(error.to_string()))?;
    if let Some((line, _)) = lines.last_key_value().filter(|(line, _)| **line >= operations.len()) {
        return Err(foreign(format!("header [{}] names operation {line} of {}", header::LINES, operations.len())));
    }
    operations
        .into_iter()
        .enumerate()
        .map(|(place, operation)| {
            let line = lines.get(&place).copied().unwrap_or_default();
            let wrong = |what: String| foreign(format!("line {}: {what}", operation.line));
            let fields = operation.fields;
            let index = fields.index.ok_or_else(|| wrong("no _index".into()))?;
            let id = fields.id.ok_or_else(|| wrong("no _id".into()))?;
            let (index, _) = indices
                .get_key_value(index.as_str())
                .ok_or_else(|| wrong(format!("index [{index}] is not in header [{}]", header::INDICES)))?;
            let stored = fields.version.ok_or_else(|| wrong("no version".into()))?;
            let client_version = line.packed.map(|_| stored);
            let version =
                PackedVersion::from_raw(line.packed.unwrap_or(stored)).map_err(|error| wrong(error.to_string()))?;
            if version.epoch() != epoch {
                return Err(wrong(format!("version {version} is not of epoch {epoch}")));
            }
            let state = match (operation.action, operation.source) {
                (Action::Index, Some(_)) if line.reference => DocumentState::Reference,
                (Action::Index, Some(source)) => DocumentState::Put(source),
                (Action::Delete, None) => DocumentState::Deleted,
                (action, _) => return Err(wrong(format!("action [{}] is no effect", action.name()))),
            };
            let key = DocumentKey { index: index.clone(), id: id.into(), routing: fields.routing.map(Arc::from) };
            let effect = Effect { key, version, client_version, observed: line.observed, state };
            if fields.version_type.as_deref() != Some(effect.version_type()) || !fields.others.is_empty() {
                return Err(wrong("not an action line of an effect".into()));
            }
            Ok(effect)
        })
        .collect()
}
