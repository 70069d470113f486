use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{document::DocumentKey, effect::DocumentState, shard::ShardLayout, version::PackedVersion};

const LAYOUT: ShardLayout = ShardLayout { number: 1, routing: 1024, partition: 1 };

fn provenance() -> Provenance {
    Provenance { request: "r-1".into(), ticket_ms: 1_700_000_000_000, answered_ms: 1, epoch: 1, gateway: "g".into() }
}

fn needs(effects: &[Effect]) -> BTreeMap<Arc<str>, IndexNeed> {
    effects.iter().map(|e| (e.key.index.clone(), IndexNeed { uuid: "u".into(), mapping: 3, shards: LAYOUT })).collect()
}

fn effect(index: &str, id: &str, routing: Option<&str>, seq_no: u64, source: Option<&str>) -> Effect {
    Effect::claimed(
        DocumentKey { index: index.into(), id: id.into(), routing: routing.map(Arc::from) },
        PackedVersion::pack(1, 1, seq_no).unwrap(),
        source.map_or(DocumentState::Deleted, |s| DocumentState::Put(Bytes::copy_from_slice(s.as_bytes()))),
    )
}

fn headers(record: &OutgoingRecord) -> BTreeMap<String, String> {
    record.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn read(record: &OutgoingRecord) -> Result<EffectsRecord, Unreadable> {
    decode(&headers(record), &Bytes::copy_from_slice(&record.value))
}

#[test]
fn a_value_is_a_bulk_body_that_anyone_can_read() {
    let effects = [effect("i", "7", None, 5, Some("{\"a\":1.10}")), effect("i", "7", Some("x\"y"), 6, None)];
    let records = encode(&provenance(), &needs(&effects), &effects, 12, 1 << 20);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key, "i/7");
    let version = (1u64 << 53) + (1 << 40);
    assert_eq!(
        String::from_utf8_lossy(&records[0].value),
        format!(
            "{{\"index\":{{\"_index\":\"i\",\"_id\":\"7\",\"version\":{},\"version_type\":\"external\"}}}}\n{{\"a\":1.10}}\n\
             {{\"delete\":{{\"_index\":\"i\",\"_id\":\"7\",\"routing\":\"x\\\"y\",\"version\":{},\"version_type\":\"external\"}}}}\n",
            version + 5,
            version + 6
        )
    );
    assert_eq!(
        headers(&records[0])["understudy-indices"],
        "{\"i\":{\"uuid\":\"u\",\"mapping\":3,\"shards\":{\"number\":1,\"routing\":1024,\"partition\":1}}}"
    );
}

#[test]
fn clients_versions_observations_and_references_stand_beside_their_lines() {
    let put = |id| effect("i", id, None, 5, Some("{}"));
    let effects = [
        put("plain"),
        Effect { client_version: Some(12), ..put("client") },
        Effect { observed: true, ..effect("i", "seen", None, 6, None) },
        Effect { state: DocumentState::Reference, ..put("large") },
    ];
    let record = encode(&provenance(), &needs(&effects), &effects, 1, 1 << 20).remove(0);
    let packed = effects[1].version.raw();
    assert_eq!(
        headers(&record)["understudy-lines"],
        format!("{{\"1\":{{\"packed\":{packed}}},\"2\":{{\"observed\":true}},\"3\":{{\"reference\":true}}}}")
    );
    let text = String::from_utf8_lossy(&record.value).into_owned();
    assert!(text.contains("\"version\":12,\"version_type\":\"external\""), "{text}");
    assert!(text.contains("\"version_type\":\"external_gte\""), "{text}");
    assert_eq!(read(&record).unwrap().effects, effects);
    // A line that is not there, and one of a kind that this build does not know.
    for (lines, newer) in [("{\"4\":{\"observed\":true}}", false), ("{\"0\":{\"else\":1}}", true)] {
        let mut headers = headers(&record);
        headers.insert("understudy-lines".into(), lines.into());
        let error = decode(&headers, &Bytes::copy_from_slice(&record.value)).unwrap_err();
        assert_eq!(matches!(error, Unreadable::Newer(_)), newer, "{error:?}");
    }
}

#[test]
fn what_is_not_ours_is_told_from_what_is_newer() {
    let effects = [effect("i", "7", None, 5, Some("{}"))];
    let record = encode(&provenance(), &needs(&effects), &effects, 12, 1 << 20).remove(0);
    let with = |name: &str, value: Option<&str>| {
        let mut headers = headers(&record);
        match value {
            Some(value) => headers.insert(name.to_owned(), value.to_owned()),
            None => headers.remove(name),
        };
        decode(&headers, &Bytes::copy_from_slice(&record.value))
    };
    for (name, value) in [
        (header::FORMAT, None),
        (header::KIND, None),
        (header::TICKET, Some("soon")),
        (header::INDICES, Some("{}")),
        (header::INDICES, Some("[")),
        (header::EPOCH, Some("2")),
    ] {
        assert!(matches!(with(name, value), Err(Unreadable::Foreign(_))), "{name} {value:?}");
    }
    for (name, value) in [(header::FORMAT, "2"), (header::KIND, "barrier"), (header::LINES, "{\"0\":{\"else\":true}}")]
    {
        assert!(matches!(with(name, Some(value)), Err(Unreadable::Newer(_))), "{name} {value}");
    }
    for value in [
        "",
        "hello",
        "{\"index\":{\"_index\":\"i\",\"_id\":\"7\"}}\n{}\n",
        "{\"update\":{\"_index\":\"i\",\"_id\":\"7\",\"version\":9008298766368773,\"version_type\":\"external\"}}\n{}\n",
    ] {
        let answer = decode(&headers(&record), &Bytes::from(value));
        assert!(matches!(answer, Err(Unreadable::Foreign(_))), "{value}: {answer:?}");
    }
}

prop_compose! {
    fn any_effect()(
        index in "[a-z]{1,3}", id in "\\PC{1,12}", routing in prop::option::of("\\PC{1,6}"),
        seq_no in 0u64..1 << 40, source in prop::option::of("\\{[^\n\r]{0,40}\\}"),
    ) -> Effect {
        effect(&index, &id, routing.as_deref(), seq_no, source.as_deref())
    }
}

proptest! {
    #[test]
    fn records_round_trip(effects in prop::collection::vec(any_effect(), 1..20), limit in 1usize..8000) {
        let records = encode(&provenance(), &needs(&effects), &effects, 12, limit);
        let mut back: Vec<Effect> = Vec::new();
        for record in &records {
            let read = read(record).unwrap();
            prop_assert_eq!(&read.provenance, &provenance());
            prop_assert!(read.effects.iter().all(|e| e.key.partition(12) == record.partition));
            prop_assert!(read.effects.len() == 1 || record.value.len() <= limit);
            prop_assert_eq!(&record.key, &read.effects[0].key.record_key());
            back.extend(read.effects);
        }
        // Order is kept within a partition, which is all that a document needs.
        let mut wanted = effects;
        wanted.sort_by_key(|e| e.key.partition(12));
        prop_assert_eq!(back, wanted);
    }

    #[test]
    fn decoding_never_panics(value in prop::collection::vec(any::<u8>(), 0..300), indices in "\\PC{0,40}") {
        let mut all: BTreeMap<String, String> = { let one = [effect("i", "1", None, 1, None)]; encode(&provenance(), &needs(&one), &one, 1, 1) }[0]
            .headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        all.insert(header::INDICES.into(), indices);
        let _ = decode(&all, &Bytes::from(value));
    }
}
