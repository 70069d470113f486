//! What clients wrote, and how it stands in the log.

use super::*;

/// What became of one document.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Kind {
    Put,
    Delete,
    /// A put that the target refuses.
    Poison,
    /// A put that was published twice, once as the answer claimed and once as it was read back; the latter is right.
    Observed,
    /// A put whose source did not fit into the log.
    Reference,
}

/// A write of a client.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Write {
    pub(in super::super) document: u8,
    pub(in super::super) kind: Kind,
    /// The version that the client gave.
    pub(in super::super) client: Option<u64>,
}

/// What a client wrote in one request, and how late its effects were appended.
#[derive(Clone, Debug)]
pub(in super::super) struct Request {
    pub(in super::super) ticket_ms: i64,
    pub(in super::super) delay: i64,
    /// How much of the delay passed before the primary applied it, in percent: tickets do not order versions.
    pub(in super::super) before: i64,
    pub(in super::super) writes: Vec<Write>,
    /// Whether its effects were published twice.
    pub(in super::super) twice: bool,
}

pub(in super::super) fn effect(write: Write, seq_no: u64) -> Effect {
    let state = match write.kind {
        Kind::Delete => DocumentState::Deleted,
        Kind::Poison => DocumentState::Put(Bytes::from("{\"poison\":1}")),
        Kind::Reference => DocumentState::Reference,
        Kind::Put | Kind::Observed => source(seq_no),
    };
    let key = DocumentKey { index: "i".into(), id: write.document.to_string().into(), routing: None };
    let effect = Effect::claimed(key, PackedVersion::pack(1, 1, seq_no).unwrap(), state);
    Effect { client_version: write.client, ..effect }
}

fn source(seq_no: u64) -> DocumentState {
    DocumentState::Put(Bytes::from(format!("{{\"n\":{seq_no}}}")))
}

/// As it was read back, which the claim did not say.
fn observed(claim: &Effect) -> Effect {
    let state = DocumentState::Put(Bytes::from(format!("{{\"n\":{},\"observed\":1}}", claim.version.raw())));
    Effect { observed: true, client_version: None, state, ..claim.clone() }
}

/// What an effect says, also where the log has no room for it.
pub(in super::super) fn truth(effect: &Effect) -> DocumentState {
    match &effect.state {
        DocumentState::Reference => source(effect.version.raw()),
        state => state.clone(),
    }
}

pub(in super::super) fn received(
    partition: i32,
    offset: i64,
    at_ms: i64,
    ticket_ms: i64,
    effects: Vec<Effect>,
) -> Received {
    let record = LogRecord { partition, offset, at_ms, key: None, value: None, headers: BTreeMap::new() };
    let provenance =
        Provenance { request: "r".into(), ticket_ms, answered_ms: ticket_ms, epoch: 1, gateway: "g".into() };
    let indices = BTreeMap::from([(Arc::from("i"), IndexNeed { uuid: "u".into(), mapping: 1, shards: SHARDS })]);
    Received { record, content: Ok(EffectsRecord { provenance, indices, effects }) }
}

/// Append time, ticket, partition, effects.
type Append = (i64, i64, i32, Vec<Effect>);

pub(super) fn log(requests: &[Request]) -> Vec<Vec<Received>> {
    let mut appends: Vec<Append> = Vec::new();
    let mut seq_no = 0;
    // The primary's order. It answers within 40 s, or nobody waits for it.
    let written = |request: &Request| request.ticket_ms + (request.delay * request.before / 100).min(40_000);
    let mut requests: Vec<&Request> = requests.iter().collect();
    requests.sort_by_key(|request| written(request));
    for request in requests {
        let mut parts: BTreeMap<i32, Vec<Effect>> = BTreeMap::new();
        let at_ms = request.ticket_ms + request.delay;
        for write in &request.writes {
            seq_no += 1;
            let (effect, partition) = (effect(*write, seq_no), i32::from(write.document) % PARTITIONS);
            if let Kind::Observed = write.kind {
                // Before the claim or behind it, and after the write.
                let read_ms = if seq_no % 2 == 0 { written(request) } else { at_ms + 500 };
                appends.push((read_ms, request.ticket_ms, partition, vec![observed(&effect)]));
            }
            parts.entry(partition).or_default().push(effect);
        }
        for (partition, effects) in parts {
            appends.push((at_ms, request.ticket_ms, partition, effects.clone()));
            if request.twice {
                let delay = request.delay + (59_999 - request.delay).max(0) / 2;
                appends.push((request.ticket_ms + delay, request.ticket_ms, partition, effects));
            }
        }
    }
    appends.sort_by_key(|(at_ms, ..)| *at_ms);
    let mut log = vec![Vec::new(); PARTITIONS as usize];
    for (at_ms, ticket_ms, partition, effects) in appends {
        let records: &mut Vec<Received> = &mut log[partition as usize];
        if at_ms % 11 == 0 {
            let unreadable = received(partition, records.len() as i64, at_ms, ticket_ms, Vec::new());
            records.push(Received { content: Err(Unreadable::Foreign("f".into())), ..unreadable });
        }
        records.push(received(partition, records.len() as i64, at_ms, ticket_ms, effects));
    }
    log
}

/// The effects of a record that count.
pub(super) fn valid(record: &Received) -> impl Iterator<Item = &Effect> {
    let effects = record.content.as_ref().ok();
    let counts = effects.is_some_and(|effects| !is_void(record.record.at_ms, effects.provenance.ticket_ms, L));
    effects.filter(|_| counts).into_iter().flat_map(|effects| &effects.effects)
}
