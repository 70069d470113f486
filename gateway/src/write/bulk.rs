//! Planning `_bulk`.

use std::{collections::HashMap, ops::Range, sync::Arc};

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;
use understudy_common::{
    bulk::{self, Action, ActionFields, Operation},
    document::DocumentKey,
};

use super::{
    plan::{
        AnswerShape, Limits, PlannedItem, PlannedWrite, SHARED_PARAMETERS, VERSION_WITHOUT_ID, client_version, invalid,
        too_long_a_list,
    },
    update,
};
use crate::{
    document_id::IdGenerator,
    refusal::Refusal,
    reply::{AskedSource, ReplyShape, UpdateReplies, scan::Scanner},
    route::{Query, check_index_name},
};

/// Plans a bulk; `index` is that of the URL. `take` is asked for the memory that the plan takes beside the body.
///
/// # Errors
/// When the body is malformed, or one of its operations cannot be replicated: then none of it is executed.
pub fn plan(
    index: Option<&str>,
    mut query: Query,
    body: &Bytes,
    ids: &IdGenerator,
    limits: Limits,
    mut take: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<PlannedWrite, Refusal> {
    let mut reply = ReplyShape::take(&mut query)?;
    let asked_by_all = AskedSource::take(&mut query)?.map(Arc::new);
    let mut allowed = SHARED_PARAMETERS.to_vec();
    allowed.extend(["pipeline", "require_alias"]);
    query.only(&allowed)?;
    let defaults = Defaults { index, routing: query.get("routing"), pipeline: query.get("pipeline") };
    let mut indices: HashMap<String, Arc<str>> = HashMap::new();
    let mut pieces = Pieces { body, pieces: Vec::new(), run: 0..0 };
    let (mut items, mut asked) = (Vec::new(), Vec::new());
    let mut listed = 0;
    for operation in bulk::operations(body) {
        let operation = operation.map_err(|error| Refusal::malformed(error.to_string()))?;
        let item = plan_item(&operation, &defaults, &mut indices, ids).map_err(|refusal| at(&operation, refusal))?;
        item.check_size(limits)?;
        take(size_of::<PlannedItem>() + item.key.id.len())?;
        // An intent lists at least this of each document; the plan must not grow when it would not fit in the end.
        listed += item.key.index.len() + item.key.id.len();
        if listed > limits.record_bytes {
            return Err(too_long_a_list(listed, limits));
        }
        if operation.action == Action::Update {
            let (of_it, places) =
                update::of_bulk(&operation, body, asked_by_all.as_ref()).map_err(|refusal| at(&operation, refusal))?;
            asked.resize(items.len(), None);
            asked.push(Some(of_it));
            pieces.keep_but(operation.span, places.into_iter().map(|place| (place, update::WHOLE)));
        } else if operation.fields.id.is_some() {
            pieces.keep(operation.span);
        } else {
            let id = with_id(&operation, body, &item.key.id)
                .ok_or_else(|| at(&operation, Refusal::malformed("the action line cannot be given an _id")))?;
            pieces.keep_but(operation.span, [id]);
        }
        items.push(item);
    }
    if !asked.is_empty() {
        reply.updates = UpdateReplies::Bulk(asked);
        query.put("_source", "true");
    }
    let prefix = index.map(|index| format!("/{}", understudy_common::cluster::path_part(index))).unwrap_or_default();
    Ok(PlannedWrite {
        method: Method::POST,
        path: format!("{prefix}/_bulk{}", query.encode()),
        body: pieces.finish(),
        items,
        shape: AnswerShape::Bulk,
        reply,
    })
}

/// What the query and the path say for all operations.
struct Defaults<'a> {
    index: Option<&'a str>,
    routing: Option<&'a str>,
    pipeline: Option<&'a str>,
}

fn at(operation: &Operation, refusal: Refusal) -> Refusal {
    Refusal { reason: format!("line {}: {}", operation.line, refusal.reason), ..refusal }
}

fn plan_item(
    operation: &Operation,
    defaults: &Defaults<'_>,
    indices: &mut HashMap<String, Arc<str>>,
    ids: &IdGenerator,
) -> Result<PlannedItem, Refusal> {
    let (action, fields) = (operation.action, &operation.fields);
    check_fields(fields)?;
    let client_version = client_version(action, fields.version_type.as_deref(), fields.version)?;
    let index = fields.index.as_deref().or(defaults.index).ok_or_else(|| invalid("index is missing"))?;
    let index = match indices.get(index) {
        Some(known) => known.clone(),
        None => {
            check_index_name(index)?;
            let shared: Arc<str> = index.into();
            indices.insert(index.to_owned(), shared.clone());
            shared
        }
    };
    let id: Arc<str> = match fields.id.as_deref() {
        None | Some("") if action == Action::Update => return Err(invalid("id is missing")),
        None if action == Action::Delete => return Err(invalid("id is missing")),
        Some("") => return Err(Refusal::malformed("if _id is specified it must not be empty")),
        Some(id) => id.into(),
        None if fields.if_seq_no.is_some() => {
            return Err(Refusal::malformed("if_seq_no needs the _id of the document that is compared"));
        }
        None if fields.version.is_some() || fields.version_type.is_some() => return Err(invalid(VERSION_WITHOUT_ID)),
        None => ids.next().into(),
    };
    let routing = fields.routing.as_deref().or(defaults.routing).filter(|routing| !routing.is_empty()).map(Arc::from);
    Ok(PlannedItem {
        key: DocumentKey { index, id, routing },
        action,
        source: match action {
            Action::Update => update::planted_part(operation.source.as_deref()),
            _ => operation.source.clone(),
        },
        client_version,
        pipeline: runs_pipeline(action, fields.pipeline.as_deref(), defaults.pipeline),
        line: Some(operation.line),
    })
}

/// Whether the request names a pipeline for an operation. For updates Elasticsearch 7 goes by the query and later ones by the
/// action line first.
fn runs_pipeline(action: Action, own: Option<&str>, default: Option<&str>) -> bool {
    let is_one = |name: &str| name != "_none";
    match action {
        Action::Delete => false,
        Action::Index | Action::Create => own.or(default).is_some_and(is_one),
        Action::Update => own.is_some_and(is_one) || default.is_some_and(is_one),
    }
}

/// Fields that are passed on as they stand, beside those that say which document is meant.
const PASSED_ON: [&str; 4] = ["pipeline", "require_alias", "retry_on_conflict", "_source"];

fn check_fields(fields: &ActionFields) -> Result<(), Refusal> {
    let refuse = |what: String| Err(Refusal::not_replicated(format!("{what}, so nothing of this bulk was executed")));
    if let Some(kind) = fields.doc_type.as_deref().filter(|kind| *kind != "_doc") {
        return refuse(format!("the type [{kind}] is not replicated: only [_doc] is"));
    }
    match fields.others.iter().find(|name| !PASSED_ON.contains(&name.as_str())) {
        Some(field) => refuse(format!("the action field [{field}] is not replicated")),
        None => Ok(()),
    }
}

/// Where an action line gets its id, and what is put there.
fn with_id(operation: &Operation, body: &Bytes, id: &str) -> Option<(Range<usize>, Bytes)> {
    let start = operation.span.start;
    let mut scanner = Scanner::new(&body[start..operation.source_start]);
    scanner.enter(b'{')?;
    scanner.next_name()?;
    let first = start + scanner.enter(b'{')?;
    let id = Value::from(id).to_string();
    let mut comma = "";
    while let Some(name) = scanner.next_name() {
        let value = scanner.value();
        if scanner.is_name(&name, "_id") {
            // It is `null`, which is as good as none.
            return Some((start + value.start..start + value.end, id.into()));
        }
        comma = ",";
    }
    Some((first..first, format!("\"_id\":{id}{comma}").into()))
}

/// The body for the primary: runs of the client's bytes with new lines between them.
struct Pieces<'a> {
    body: &'a Bytes,
    pieces: Vec<Bytes>,
    run: Range<usize>,
}

impl Pieces<'_> {
    fn keep(&mut self, span: Range<usize>) {
        if self.run.end == span.start {
            self.run.end = span.end;
        } else {
            self.end_run();
            self.run = span;
        }
    }

    /// Keeps `span`, with other bytes in some places of it.
    fn keep_but(&mut self, span: Range<usize>, places: impl IntoIterator<Item = (Range<usize>, Bytes)>) {
        let mut kept = span.start;
        for (place, bytes) in places {
            self.keep(kept..place.start);
            self.add(bytes);
            kept = place.end;
        }
        self.keep(kept..span.end);
    }

    fn add(&mut self, piece: Bytes) {
        self.end_run();
        self.pieces.push(piece);
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if !run.is_empty() {
            self.pieces.push(self.body.slice(run));
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.end_run();
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { record_bytes: 10_000 };

    fn plan_text(index: Option<&str>, query: &str, body: &str) -> Result<PlannedWrite, Refusal> {
        plan(index, Query::parse(query)?, &Bytes::copy_from_slice(body.as_bytes()), &IdGenerator::new(), LIMITS, |_| {
            Ok(())
        })
    }

    fn sent(plan: &PlannedWrite) -> String {
        String::from_utf8(plan.body.concat()).unwrap()
    }

    #[test]
    fn bytes_pass_as_they_are_where_ids_are_given() {
        let body = "{\"index\":{\"_id\":\"1\"}}\r\n{\"n\": 1.10}\r\n\n{ \"delete\" : {\"_id\":2,\"_index\":\"b\",\"routing\":\"r\"}}\n";
        let plan = plan_text(Some("a"), "refresh=true&routing=q&pretty&filter_path=took", body).unwrap();
        // A blank line is no operation.
        assert_eq!(sent(&plan), body.replace("\r\n\n", "\r\n"));
        assert_eq!(plan.path, "/a/_bulk?refresh=true&routing=q");
        let keys: Vec<String> = plan.items.iter().map(|item| format!("{:?}", item.key)).collect();
        assert!(keys[0].contains("\"a\"") && keys[0].contains("Some(\"q\")"), "{keys:?}");
        assert!(keys[1].contains("\"b\"") && keys[1].contains("Some(\"r\")"), "{keys:?}");
        assert_eq!(plan.items[0].source.as_deref(), Some(&b"{\"n\": 1.10}"[..]));
        assert!(!plan.reply.is_plain());
    }

    #[test]
    fn ids_are_assigned_where_there_is_none() {
        let plan = plan_text(
            None,
            "",
            "{\"index\":{\"_index\":\"a\",\"routing\":\"r\"}}\n{\"x\":1}\n{ \"create\":{\"_id\" : null,\"_index\":\"a\"}}\r\n{}\n",
        )
        .unwrap();
        let (one, two) = (plan.items[0].key.id.to_string(), plan.items[1].key.id.to_string());
        assert_eq!(
            sent(&plan),
            format!(
                "{{\"index\":{{\"_id\":\"{one}\",\"_index\":\"a\",\"routing\":\"r\"}}}}\n{{\"x\":1}}\n{{ \"create\":{{\"_id\" : \"{two}\",\"_index\":\"a\"}}}}\r\n{{}}\n"
            )
        );
    }

    #[test]
    fn updates_are_asked_for_the_whole_document() {
        let body = concat!(
            "{\"index\":{\"_id\":\"1\"}}\n{\"_source\":\"a\"}\n",
            "{\"update\":{\"_id\":\"1\",\"retry_on_conflict\":3}}\r\n{\"doc\":{\"a\": 1.10}}\r\n",
            "{\"update\":{\"_source\" : {\"includes\":\"a\"},\"_id\":\"2\"}}\n{\"doc\":{},\"_source\":\"b\"}\n\n",
            "{\"delete\":{\"_id\":\"1\"}}\n",
            "{\"update\":{\"_id\":\"3\"}}\n{\"_source\":[\"b\"],\"doc\":{\"_source\":1}}\n",
        );
        let wanted = body
            .replace("{\"includes\":\"a\"}", "true")
            .replace("{},\"_source\":\"b\"}\n\n", "{},\"_source\":true}\n")
            .replace("[\"b\"]", "true");
        let (whole, part) = (AskedSource::Whole, |pattern: &str| AskedSource::read(&format!("{pattern:?}")).unwrap());
        for (query, asked) in [
            ("", [AskedSource::Nothing, part("a"), part("b")]),
            ("_source=true", [whole.clone(), part("a"), whole]),
            ("_source_includes=c", [part("c"), part("a"), part("c")]),
        ] {
            let plan = plan_text(Some("i"), query, body).unwrap();
            assert_eq!(sent(&plan), wanted);
            assert_eq!(plan.path, "/i/_bulk?%5Fsource=true");
            let UpdateReplies::Bulk(found) = &plan.reply.updates else { panic!("{:?}", plan.reply) };
            let found: Vec<Option<&AskedSource>> = found.iter().map(Option::as_deref).collect();
            assert_eq!(found, [None, Some(&asked[0]), Some(&asked[1]), None, Some(&asked[2])], "{query}");
            assert!(plan.items[1].source.is_none() && plan.items[1].action == Action::Update);
        }
        // Without updates nothing is asked for.
        assert_eq!(plan_text(Some("i"), "_source=true", "{\"delete\":{\"_id\":\"1\"}}\n").unwrap().path, "/i/_bulk");
    }

    #[test]
    fn versions_and_pipelines_of_the_client_are_known_and_sent() {
        let body = concat!(
            "{\"index\":{\"_id\":\"1\",\"version\":7,\"version_type\":\"external\",\"require_alias\":true}}\n{}\n",
            "{\"delete\":{\"_id\":\"1\",\"version\":\"8\",\"version_type\":\"external_gte\"}}\n",
            "{\"create\":{\"_id\":\"1\",\"version\":7,\"version_type\":\"external\",\"pipeline\":\"p\"}}\n{}\n",
            "{\"index\":{\"_id\":\"1\",\"version\":7,\"pipeline\":\"_none\"}}\n{}\n",
            "{\"update\":{\"_id\":\"1\",\"version\":7,\"pipeline\":\"_none\"}}\n{}\n",
        );
        let items = |query: &str| {
            let plan = plan_text(Some("i"), query, body).unwrap();
            assert_eq!(sent(&plan), body);
            plan.items.iter().map(|item| (item.client_version, item.pipeline)).collect::<Vec<_>>()
        };
        assert_eq!(items(""), [(Some(7), false), (Some(8), false), (None, true), (None, false), (None, false)]);
        assert_eq!(items("pipeline=q"), [(Some(7), true), (Some(8), false), (None, true), (None, false), (None, true)]);
    }

    #[test]
    fn one_operation_that_cannot_be_replicated_refuses_the_whole() {
        let good = "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n";
        for (action, status, word) in [
            ("{\"update\":{\"_index\":\"a\"}}\n{\"doc\":{}}", 400, "id is missing"),
            ("{\"update\":{\"_index\":\"a\",\"_id\":\"\"}}\n{\"doc\":{}}", 400, "id is missing"),
            ("{\"update\":{\"_index\":\"a\",\"_id\":\"1\",\"_source\":[\"a\"]}}\n{\"doc\":{}}", 400, "[_source]"),
            ("{\"update\":{\"_index\":\"a\",\"_id\":\"1\",\"_source\":3}}\n{\"doc\":{}}", 400, "[_source]"),
            ("{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"_source\":\"a\"} //", 400, "no valid JSON"),
            ("{\"index\":{\"_index\":\"a\",\"_type\":\"t\"}}\n{}", 501, "type [t]"),
            ("{\"index\":{\"_index\":\"a\",\"dynamic_templates\":{}}}\n{}", 501, "[dynamic_templates]"),
            ("{\"index\":{\"_index\":\"a\",\"op_type\":\"create\"}}\n{}", 501, "[op_type]"),
            ("{\"index\":{\"_index\":\"a\",\"version\":3,\"version_type\":\"external\"}}\n{}", 400, "an id must be"),
            ("{\"index\":{\"_index\":\"a\",\"version\":3}}\n{}", 400, "an id must be"),
            (
                "{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"version_type\":\"force\"}}\n{}",
                400,
                "No version type match",
            ),
            ("{\"index\":{\"_index\":\"a,b\"}}\n{}", 400, "not the name of one index"),
            ("{\"index\":{\"_index\":\"<a-{now}>\"}}\n{}", 501, "date math"),
            ("{\"index\":{}}\n{}", 400, "index is missing"),
            ("{\"delete\":{\"_index\":\"a\"}}", 400, "id is missing"),
            ("{\"index\":{\"_index\":\"a\",\"_id\":\"\"}}\n{}", 400, "must not be empty"),
            ("{\"index\":{\"_index\":\"a\",\"if_seq_no\":1,\"if_primary_term\":1}}\n{}", 400, "if_seq_no needs"),
        ] {
            let refusal = plan_text(None, "", &format!("{good}{action}\n")).unwrap_err();
            assert_eq!(refusal.status.as_u16(), status, "{action}: {refusal:?}");
            assert!(refusal.reason.starts_with("line 3: ") && refusal.reason.contains(word), "{refusal:?}");
        }
        assert_eq!(plan_text(None, "list_executed_pipelines=true", good).unwrap_err().status, 501);
        assert_eq!(plan_text(None, "format=yaml", good).unwrap_err().status, 406);
        let large = format!("{{\"index\":{{\"_index\":\"a\"}}}}\n{{\"x\":\"{}\"}}\n", "y".repeat(10_000));
        assert_eq!(plan_text(None, "", &large).unwrap_err().status, 413);
    }

    proptest! {
        /// Whatever is added: the bytes of sources and their order stay, and an id that was given stays.
        #[test]
        fn sources_and_their_order_are_kept(
            operations in prop::collection::vec((prop::option::of("[a-z]{1,3}"), any::<bool>(), "\\{[^\n\r\0\\\\]{0,20}\\}"), 1..20),
        ) {
            let body: String = operations.iter().map(|(id, update, source)| match id {
                Some(id) if *update => format!("{{\"update\":{{\"_source\":\"x*\",\"_id\":\"{id}\"}}}}\n{source}\n"),
                Some(id) => format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{source}\n"),
                None => format!("{{\"index\":{{}}}}\n{source}\n"),
            }).collect();
            let plan = plan_text(Some("i"), "", &body).unwrap();
            let sent = bulk::parse(&Bytes::from(plan.body.concat())).unwrap();
            prop_assert_eq!(sent.len(), operations.len());
            for ((sent, item), (id, update, source)) in sent.iter().zip(&plan.items).zip(&operations) {
                prop_assert_eq!(sent.fields.id.as_deref(), Some(&*item.key.id));
                if let Some(id) = id {
                    prop_assert_eq!(id.as_str(), &*item.key.id);
                    prop_assert_eq!(sent.fields.asked_source.as_deref(), update.then_some("true"));
                }
                prop_assert_eq!(sent.source.as_deref(), Some(source.as_bytes()));
            }
        }
    }
}
