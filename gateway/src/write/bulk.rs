//! Planning `_bulk`.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use hyper::Method;
use serde_json::{Map, Value};
use understudy_common::{
    bulk::{self, Action, ActionFields, Operation},
    document::DocumentKey,
};

use super::plan::{AnswerShape, Limits, PlannedItem, PlannedWrite, SHARED_PARAMETERS, too_long_a_list};
use crate::{
    document_id::IdGenerator,
    refusal::Refusal,
    reply::ReplyShape,
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
    let reply = ReplyShape::take(&mut query)?;
    query.only(&SHARED_PARAMETERS)?;
    let mut indices: HashMap<String, Arc<str>> = HashMap::new();
    let mut pieces = Pieces { body, pieces: Vec::new(), run: 0..0 };
    let mut items = Vec::new();
    let mut listed = 0;
    for operation in bulk::operations(body) {
        let operation = operation.map_err(|error| Refusal::malformed(error.to_string()))?;
        let item = plan_item(&operation, index, query.get("routing"), &mut indices, ids)?;
        item.check_size(limits)?;
        take(size_of::<PlannedItem>() + item.key.id.len())?;
        // An intent lists at least this of each document; the plan must not grow when it would not fit in the end.
        listed += item.key.index.len() + item.key.id.len();
        if listed > limits.record_bytes {
            return Err(too_long_a_list(listed, limits));
        }
        if operation.fields.id.is_some() {
            pieces.keep(operation.span.clone());
        } else {
            pieces.add(action_line(&operation, &item.key.id));
            pieces.keep(operation.source_start..operation.span.end);
        }
        items.push(item);
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

fn plan_item(
    operation: &Operation,
    default_index: Option<&str>,
    default_routing: Option<&str>,
    indices: &mut HashMap<String, Arc<str>>,
    ids: &IdGenerator,
) -> Result<PlannedItem, Refusal> {
    let fields = &operation.fields;
    let at = |refusal: Refusal| Refusal { reason: format!("line {}: {}", operation.line, refusal.reason), ..refusal };
    check_fields(operation.action, fields).map_err(at)?;
    let index = fields
        .index
        .as_deref()
        .or(default_index)
        .ok_or_else(|| at(Refusal::malformed("index is missing: neither the action nor the URL names one")))?;
    let index = match indices.get(index) {
        Some(known) => known.clone(),
        None => {
            check_index_name(index).map_err(at)?;
            let shared: Arc<str> = index.into();
            indices.insert(index.to_owned(), shared.clone());
            shared
        }
    };
    let id: Arc<str> = match fields.id.as_deref() {
        Some("") => return Err(at(Refusal::malformed("if _id is specified it must not be empty"))),
        Some(id) => id.into(),
        None if operation.action == Action::Delete => {
            return Err(at(Refusal::malformed("an id is required to delete")));
        }
        None if fields.if_seq_no.is_some() => {
            return Err(at(Refusal::malformed("if_seq_no needs the _id of the document that is compared")));
        }
        None => ids.next().into(),
    };
    let routing = fields.routing.as_deref().or(default_routing).filter(|routing| !routing.is_empty()).map(Arc::from);
    Ok(PlannedItem {
        key: DocumentKey { index, id, routing },
        action: operation.action,
        source: operation.source.clone(),
        client_version: None,
        pipeline: false,
        line: Some(operation.line),
    })
}

fn check_fields(action: Action, fields: &ActionFields) -> Result<(), Refusal> {
    let refuse = |what: String| Err(Refusal::not_replicated(format!("{what}, so nothing of this bulk was executed")));
    if action == Action::Update {
        return refuse("[update] is not replicated yet: index the whole document instead".into());
    }
    if let Some(kind) = fields.doc_type.as_deref().filter(|kind| *kind != "_doc") {
        return refuse(format!("the type [{kind}] is not replicated: only [_doc] is"));
    }
    let version = fields.version.map(|_| "version").or(fields.version_type.as_ref().map(|_| "version_type"));
    if let Some(field) = version.or(fields.others.first().map(String::as_str)) {
        return refuse(format!("the action field [{field}] is not replicated yet"));
    }
    Ok(())
}

/// The action line anew, with an id.
fn action_line(operation: &Operation, id: &str) -> Bytes {
    let fields = &operation.fields;
    let mut line = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            line.insert(name.to_owned(), value.into());
        }
    };
    put("_index", fields.index.as_deref());
    put("_type", fields.doc_type.as_deref());
    put("_id", Some(id));
    put("routing", fields.routing.as_deref());
    let mut whole = Map::new();
    whole.insert(operation.action.name().to_owned(), Value::Object(line));
    Bytes::from(format!("{}\n", Value::Object(whole)))
}

/// The body for the primary: runs of the client's bytes with new lines between them.
struct Pieces<'a> {
    body: &'a Bytes,
    pieces: Vec<Bytes>,
    run: std::ops::Range<usize>,
}

impl Pieces<'_> {
    fn keep(&mut self, span: std::ops::Range<usize>) {
        if self.run.end == span.start {
            self.run.end = span.end;
        } else {
            self.end_run();
            self.run = span;
        }
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
            "{\"index\":{\"_index\":\"a\",\"routing\":\"r\"}}\n{\"x\":1}\n{\"create\":{\"_index\":\"a\"}}\n{}\n",
        )
        .unwrap();
        let (one, two) = (plan.items[0].key.id.to_string(), plan.items[1].key.id.to_string());
        assert_eq!(
            sent(&plan),
            format!(
                "{{\"index\":{{\"_index\":\"a\",\"_id\":\"{one}\",\"routing\":\"r\"}}}}\n{{\"x\":1}}\n{{\"create\":{{\"_index\":\"a\",\"_id\":\"{two}\"}}}}\n{{}}\n"
            )
        );
    }

    #[test]
    fn one_operation_that_cannot_be_replicated_refuses_the_whole() {
        let good = "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n";
        for (action, status, word) in [
            ("{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"doc\":{}}", 501, "[update]"),
            ("{\"index\":{\"_index\":\"a\",\"_type\":\"t\"}}\n{}", 501, "type [t]"),
            ("{\"index\":{\"_index\":\"a\",\"pipeline\":\"p\"}}\n{}", 501, "[pipeline]"),
            ("{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"version\":3}}\n{}", 501, "[version]"),
            ("{\"index\":{\"_index\":\"a\",\"require_alias\":true}}\n{}", 501, "[require_alias]"),
            ("{\"index\":{\"_index\":\"a,b\"}}\n{}", 400, "not the name of one index"),
            ("{\"index\":{\"_index\":\"<a-{now}>\"}}\n{}", 501, "date math"),
            ("{\"index\":{}}\n{}", 400, "index is missing"),
            ("{\"delete\":{\"_index\":\"a\"}}", 400, "an id is required"),
            ("{\"index\":{\"_index\":\"a\",\"_id\":\"\"}}\n{}", 400, "must not be empty"),
            ("{\"index\":{\"_index\":\"a\",\"if_seq_no\":1,\"if_primary_term\":1}}\n{}", 400, "if_seq_no needs"),
        ] {
            let refusal = plan_text(None, "", &format!("{good}{action}\n")).unwrap_err();
            assert_eq!(refusal.status.as_u16(), status, "{action}: {refusal:?}");
            assert!(refusal.reason.starts_with("line 3: ") && refusal.reason.contains(word), "{refusal:?}");
        }
        assert_eq!(plan_text(None, "pipeline=p", good).unwrap_err().status, 501);
        assert_eq!(plan_text(None, "format=yaml", good).unwrap_err().status, 406);
        let large = format!("{{\"index\":{{\"_index\":\"a\"}}}}\n{{\"x\":\"{}\"}}\n", "y".repeat(10_000));
        assert_eq!(plan_text(None, "", &large).unwrap_err().status, 413);
    }

    proptest! {
        #[test]
        fn sources_and_their_order_are_kept(ids in prop::collection::vec(prop::option::of("[a-z]{1,3}"), 1..20), source in "\\{[^\n\r]{0,20}\\}") {
            let body: String = ids.iter().map(|id| match id {
                Some(id) => format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{source}\n"),
                None => format!("{{\"index\":{{}}}}\n{source}\n"),
            }).collect();
            let plan = plan_text(Some("i"), "", &body).unwrap();
            let operations = bulk::parse(&Bytes::from(plan.body.concat())).unwrap();
            prop_assert_eq!(operations.len(), ids.len());
            for ((operation, item), id) in operations.iter().zip(&plan.items).zip(&ids) {
                prop_assert_eq!(operation.fields.id.as_deref(), Some(&*item.key.id));
                if let Some(id) = id {
                    prop_assert_eq!(id.as_str(), &*item.key.id);
                }
                prop_assert_eq!(operation.source.as_deref(), Some(source.as_bytes()));
            }
        }
    }
}
