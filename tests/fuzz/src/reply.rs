//! What is cut out of replies: what is left stood there before.

use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use understudy_gateway::{
    reply::{AskedSource, ReplyShape, UpdateReplies, without_positions},
    route::Query,
};

use crate::{input::Input, unambiguous::unambiguous};

/// The first line is a query, the rest a reply.
///
/// # Panics
/// When something does not hold that must.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let query = String::from_utf8_lossy(input.line()).into_owned();
    let body = Bytes::copy_from_slice(input.rest());
    let said = unambiguous(&body);
    positions(&body, said.as_ref());
    let Ok(mut query) = Query::parse(&query) else { return };
    let Ok(Some(asked)) = AskedSource::take(&mut query).map(|asked| asked.map(std::sync::Arc::new)) else {
        shaped(query, UpdateReplies::None, &body, said.as_ref());
        return;
    };
    shaped(query.clone(), UpdateReplies::One(asked.clone()), &body, said.as_ref());
    shaped(query, UpdateReplies::Bulk(vec![Some(asked.clone()), None, Some(asked)]), &body, said.as_ref());
}

fn shaped(mut query: Query, updates: UpdateReplies, body: &Bytes, said: Option<&Value>) {
    let Ok(mut shape) = ReplyShape::take(&mut query) else { return };
    for taken in ["filter_path", "pretty", "human", "format"] {
        assert_eq!(query.get(taken), None, "the primary is asked for the whole reply");
    }
    shape.updates = updates;
    let left = shape.apply(body);
    if serde_json::from_slice::<&RawValue>(body).is_err() {
        assert_eq!(left, body, "what is no JSON stays");
        return;
    }
    assert!(serde_json::from_slice::<&RawValue>(&left).is_ok(), "JSON stays JSON");
    if shape.is_plain() {
        assert_eq!(left, body);
    }
    // Numbers that no f64 holds, and nesting that serde_json refuses, are compared by nobody.
    let (Some(said), Ok(left)) = (said, serde_json::from_slice::<Value>(&left)) else { return };
    assert!(is_part(&left, said), "{left} is no part of {said}");
}

/// Whether everything of `part` stands in `whole`, in its place.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        // Nothing is left of what was asked for.
        (Value::Object(part), _) if part.is_empty() => true,
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|other| is_part(value, other)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            let mut whole = whole.iter();
            part.iter().all(|value| whole.any(|other| is_part(value, other)))
        }
        (part, whole) => part == whole,
    }
}

/// What a standby answers names no position of its own, and says everything else.
fn positions(body: &Bytes, said: Option<&Value>) {
    let left = without_positions(body);
    let Some(Value::Object(_)) = said else { return };
    let left: Value = serde_json::from_slice(&left.expect("an object is read")).expect("JSON stays JSON");
    let mut wanted = said.cloned().unwrap_or_default();
    let strip = |value: &mut Value| {
        if let Value::Object(fields) = value {
            fields.retain(|name, _| name != "_seq_no" && name != "_primary_term");
        }
    };
    strip(&mut wanted);
    if let Some(Value::Array(docs)) = wanted.get_mut("docs") {
        docs.iter_mut().for_each(strip);
    }
    assert_eq!(left, wanted);
}
