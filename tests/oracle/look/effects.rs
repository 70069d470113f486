//! Records of the target's topic, read by code of its own: a value is a `_bulk` body, everything else stands in headers.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, ensure};
use serde::Deserialize;
use understudy_tests::Record;

use crate::seen::Published;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    packed: Option<u64>,
    #[serde(default)]
    observed: bool,
    #[serde(default)]
    reference: bool,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    routing: Option<String>,
    version: u64,
}

/// The effects, and what cannot be read as such.
pub fn of(records: &[Record], ticket_lifetime: Duration) -> (Vec<Published>, Vec<String>) {
    let (mut effects, mut unreadable) = (Vec::new(), Vec::new());
    for record in records {
        match read(record, ticket_lifetime) {
            Ok(read) => effects.extend(read),
            Err(error) => {
                let (partition, offset) = (record.partition, record.offset);
                unreadable.push(format!("partition {partition}, offset {offset}: {error:#}: {}", record.text()));
            }
        }
    }
    (effects, unreadable)
}

/// The one effect of a dead letter, which is as its record was, without the others.
pub fn of_letter(record: &Record) -> Option<Published> {
    // Lines are numbered as they were in the whole record.
    let mut record = record.clone();
    record.headers.remove("understudy-lines");
    let mut effects = read(&record, Duration::MAX).ok()?;
    effects.pop().filter(|_| effects.is_empty())
}

fn read(record: &Record, ticket_lifetime: Duration) -> anyhow::Result<Vec<Published>> {
    let header = |name: &str| record.headers.get(name).with_context(|| format!("no header {name}"));
    ensure!(header("understudy-kind")? == "effects", "it is no record of effects");
    let ticket: i64 = header("understudy-ticket")?.parse()?;
    let lines: BTreeMap<usize, Line> = match record.headers.get("understudy-lines") {
        Some(lines) => serde_json::from_str(lines).context("understudy-lines")?,
        None => BTreeMap::new(),
    };
    let text = record.text();
    let mut rest = text.split('\n').filter(|line| !line.is_empty());
    let mut effects = Vec::new();
    while let Some(action) = rest.next() {
        let actions: BTreeMap<String, Fields> = serde_json::from_str(action).with_context(|| action.to_owned())?;
        let (action, fields) = actions.into_iter().next().context("an action without a name")?;
        let source = if action == "delete" { None } else { Some(rest.next().context("an action without source")?) };
        let line = lines.get(&effects.len());
        effects.push(Published {
            partition: record.partition,
            offset: record.offset,
            appended: record.timestamp,
            ticket,
            request: header("understudy-request")?.clone(),
            gateway: header("understudy-gateway")?.clone(),
            index: fields.index,
            id: fields.id,
            routing: fields.routing,
            packed: line.and_then(|line| line.packed).unwrap_or(fields.version),
            version: fields.version,
            observed: line.is_some_and(|line| line.observed),
            reference: line.is_some_and(|line| line.reference),
            source: source.map(str::to_owned),
            void: record.timestamp - ticket >= i64::try_from(ticket_lifetime.as_millis()).unwrap_or(i64::MAX),
        });
    }
    Ok(effects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_bulk_body_with_headers() {
        let version = (1_u64 << 53) + (2 << 40) + 7;
        let value = format!(
            "{{\"index\":{{\"_index\":\"i\",\"_id\":\"a\",\"version\":9}}}}\n{{\"w\":\"1\"}}\n\
             {{\"delete\":{{\"_index\":\"i\",\"_id\":\"b\",\"routing\":\"r\",\"version\":{version}}}}}\n"
        );
        let lines = format!("{{\"0\":{{\"packed\":{version},\"observed\":true}}}}");
        let headers = [
            ("understudy-kind", "effects"),
            ("understudy-ticket", "1000"),
            ("understudy-request", "q"),
            ("understudy-gateway", "g"),
            ("understudy-lines", &lines),
        ];
        let mut record = Record {
            partition: 0,
            offset: 4,
            timestamp: 12_999,
            key: None,
            value: Some(value.into()),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let lifetime = Duration::from_secs(12);
        let effects = read(&record, lifetime).unwrap();
        assert_eq!((effects[0].version, effects[0].place(), effects[0].observed), (9, (1, 2, 7), true));
        assert_eq!((effects[1].source.as_ref(), effects[1].place()), (None, (1, 2, 7)));
        assert!(!effects[0].void);
        record.timestamp += 1;
        assert!(read(&record, lifetime).unwrap()[1].void);
        record.headers.clear();
        assert_eq!(of(&[record], lifetime).1.len(), 1);
    }
}
