//! A dead letter: what its record says. Pure.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use understudy_common::{
    bulk,
    document::DocumentKey,
    kafka::LogRecord,
    record::{self, dead_header as header},
};

/// The type of the error of a record that no consumer could read.
const UNREADABLE: &str = "unreadable_record";

/// Where a letter stands in its topic, and its name: `partition:offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.split_once(':').and_then(|(partition, offset)| {
            Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        id.filter(|id| id.partition >= 0 && id.offset >= 0)
            .ok_or_else(|| "must be partition:offset of a dead letter, such as 3:17".to_owned())
    }
}

/// What is known of a letter without its body.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Where it stands.
    pub id: LetterId,
    /// When it was kept, by the broker's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// What it holds.
    pub content: Content,
    /// Status of the target's answer; `None` where there was none.
    pub status: Option<u16>,
    /// Type of the error, empty where it says none.
    pub kind: String,
    /// Its text.
    pub reason: String,
    /// Where it comes from.
    pub origin: Option<Origin>,
    /// The record's own key.
    pub key: String,
    /// All headers.
    pub headers: BTreeMap<String, String>,
}

/// What a letter holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One effect.
    Effect {
        /// `index` or `delete`.
        action: &'static str,
        /// The version in its line.
        version: Option<u64>,
        /// Its document.
        document: DocumentKey,
    },
    /// Nothing: the effect was too large to be kept here. The document by the record's key, without its routing.
    Elsewhere(Option<DocumentKey>),
    /// A whole record that names no document for sure.
    Record,
}

/// The record of a target's topic that a letter comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl Letter {
    /// Reads a record of a dead-letter topic; whatever stands there is a letter.
    pub fn of(record: LogRecord) -> Self {
        let LogRecord { partition, offset, at_ms, key, value, headers } = record;
        let text = |name: &str| headers.get(name).cloned().unwrap_or_default();
        let key = String::from_utf8_lossy(&key.unwrap_or_default()).into_owned();
        let origin = || {
            let (partition, offset) = (text(header::PARTITION).parse().ok()?, text(header::OFFSET).parse().ok()?);
            Some(Origin { topic: headers.get(header::TOPIC)?.clone(), partition, offset })
        };
        let kind = text(header::TYPE);
        let content = match value {
            _ if kind == UNREADABLE || !is_ours(&headers) => Content::Record,
            None if headers.contains_key(header::REFERENCE) => Content::Elsewhere(document_of_key(&key)),
            value => effect(&value.unwrap_or_default()).unwrap_or(Content::Record),
        };
        Self {
            id: LetterId { partition, offset },
            at_ms,
            content,
            status: text(header::STATUS).parse().ok().filter(|status| *status > 0),
            reason: text(header::REASON),
            origin: origin(),
            kind,
            key,
            headers,
        }
    }

    /// Its document, as far as the letter alone tells.
    pub fn document(&self) -> Option<&DocumentKey> {
        match &self.content {
            Content::Effect { document, .. } => Some(document),
            Content::Elsewhere(document) => document.as_ref(),
            Content::Record => None,
        }
    }

    /// What was to be done to it.
    pub fn operation(&self) -> Option<&'static str> {
        match &self.content {
            Content::Effect { action, .. } => Some(action),
            // A delete is never too large.
            Content::Elsewhere(_) => Some("index"),
            Content::Record => None,
        }
    }

    /// Why it can never be redriven; `None` when it may.
    pub fn hopeless(&self) -> Option<String> {
        let whole = "it is a whole record that no consumer could read, so nobody can tell whose documents it was about";
        match &self.content {
            Content::Record if !is_ours(&self.headers) => Some("no consumer of ours wrote it".to_owned()),
            Content::Record => Some(format!("{whole} ({})", self.reason)),
            Content::Effect { .. } | Content::Elsewhere(_) => None,
        }
    }

    /// A header of the record that it comes from.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Id of the request that wrote it.
    pub fn request(&self) -> Option<&str> {
        self.header(record::header::REQUEST)
    }
}

/// Whether a consumer wrote it. An answer that it could not read leaves the type empty.
fn is_ours(headers: &BTreeMap<String, String>) -> bool {
    headers.contains_key(header::TOPIC) || headers.contains_key(header::STATUS)
}

/// Consumers put the effect alone into a letter; headers that count operations are about the record it comes from.
fn effect(body: &bytes::Bytes) -> Option<Content> {
    let mut operations = bulk::operations(body);
    let operation = operations.next()?.ok()?;
    if operations.next().is_some() {
        return None;
    }
    let fields = operation.fields;
    let document =
        DocumentKey { index: fields.index?.into(), id: fields.id?.into(), routing: fields.routing.map(Arc::from) };
    Some(Content::Effect { action: operation.action.name(), version: fields.version, document })
}

/// `index/_id`; no name of an index holds a slash.
fn document_of_key(key: &str) -> Option<DocumentKey> {
    let (index, id) = key.split_once('/')?;
    Some(DocumentKey { index: index.into(), id: id.into(), routing: None })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A letter as a consumer writes it.
    pub fn record(offset: i64, body: Option<&str>, headers: &[(&str, &str)]) -> LogRecord {
        LogRecord {
            partition: 0,
            offset,
            at_ms: 1_700_000_000_000 + offset,
            key: Some("flights/of-the-record".into()),
            value: body.map(|body| bytes::Bytes::copy_from_slice(body.as_bytes())),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    const REFUSED: [(&str, &str); 6] = [
        (header::STATUS, "400"),
        (header::TYPE, "mapper_parsing_exception"),
        (header::REASON, "failed to parse field [n]"),
        (header::TOPIC, "understudy.target.backup"),
        (header::PARTITION, "2"),
        (header::OFFSET, "40"),
    ];

    pub fn refused(offset: i64, index: &str, id: &str) -> Letter {
        let line = format!(
            "{{\"index\":{{\"_index\":\"{index}\",\"_id\":\"{id}\",\"version\":9,\"version_type\":\"external\"}}}}\n{{\"n\":\"x\"}}\n"
        );
        Letter::of(record(offset, Some(&line), &REFUSED))
    }

    #[test]
    fn names_are_read_and_written_alike() {
        let id: LetterId = "3:17".parse().unwrap();
        assert_eq!((id.partition, id.offset, id.to_string()), (3, 17, "3:17".to_owned()));
        for wrong in ["", "3", "3:", ":17", "-1:3", "3:-1", "a:b", "1:2:3"] {
            assert!(wrong.parse::<LetterId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_effect_names_its_own_document_and_not_that_of_its_record() {
        let letter = refused(7, "flights", "a\\\"b");
        assert_eq!(letter.document().unwrap().record_key(), "flights/a\"b");
        assert_eq!((letter.operation(), letter.status), (Some("index"), Some(400)));
        assert_eq!(letter.origin, Some(Origin { topic: "understudy.target.backup".into(), partition: 2, offset: 40 }));
        assert!(letter.hopeless().is_none());
        let delete = "{\"delete\":{\"_index\":\"i\",\"_id\":\"1\",\"routing\":\"r\",\"version\":9,\"version_type\":\"external\"}}\n";
        let letter = Letter::of(record(7, Some(delete), &REFUSED));
        assert_eq!(letter.document().unwrap().routing.as_deref(), Some("r"));
        assert_eq!(letter.operation(), Some("delete"));
    }

    #[test]
    fn what_names_no_document_for_sure_is_a_whole_record() {
        let body = "{\"index\":{\"_index\":\"i\",\"_id\":\"1\"}}\n{}\n";
        let unreadable = [(header::TYPE, UNREADABLE), (header::STATUS, "0"), (header::REASON, "no header [x]")];
        let letter = Letter::of(record(7, Some(body), &unreadable));
        assert_eq!((&letter.content, letter.status), (&Content::Record, None));
        assert!(letter.hopeless().unwrap().contains("no header [x]"));
        assert_eq!(Letter::of(record(7, Some(body), &[])).content, Content::Record, "a stranger's");
        assert_eq!(Letter::of(record(7, Some(&body.repeat(2)), &REFUSED)).content, Content::Record);
        assert_eq!(Letter::of(record(7, None, &REFUSED)).content, Content::Record);
    }

    #[test]
    fn one_without_a_type_is_ours_by_its_other_headers() {
        let line = "{\"delete\":{\"_index\":\"i\",\"_id\":\"1\",\"version\":9,\"version_type\":\"external\"}}\n";
        let letter = Letter::of(record(7, Some(line), &[(header::STATUS, "413"), (header::TYPE, "")]));
        assert_eq!(letter.document().unwrap().record_key(), "i/1");
        assert!(letter.hopeless().is_none());
        let stranger = Letter::of(record(7, Some(line), &[]));
        assert!(stranger.hopeless().unwrap().contains("no consumer of ours"));
    }

    #[test]
    fn one_that_was_too_large_is_named_by_the_key_of_its_record() {
        let headers: Vec<_> = REFUSED.into_iter().chain([(header::REFERENCE, "true")]).collect();
        let letter = Letter::of(record(7, None, &headers));
        assert!(matches!(letter.content, Content::Elsewhere(Some(_))), "{letter:?}");
        assert_eq!(letter.document().unwrap().record_key(), "flights/of-the-record");
    }
}
