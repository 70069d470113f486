//! Records of effects: what was written is read back, and what strangers write breaks nothing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use understudy_common::{
    document::DocumentKey,
    effect::{DocumentState, Effect},
    record::{EffectsRecord, IndexNeed, OutgoingRecord, Provenance, decode, encode, encoded_len, header},
    shard::ShardLayout,
    version::PackedVersion,
};

use crate::input::Input;

/// An even first byte: the rest becomes effects that are written and read back. An odd one: it is a record of somebody.
///
/// # Panics
/// When something does not hold that must.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte().is_multiple_of(2) {
        ours(&mut input);
    } else {
        somebodys(input);
    }
}

fn ours(input: &mut Input<'_>) {
    let epoch = input.number() % 1024;
    let provenance = Provenance {
        request: short(input).into(),
        ticket_ms: input.number() as i64,
        answered_ms: input.number() as i64,
        epoch,
        gateway: short(input).into(),
    };
    let partitions = i32::from(input.byte() % 12) + 1;
    let record_bytes = usize::try_from(input.number() % (1 << 16)).expect("small");
    let mut indices = BTreeMap::new();
    let mut effects: Vec<Effect> = Vec::new();
    while !input.is_empty() && effects.len() < 40 {
        let effect = effect(input, epoch);
        indices.entry(effect.key.index.clone()).or_insert_with(|| need(input));
        effects.push(effect);
    }
    let records = encode(&provenance, &indices, &effects, partitions, record_bytes);
    let mut by_partition: BTreeMap<i32, Vec<Effect>> = BTreeMap::new();
    for record in &records {
        let read = read(record).unwrap_or_else(|error| panic!("{error} in {record:?}"));
        assert_eq!(read.provenance, provenance);
        assert!(read.indices.iter().all(|(name, need)| indices.get(name) == Some(need)));
        assert_eq!(read.effects[0].key.record_key(), record.key);
        let bound: usize = read.effects.iter().map(bytes_of).sum();
        let bytes: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(record.key.len() + record.value.len() + bytes <= bound, "a record is larger than was counted");
        assert!(read.effects.len() == 1 || bound <= record_bytes, "a record holds more than it may");
        by_partition.entry(record.partition).or_default().extend(read.effects);
    }
    // Each partition has its effects, in order, and none is lost or made up.
    for (partition, read) in &by_partition {
        let written = effects.iter().filter(|effect| effect.key.partition(partitions) == *partition);
        assert!(read.iter().eq(written), "partition {partition}");
    }
    assert_eq!(by_partition.values().map(Vec::len).sum::<usize>(), effects.len());
}

fn bytes_of(effect: &Effect) -> usize {
    let key = &effect.key;
    encoded_len(&key.index, &key.id, key.routing.as_deref(), effect.source_len())
}

/// Names of gateways and requests are ours, and short.
fn short(input: &mut Input<'_>) -> String {
    input.text().chars().take(16).collect()
}

fn need(input: &mut Input<'_>) -> IndexNeed {
    let number = u32::from(input.byte()) + 1;
    let shards = ShardLayout { number, routing: number * 2, partition: u32::from(input.byte()) + 1 };
    IndexNeed { uuid: short(input).into(), mapping: input.number(), shards }
}

fn effect(input: &mut Input<'_>, epoch: u64) -> Effect {
    let kind = input.byte();
    let version = PackedVersion::pack(epoch, input.number() % (1 << 13), input.number() % (1 << 40)).expect("it fits");
    let routing = (kind & 1 != 0).then(|| Arc::from(input.text()));
    let key = DocumentKey { index: short(input).into(), id: input.text().into(), routing };
    let state = match kind >> 1 & 3 {
        0 => DocumentState::Deleted,
        1 => DocumentState::Reference,
        _ => DocumentState::Put(source(input)),
    };
    let client_version = (kind & 8 != 0).then(|| input.number() >> 1);
    Effect { client_version, observed: kind & 16 != 0, ..Effect::claimed(key, version, state) }
}

/// A source as gateways make them: one line, not blank.
fn source(input: &mut Input<'_>) -> Bytes {
    let mut bytes: Vec<u8> =
        input.bytes().iter().map(|byte| if b"\r\n".contains(byte) { b' ' } else { *byte }).collect();
    bytes.insert(0, b'{');
    bytes.push(b'}');
    bytes.into()
}

fn read(record: &OutgoingRecord) -> Result<EffectsRecord, understudy_common::record::Unreadable> {
    let headers = record.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    decode(&headers, &Bytes::copy_from_slice(&record.value))
}

/// The first lines are headers, the rest a value. What can be read says the same when it is written again.
fn somebodys(mut input: Input<'_>) {
    let names = [
        header::REQUEST,
        header::TICKET,
        header::ANSWERED,
        header::EPOCH,
        header::GATEWAY,
        header::INDICES,
        header::LINES,
    ];
    let mut headers =
        BTreeMap::from([(header::FORMAT.to_owned(), "1".to_owned()), (header::KIND.to_owned(), "effects".to_owned())]);
    for name in names {
        let line = input.line();
        if !line.is_empty() {
            headers.insert(name.to_owned(), String::from_utf8_lossy(line).into_owned());
        }
    }
    let Ok(found) = decode(&headers, &Bytes::copy_from_slice(input.rest())) else { return };
    let partition = 1;
    let records = encode(&found.provenance, &found.indices, &found.effects, partition, usize::MAX);
    let again: Vec<Effect> =
        records.iter().flat_map(|record| read(record).expect("what was read is written").effects).collect();
    // A reference has no source, whatever stood there.
    assert_eq!(again, found.effects);
}
