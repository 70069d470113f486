//! Effects to records.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use serde::Serialize;

use super::{FORMAT, IndexNeed, Line, Provenance, header};
use crate::{
    config::KafkaConfig,
    effect::{DocumentState, Effect},
};

/// A record that is ready to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// Partition of the target's topic.
    pub partition: i32,
    /// `index/_id` of the first effect.
    pub key: String,
    /// A `_bulk` body.
    pub value: Vec<u8>,
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct ActionFields<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_id")]
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing: Option<&'a str>,
    version: u64,
    version_type: &'static str,
}

/// Bytes that JSON may make of a text at most: `\u0001` for one byte.
const JSON_WORST: usize = 6;

/// An upper bound of the bytes that an effect of this document takes in a record, headers and key included.
#[must_use]
pub fn encoded_len(index: &str, id: &str, routing: Option<&str>, source: usize) -> usize {
    const FIXED: usize = 1024;
    FIXED + JSON_WORST * (2 * index.len() + 2 * id.len() + routing.map_or(0, str::len)) + source
}

/// The largest source that a record holds beside its key, its action line and its headers.
#[must_use]
pub fn largest_source(kafka: &KafkaConfig) -> usize {
    const OVERHEAD: u64 = 64 << 10;
    usize::try_from(kafka.max_message_bytes - OVERHEAD).unwrap_or(usize::MAX)
}

/// Groups effects by partition, in order, into records whose values stay below `record_bytes` where they hold more than
/// one effect.
///
/// # Panics
/// When an index of `effects` is not in `indices`: nobody could apply such a record.
#[must_use]
pub fn encode(
    provenance: &Provenance,
    indices: &BTreeMap<Arc<str>, IndexNeed>,
    effects: &[Effect],
    partitions: i32,
    record_bytes: usize,
) -> Vec<OutgoingRecord> {
    let mut by_partition: BTreeMap<i32, Vec<Vec<&Effect>>> = BTreeMap::new();
    let mut open_bytes: BTreeMap<i32, usize> = BTreeMap::new();
    for effect in effects {
        assert!(indices.contains_key(&effect.key.index), "what {} needs is not known", effect.key.index);
        let partition = effect.key.partition(partitions);
        let routing = effect.key.routing.as_deref();
        let bytes = encoded_len(&effect.key.index, &effect.key.id, routing, effect.source_len());
        let records = by_partition.entry(partition).or_default();
        let open = open_bytes.entry(partition).or_default();
        if records.is_empty() || *open + bytes > record_bytes {
            records.push(Vec::new());
            *open = 0;
        }
        *open += bytes;
        records.last_mut().expect("one was pushed").push(effect);
    }
    let record = |partition, effects: &[&Effect]| OutgoingRecord {
        partition,
        key: effects[0].key.record_key(),
        value: bulk_body(effects.iter().copied()),
        headers: headers(provenance, indices, effects),
    };
    by_partition
        .iter()
        .flat_map(|(partition, records)| records.iter().map(|effects| record(*partition, effects)))
        .collect()
}

/// A `_bulk` body with these effects, for a record or for a target: external versions, sources as they are.
#[must_use]
pub fn bulk_body<'a>(effects: impl Iterator<Item = &'a Effect> + Clone) -> Vec<u8> {
    /// Bytes that an action line takes beside names, about.
    const ACTION_LINE: usize = 160;
    let mut body = Vec::with_capacity(effects.clone().map(|effect| effect.source_len() + ACTION_LINE).sum());
    for effect in effects {
        let fields = ActionFields {
            index: &effect.key.index,
            id: &effect.key.id,
            routing: effect.key.routing.as_deref(),
            version: effect.stored_version(),
            version_type: effect.version_type(),
        };
        // Writing into a Vec cannot fail, and neither can these fields.
        let _ = write!(body, "{{\"{}\":", effect.action());
        let _ = serde_json::to_writer(&mut body, &fields);
        body.extend_from_slice(b"}\n");
        match &effect.state {
            DocumentState::Put(source) => {
                body.extend_from_slice(source);
                body.push(b'\n');
            }
            // Never posted to a target as it is; an empty source keeps the record readable.
            DocumentState::Reference => body.extend_from_slice(b"{}\n"),
            DocumentState::Deleted => {}
        }
    }
    body
}

fn headers(
    provenance: &Provenance,
    indices: &BTreeMap<Arc<str>, IndexNeed>,
    effects: &[&Effect],
) -> Vec<(&'static str, String)> {
    let needed: BTreeMap<&str, &IndexNeed> = effects
        .iter()
        .filter_map(|effect| indices.get(&effect.key.index).map(|need| (&*effect.key.index, need)))
        .collect();
    let lines: BTreeMap<usize, Line> =
        effects.iter().map(|effect| Line::of(effect)).enumerate().filter(|(_, line)| !line.is_plain()).collect();
    let mut headers = vec![
        (header::FORMAT, FORMAT.to_owned()),
        (header::KIND, "effects".to_owned()),
        (header::REQUEST, provenance.request.to_string()),
        (header::TICKET, provenance.ticket_ms.to_string()),
        (header::ANSWERED, provenance.answered_ms.to_string()),
        (header::EPOCH, provenance.epoch.to_string()),
        (header::GATEWAY, provenance.gateway.to_string()),
        (header::INDICES, serde_json::to_string(&needed).unwrap_or_default()),
    ];
    if !lines.is_empty() {
        headers.push((header::LINES, serde_json::to_string(&lines).unwrap_or_default()));
    }
    headers
}
