//! The documents of a letter that was too large to be kept: by the record that it comes from, or by its headers.

use std::{collections::BTreeMap, sync::Arc};

use understudy_common::{
    document::DocumentKey,
    kafka::LogRecord,
    record::{self, IndexNeed, decode},
};

use crate::dead_letters::{Failure, letter::Letter, topic::Mailbox};

/// Its documents, or why they are not known. All of its record: which of them was refused is not said, and to publish one
/// once more does no harm.
pub async fn documents(mailbox: &Mailbox, letter: &Letter) -> Result<Result<Vec<DocumentKey>, String>, Failure> {
    let record = match &letter.origin {
        // Somebody else's headers could name any topic.
        Some(origin) if origin.topic == mailbox.topics.target(&mailbox.target) => {
            mailbox.record(&origin.topic, origin.partition, origin.offset).await?
        }
        _ => None,
    };
    Ok(record.and_then(|record| of_record(letter, &record)).map_or_else(|| of_headers(letter), Ok))
}

/// A topic that was made anew has another record there.
fn of_record(letter: &Letter, record: &LogRecord) -> Option<Vec<DocumentKey>> {
    let request = record.headers.get(record::header::REQUEST).map(String::as_str);
    if record.key.as_deref() != Some(letter.key.as_bytes()) || request != letter.request() {
        return None;
    }
    let effects = decode(&record.headers, record.value.as_ref()?).ok()?.effects;
    Some(effects.into_iter().map(|effect| effect.key).collect())
}

/// An effect as large as that stands alone in its record, so the record's key names it. Not its routing: where the index
/// has one shard, none is needed to find it.
fn of_headers(letter: &Letter) -> Result<Vec<DocumentKey>, String> {
    let indices: Option<BTreeMap<Arc<str>, IndexNeed>> =
        letter.header(record::header::INDICES).and_then(|indices| serde_json::from_str(indices).ok());
    let document = letter.document().filter(|document| {
        let need = indices.as_ref().and_then(|indices| indices.get(&document.index));
        need.is_some_and(|need| need.shards.number == 1)
    });
    document.map(|document| vec![document.clone()]).ok_or_else(|| {
        "its record was too large to be kept here, and is not in the target's topic any more: write its document once more through a gateway"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use understudy_common::{
        effect::{DocumentState, Effect},
        record::{Provenance, encode},
        shard::ShardLayout,
        version::PackedVersion,
    };

    use super::*;
    use understudy_common::record::dead_header as header;

    fn letter_and_record(shards: u32) -> (Letter, LogRecord) {
        let key = DocumentKey { index: "i".into(), id: "a/b".into(), routing: Some("r".into()) };
        let version = PackedVersion::pack(1, 1, 7).unwrap();
        let effects = [Effect::claimed(key, version, DocumentState::Deleted)];
        let layout = ShardLayout { number: shards, routing: 1024, partition: 1 };
        let needs = BTreeMap::from([("i".into(), IndexNeed { uuid: "u".into(), mapping: 1, shards: layout })]);
        let provenance =
            Provenance { request: "q".into(), ticket_ms: 1, answered_ms: 1, epoch: 1, gateway: "g".into() };
        let record = encode(&provenance, &needs, &effects, 1, 1 << 20).remove(0);
        let record = LogRecord {
            partition: 0,
            offset: 5,
            at_ms: 1,
            key: Some(record.key.into()),
            value: Some(record.value.into()),
            headers: record.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let mut letter = LogRecord { value: None, ..record.clone() };
        letter.headers.insert(header::TYPE.to_owned(), "too_large".to_owned());
        letter.headers.insert(header::STATUS.to_owned(), "413".to_owned());
        letter.headers.insert(header::REFERENCE.to_owned(), "true".to_owned());
        (Letter::of(letter), record)
    }

    #[test]
    fn the_record_tells_whole_keys() {
        let (letter, record) = letter_and_record(3);
        let documents = of_record(&letter, &record).unwrap();
        assert_eq!((&*documents[0].id, documents[0].routing.as_deref()), ("a/b", Some("r")));
        let other = LogRecord { key: Some("i/other".into()), ..record };
        assert!(of_record(&letter, &other).is_none(), "of a topic that was made anew");
    }

    #[test]
    fn without_the_record_a_key_is_enough_where_there_is_one_shard() {
        let documents = of_headers(&letter_and_record(1).0).unwrap();
        assert_eq!((&*documents[0].index, &*documents[0].id), ("i", "a/b"));
        assert!(of_headers(&letter_and_record(3).0).unwrap_err().contains("once more through a gateway"));
    }
}
