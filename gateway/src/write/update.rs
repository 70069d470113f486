//! Planning updates: partial documents, upserts, scripts.
//!
//! What an update leaves cannot be known from its request. So the primary is asked for the whole document (`_source=true` in
//! the query), which is replicated; what the client asked for instead is kept for its reply. Where a `_source` of the client's
//! would come before the query's, its value is replaced by `true`, and every other byte stays.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use hyper::Method;
use serde_json::value::RawValue;
use understudy_common::{
    bulk::{Action, Operation},
    cluster::path_part,
    document::DocumentKey,
    planted::{Bug, planted},
};

use super::plan::{AnswerShape, Limits, PlannedItem, PlannedWrite, SHARED_PARAMETERS};
use crate::{
    refusal::Refusal,
    reply::{AskedSource, ReplyShape, UpdateReplies, scan::Scanner},
    route::{DocumentRoute, Query},
};

/// What replaces a `_source` of the client's.
pub(super) const WHOLE: Bytes = Bytes::from_static(b"true");

/// Plans `POST /{index}/_update/{id}`. Of the query and the body the body's `_source` counts.
///
/// # Errors
/// When it cannot be replicated.
pub(super) fn plan(
    route: &DocumentRoute,
    mut query: Query,
    body: &Bytes,
    mut reply: ReplyShape,
    limits: Limits,
) -> Result<PlannedWrite, Refusal> {
    let default = AskedSource::take(&mut query)?;
    let mut allowed = SHARED_PARAMETERS.to_vec();
    allowed.extend(["if_seq_no", "if_primary_term", "retry_on_conflict", "require_alias", "doc_as_upsert", "lang"]);
    // These the primary refuses, in its own words.
    allowed.extend(["version", "version_type"]);
    query.only(&allowed)?;
    let Some(id) = route.id.as_deref() else {
        return Err(Refusal::malformed("an id is required to update"));
    };
    let routing = query.get("routing").filter(|routing| !routing.is_empty()).map(Into::into);
    let item = PlannedItem {
        key: DocumentKey { index: route.index.as_str().into(), id: id.into(), routing },
        action: Action::Update,
        source: planted_part(Some(body)),
        client_version: None,
        pipeline: false,
        line: None,
    };
    item.check_size(limits)?;
    let (asked, body) = match told(body)? {
        Some((asked, place)) => (Some(asked), vec![body.slice(..place.start), WHOLE, body.slice(place.end..)]),
        None => (default, vec![body.clone()]),
    };
    reply.updates = UpdateReplies::One(Arc::new(asked.unwrap_or(AskedSource::Nothing)));
    query.put("_source", "true");
    Ok(PlannedWrite {
        method: Method::POST,
        path: format!("/{}/_update/{}{}", path_part(&route.index), path_part(id), query.encode()),
        body: body.into_iter().filter(|piece| !piece.is_empty()).collect(),
        items: vec![item],
        shape: AnswerShape::Document,
        reply,
    })
}

/// What an update of a bulk asks for, and where in the bulk's body that stands. Of its action line, the query (`default`) and
/// its own body the first that says something counts.
///
/// # Errors
/// When it is not understood.
pub(super) fn of_bulk(
    operation: &Operation,
    body: &Bytes,
    default: Option<&Arc<AskedSource>>,
) -> Result<(Arc<AskedSource>, Vec<Range<usize>>), Refusal> {
    let mut places = Vec::new();
    let mut asked = default.cloned();
    if let Some(json) = &operation.fields.asked_source {
        if json.starts_with('[') {
            return Err(Refusal::malformed(
                "a list of patterns for [_source] must stand in the update, not in its action line",
            ));
        }
        asked = Some(Arc::new(AskedSource::read(json)?));
        let line = &body[operation.span.start..operation.source_start];
        let place = line_field(line, "_source").ok_or_else(|| Refusal::malformed("[_source] is not understood"))?;
        places.push(shift(place, operation.span.start));
    }
    let source = operation.source.as_deref().unwrap_or_default();
    if let Some((in_body, place)) = told(source)? {
        asked = asked.or_else(|| Some(Arc::new(in_body)));
        places.push(shift(place, operation.source_start));
    }
    Ok((asked.unwrap_or_else(|| Arc::new(AskedSource::Nothing)), places))
}

/// Nothing; or the partial document of an update, for a test that plants [`Bug::UpdateFromRequest`].
pub(super) fn planted_part(body: Option<&[u8]>) -> Option<Bytes> {
    #[derive(serde::Deserialize)]
    struct Partial<'a> {
        #[serde(borrow)]
        doc: &'a RawValue,
    }
    let partial: Partial<'_> = serde_json::from_slice(body.filter(|_| planted(Bug::UpdateFromRequest))?).ok()?;
    Some(Bytes::copy_from_slice(partial.doc.get().as_bytes()))
}

fn shift(range: Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

/// Where the value of a field stands in an action line.
pub(super) fn line_field(line: &[u8], wanted: &str) -> Option<Range<usize>> {
    let mut scanner = Scanner::new(line);
    scanner.enter(b'{')?;
    scanner.next_name()?;
    scanner.enter(b'{')?;
    field(&mut scanner, wanted)
}

fn field(scanner: &mut Scanner<'_>, wanted: &str) -> Option<Range<usize>> {
    let mut found = None;
    while let Some(name) = scanner.next_name() {
        let value = scanner.value();
        if scanner.is_name(&name, wanted) {
            found = Some(value);
        }
    }
    found
}

/// What the body of an update says of its reply, and where.
///
/// Elasticsearch also takes what is no JSON (comments, something behind the last brace, UTF-16). Where such a body might have a
/// `_source`, the primary might answer a part of the document, which must not be taken for the whole: it is refused.
fn told(body: &[u8]) -> Result<Option<(AskedSource, Range<usize>)>, Refusal> {
    let may_tell = memchr::memchr2(b'\\', 0, body).is_some() || memchr::memmem::find(body, b"_source").is_some();
    if !may_tell {
        return Ok(None);
    }
    serde_json::from_slice::<&RawValue>(body)
        .map_err(|error| Refusal::malformed(format!("the update is no valid JSON: {error}")))?;
    let mut scanner = Scanner::new(body);
    if scanner.enter(b'{').is_none() {
        return Ok(None);
    }
    let Some(place) = field(&mut scanner, "_source") else { return Ok(None) };
    let json = std::str::from_utf8(&body[place.clone()]).unwrap_or_default();
    // These the primary refuses, in its own words.
    if json == "null" || json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Ok(None);
    }
    Ok(Some((AskedSource::read(json)?, place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::DocumentOperation;

    fn plan_text(query: &str, body: &str) -> Result<PlannedWrite, Refusal> {
        let route = DocumentRoute { index: "i".into(), id: Some("a/b".into()), operation: DocumentOperation::Update };
        let mut query = Query::parse(query)?;
        let reply = ReplyShape::take(&mut query)?;
        plan(&route, query, &Bytes::copy_from_slice(body.as_bytes()), reply, Limits { record_bytes: 10_000 })
    }

    fn sent(plan: &PlannedWrite) -> String {
        String::from_utf8(plan.body.concat()).unwrap()
    }

    fn asked(plan: &PlannedWrite) -> &AskedSource {
        let UpdateReplies::One(asked) = &plan.reply.updates else { panic!("{:?}", plan.reply) };
        asked
    }

    #[test]
    fn the_whole_document_is_asked_for_and_the_clients_bytes_are_kept() {
        let part = AskedSource::read("\"a\"").unwrap();
        for (query, body, wanted, reply) in [
            ("", "{\"doc\": {\"a\":1.10}}\n", "{\"doc\": {\"a\":1.10}}\n", AskedSource::Nothing),
            ("_source=a", "{\"doc\":{}}", "{\"doc\":{}}", part.clone()),
            ("_source", "{\"_source\" : \"a\" ,\"doc\":{}}", "{\"_source\" : true ,\"doc\":{}}", part.clone()),
            ("_source=b", " {\"doc\":{},\"\\u005fsource\":[\"a\"]}", " {\"doc\":{},\"\\u005fsource\":true}", part),
            ("", "{\"doc\":{\"_source\":\"a\"}}", "{\"doc\":{\"_source\":\"a\"}}", AskedSource::Nothing),
            // What the primary refuses, or takes without harm.
            ("", "", "", AskedSource::Nothing),
            ("", "{\"doc\":{} /* c */} x", "{\"doc\":{} /* c */} x", AskedSource::Nothing),
            ("", "{\"_source\":null}", "{\"_source\":null}", AskedSource::Nothing),
            ("", "[\"_source\"]", "[\"_source\"]", AskedSource::Nothing),
        ] {
            let plan = plan_text(query, body).unwrap();
            assert_eq!(sent(&plan), wanted);
            assert_eq!(asked(&plan), &reply, "{query} {body}");
            assert_eq!(plan.path, "/i/_update/a%2Fb?%5Fsource=true");
            assert!(plan.items[0].source.is_none() && plan.items[0].action == Action::Update);
        }
        let plan = plan_text("routing=r&retry_on_conflict=3&if_seq_no=1&if_primary_term=1", "{}").unwrap();
        assert_eq!(plan.items[0].key.routing.as_deref(), Some("r"));
        assert!(plan.path.contains("retry%5Fon%5Fconflict=3"), "{}", plan.path);
    }

    #[test]
    fn what_might_hide_a_source_is_refused() {
        for (query, body, status) in [
            ("", "{\"doc\":{},\"_source\":\"a\" /* c */}", 400),
            ("", "{\"doc\":{}}{\"_source\":\"a\"}", 400),
            ("", "{\"doc\":{},\"x\\u\":1}", 400),
            ("", "{\0\"\0d\0o\0c\0\"\0", 400),
            ("", "{\"_source\":{\"x\":1}}", 400),
            ("pipeline=p", "{\"doc\":{}}", 501),
            ("format=yaml", "{\"doc\":{}}", 406),
        ] {
            assert_eq!(plan_text(query, body).unwrap_err().status.as_u16(), status, "{query} {body}");
        }
    }
}
