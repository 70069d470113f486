//! `_bulk`: what is read, planned and sent is one and the same.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use understudy_common::bulk::{self, Action, Operation};
use understudy_gateway::{
    document_id::IdGenerator,
    route::{Query, check_index_name},
    write::{
        bulk::plan,
        plan::{Limits, PlannedWrite},
    },
};

static IDS: LazyLock<IdGenerator> = LazyLock::new(IdGenerator::new);
const LIMITS: Limits = Limits { record_bytes: 1 << 20 };

/// The first line is a query, when it begins with `?`; the rest a body.
///
/// # Panics
/// When something does not hold that must.
pub fn check(data: &[u8]) {
    let (query, body) = match data.strip_prefix(b"?") {
        Some(rest) => {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            (String::from_utf8_lossy(&rest[..end]).into_owned(), rest.get(end + 1..).unwrap_or_default())
        }
        None => (String::new(), data),
    };
    let body = Bytes::copy_from_slice(body);
    let parsed = bulk::parse(&body);
    if let Ok(operations) = &parsed {
        assert!(!operations.is_empty());
        read(&body, operations);
    }
    let Ok(query) = Query::parse(&query) else { return };
    let planned = plan(Some("i"), query, &body, &IDS, LIMITS, |_| Ok(()));
    if let Ok(plan) = planned {
        let operations = parsed.expect("what cannot be read is never planned");
        sent(&operations, &plan);
    }
}

/// Operations are stretches of the body, in order, and nothing but blank lines stands between them.
fn read(body: &Bytes, operations: &[Operation]) {
    let mut end = 0;
    let mut line = 0;
    for operation in operations {
        assert!(body[end..operation.span.start].trim_ascii().is_empty(), "something was passed over");
        assert!(operation.line > line, "lines are counted upwards");
        assert!(operation.span.start < operation.source_start && operation.source_start <= operation.span.end);
        assert_eq!(operation.action == Action::Delete, operation.source.is_none());
        let source = &body[operation.source_start..operation.span.end];
        if let Some(found) = &operation.source {
            assert!(source.starts_with(found) && source[found.len()..].iter().all(|byte| b"\r\n".contains(byte)));
            assert!(!found.contains(&b'\n'), "a source is one line");
        }
        // Elasticsearch finds the same action there.
        let action = str::from_utf8(&body[operation.span.start..operation.source_start]).expect("a text");
        (end, line) = (operation.span.end, operation.line);
        // Numbers that no f64 holds are passed over unread.
        let Ok(action) = serde_json::from_str::<Value>(action) else { continue };
        let fields = &action[operation.action.name()];
        assert!(fields.is_object(), "{action}");
        let text = |name: &str| match &fields[name] {
            Value::String(text) => Some(text.clone()),
            _ => None,
        };
        for (name, found) in
            [("_index", &operation.fields.index), ("_id", &operation.fields.id), ("routing", &operation.fields.routing)]
        {
            if let Some(text) = text(name) {
                assert_eq!(found.as_ref(), Some(&text), "{name} of {action}");
            }
        }
    }
    assert!(body[end..].trim_ascii().is_empty(), "something is left over");
}

/// What goes to the primary does what was planned, and what was asked for.
fn sent(asked: &[Operation], plan: &PlannedWrite) {
    let body = Bytes::from(plan.body.concat());
    let sent = bulk::parse(&body).expect("what is sent can be read");
    assert_eq!((sent.len(), plan.items.len()), (asked.len(), asked.len()));
    for ((asked, sent), item) in asked.iter().zip(&sent).zip(&plan.items) {
        assert_eq!((asked.action, item.action), (sent.action, sent.action));
        assert_eq!(sent.fields.id.as_deref(), Some(&*item.key.id), "the id that is sent is the one that is known");
        assert!(asked.fields.id.is_none() || asked.fields.id == sent.fields.id);
        assert_eq!((&asked.fields.index, &asked.fields.routing), (&sent.fields.index, &sent.fields.routing));
        assert_eq!(asked.fields.index.as_deref().unwrap_or("i"), &*item.key.index);
        assert!(check_index_name(&item.key.index).is_ok(), "one index");
        assert!(!item.key.id.is_empty() && item.key.routing.as_deref() != Some(""));
        if item.action == Action::Update {
            asked_for_all(sent, plan);
        } else {
            assert_eq!(asked.source, sent.source, "a document's bytes stay");
            assert_eq!(item.source, sent.source, "the log gets what the primary gets");
        }
    }
}

/// An update answers the whole document.
fn asked_for_all(sent: &Operation, plan: &PlannedWrite) {
    assert!(plan.path.contains("%5Fsource=true"), "{}", plan.path);
    assert!(sent.fields.asked_source.as_deref().is_none_or(|asked| asked == "true"), "{:?}", sent.fields);
    let source = sent.source.as_deref().unwrap_or_default();
    if serde_json::from_slice::<&RawValue>(source).is_err() {
        // The primary says what is wrong with it; whatever it makes of it, it names no part of the document.
        assert!(!source.contains(&b'\\') && !source.windows(7).any(|name| name == b"_source"), "{sent:?}");
        return;
    }
    // Numbers that no f64 holds are the primary's matter.
    let Ok(source) = serde_json::from_slice::<Value>(source) else { return };
    // A number and null the primary refuses, in its own words.
    let harmless = |asked: &Value| *asked == Value::Bool(true) || asked.is_number() || asked.is_null();
    assert!(source.get("_source").is_none_or(harmless), "{source}");
}
