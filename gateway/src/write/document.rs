//! Planning writes of one document: `_doc`, `_create`, `DELETE`; `_update` is planned in `update.rs`.

use bytes::Bytes;
use hyper::Method;
use serde::de::IgnoredAny;
use understudy_common::{bulk::Action, cluster::path_part, document::DocumentKey};

use super::{
    plan::{
        AnswerShape, Limits, PlannedItem, PlannedWrite, SHARED_PARAMETERS, VERSION_WITHOUT_ID, client_version, invalid,
    },
    update,
};
use crate::{
    document_id::IdGenerator,
    refusal::Refusal,
    reply::ReplyShape,
    route::{DocumentOperation, DocumentRoute, Query},
};

/// Plans a write of one document.
///
/// # Errors
/// When it cannot be replicated.
pub fn plan(
    route: &DocumentRoute,
    mut query: Query,
    body: &Bytes,
    ids: &IdGenerator,
    limits: Limits,
) -> Result<PlannedWrite, Refusal> {
    let reply = ReplyShape::take(&mut query)?;
    // In either case, as in Elasticsearch (`DocWriteRequest.OpType.fromString`).
    let op_type = query.take("op_type").map(|kind| kind.to_ascii_lowercase());
    let action = match (route.operation, op_type.as_deref()) {
        (DocumentOperation::Update, None) => return update::plan(route, query, body, reply, limits),
        (DocumentOperation::Delete, None) => Action::Delete,
        (DocumentOperation::Create, None | Some("create")) | (DocumentOperation::Index, Some("create")) => {
            Action::Create
        }
        (DocumentOperation::Index, None | Some("index")) => Action::Index,
        (_, Some(other)) => {
            return Err(Refusal::malformed(format!("opType must be 'create' or 'index', found: [{other}]")));
        }
    };
    let mut allowed = SHARED_PARAMETERS.to_vec();
    // `pipeline` and `require_alias` the primary refuses in a delete, in its own words.
    allowed.extend(["if_seq_no", "if_primary_term", "version", "version_type", "pipeline", "require_alias"]);
    query.only(&allowed)?;
    let client_version = client_version(action, query.get("version_type"), url_version(&query)?)?;
    if route.id.is_none() && (query.get("version").is_some() || query.get("version_type").is_some()) {
        return Err(invalid(VERSION_WITHOUT_ID));
    }
    if route.id.is_none() && query.get("if_seq_no").is_some() {
        return Err(Refusal::malformed("if_seq_no needs the _id of the document that is compared"));
    }
    let id = route.id.clone().unwrap_or_else(|| ids.next());
    let source = if action == Action::Delete { None } else { Some(one_line(body)?) };
    let routing = query.get("routing").filter(|routing| !routing.is_empty()).map(Into::into);
    let item = PlannedItem {
        key: DocumentKey { index: route.index.as_str().into(), id: id.as_str().into(), routing },
        action,
        source,
        client_version,
        pipeline: action != Action::Delete && query.get("pipeline").is_some_and(|name| name != "_none"),
        line: None,
    };
    item.check_size(limits)?;
    let endpoint = if action == Action::Create { "_create" } else { "_doc" };
    Ok(PlannedWrite {
        method: if action == Action::Delete { Method::DELETE } else { Method::PUT },
        path: format!("/{}/{endpoint}/{}{}", path_part(&route.index), path_part(&id), query.encode()),
        body: if action == Action::Delete { Vec::new() } else { vec![body.clone()] },
        items: vec![item],
        shape: AnswerShape::Document,
        reply,
    })
}

/// The version of a query, where it is the client's own. Elasticsearch reads more as a number than this (other scripts'
/// digits), so that what is not understood must not pass.
fn url_version(query: &Query) -> Result<Option<u64>, Refusal> {
    let Some(text) = query.get("version").filter(|_| query.get("version_type").is_some_and(|kind| kind != "internal"))
    else {
        return Ok(None);
    };
    let version = text.parse().ok().filter(|version| i64::try_from(*version).is_ok());
    version.map(Some).ok_or_else(|| {
        Refusal::malformed(format!("Failed to parse long parameter [version] with value [{text}]: 0 … 2^63-1"))
    })
}

/// The source as a record holds it: on one line, otherwise byte for byte.
///
/// A line break within JSON can only stand between tokens, where a space means the same. But Elasticsearch also accepts
/// what is no JSON (comments that end with their line): such a source is refused, because it could not be recorded.
fn one_line(body: &Bytes) -> Result<Bytes, Refusal> {
    let trimmed = body.trim_ascii();
    if trimmed.is_empty() {
        return Err(Refusal::unparsed("request body is required"));
    }
    let source = body.slice_ref(trimmed);
    // UTF-16, which Elasticsearch takes as well, has zero bytes.
    if memchr::memchr3(b'\n', b'\r', 0, &source).is_none() {
        return Ok(source);
    }
    serde_json::from_slice::<IgnoredAny>(&source)
        .map_err(|error| Refusal::malformed(format!("the document is no valid JSON: {error}")))?;
    let line: Vec<u8> = source.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
    Ok(Bytes::from(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_text(
        operation: DocumentOperation,
        id: Option<&str>,
        query: &str,
        body: &str,
    ) -> Result<PlannedWrite, Refusal> {
        let route = DocumentRoute { index: "i".into(), id: id.map(str::to_owned), operation };
        let body = Bytes::copy_from_slice(body.as_bytes());
        plan(&route, Query::parse(query)?, &body, &IdGenerator::new(), Limits { record_bytes: 10_000 })
    }

    #[test]
    fn the_primary_gets_the_clients_bytes_and_the_log_one_line() {
        let plan = plan_text(DocumentOperation::Index, Some("a/b"), "routing=r&pretty", "{\n  \"a\": \"x\\ny\"\r\n}\n")
            .unwrap();
        assert_eq!(plan.body.concat(), b"{\n  \"a\": \"x\\ny\"\r\n}\n");
        assert_eq!(plan.items[0].source.as_deref(), Some(&b"{   \"a\": \"x\\ny\"  }"[..]));
        assert_eq!((plan.method.as_str(), plan.path.as_str()), ("PUT", "/i/_doc/a%2Fb?routing=r"));
        assert_eq!(plan.items[0].key.routing.as_deref(), Some("r"));
    }

    #[test]
    fn creates_and_deletes() {
        let create = plan_text(DocumentOperation::Index, None, "op_type=create", "{}").unwrap();
        assert_eq!(create.items[0].action, Action::Create);
        assert_eq!(create.path, format!("/i/_create/{}", path_part(&create.items[0].key.id)));
        let shouted = plan_text(DocumentOperation::Index, Some("1"), "op_type=CREATE", "{}").unwrap();
        assert_eq!((shouted.items[0].action, shouted.path.as_str()), (Action::Create, "/i/_create/1"));
        let delete = plan_text(DocumentOperation::Delete, Some("1"), "if_seq_no=3&if_primary_term=1", "").unwrap();
        assert_eq!(
            (delete.method.as_str(), delete.path.as_str()),
            ("DELETE", "/i/_doc/1?if%5Fprimary%5Fterm=1&if%5Fseq%5Fno=3")
        );
        assert!(delete.body.is_empty() && delete.items[0].source.is_none());
    }

    #[test]
    fn versions_and_pipelines_of_the_client_are_known_and_sent() {
        let (index, delete) = (DocumentOperation::Index, DocumentOperation::Delete);
        for (operation, query, version, pipeline) in [
            (index, "version=3&version_type=external", Some(3), false),
            (delete, "version=0&version_type=external_gte", Some(0), false),
            (index, "version=9223372036854775807&version_type=external_gt", Some(i64::MAX as u64), false),
            // These the primary refuses.
            (index, "version=3", None, false),
            (index, "version=3&version_type=internal", None, false),
            (index, "version_type=external", None, false),
            (index, "op_type=create&version=3&version_type=external", None, false),
            (DocumentOperation::Create, "version=3&version_type=external", None, false),
            (delete, "pipeline=p", None, false),
            (index, "error_trace=true", None, false),
            (index, "pipeline=p&require_alias=true", None, true),
            (index, "pipeline=_none", None, false),
        ] {
            let plan = plan_text(operation, Some("1"), query, "{}").unwrap();
            assert_eq!((plan.items[0].client_version, plan.items[0].pipeline), (version, pipeline), "{query}");
            for (name, value) in
                query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(n, _)| *n != "op_type")
            {
                let sent = format!("{}={}", path_part(name), path_part(value));
                assert!(plan.path.contains(&sent), "{sent} {}", plan.path);
            }
        }
    }

    #[test]
    fn what_cannot_be_recorded_is_refused() {
        for (id, query, body, status) in [
            (Some("1"), "version=3&version_type=force", "{}", 400),
            (Some("1"), "version=x&version_type=external", "{}", 400),
            (Some("1"), "version=-1&version_type=external", "{}", 400),
            (Some("1"), "version=9223372036854775808&version_type=external", "{}", 400),
            (None, "version=3&version_type=external", "{}", 400),
            (None, "version=3", "{}", 400),
            (Some("1"), "fields=a", "{}", 501),
            (Some("1"), "", "{\0\"\0a\0", 400),
            (Some("1"), "op_type=update", "{}", 400),
            (None, "if_seq_no=1&if_primary_term=1", "{}", 400),
            (Some("1"), "", "", 400),
            (Some("1"), "", "{ // a comment\n\"a\":1}", 400),
            (Some("1"), "format=cbor", "{}", 406),
            (Some("1"), "human=maybe", "{}", 400),
            (Some("1"), "error_trace=maybe", "{}", 400),
        ] {
            let refusal = plan_text(DocumentOperation::Index, id, query, body).unwrap_err();
            assert_eq!(refusal.status.as_u16(), status, "{query} {body}: {refusal:?}");
        }
    }
}
