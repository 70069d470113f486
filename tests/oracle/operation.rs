//! One write of one document, as a request of its own or as lines of a bulk.

use serde_json::{Map, Value};

use crate::ledger::Item;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `PUT /index/_doc/id`.
    Index,
    /// `PUT /index/_create/id`.
    Create,
    /// `DELETE /index/_doc/id`.
    Delete,
    /// `POST /index/_update/id`.
    Update,
}

/// A write of one document.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What is done.
    pub action: Action,
    /// The index or alias that the request names.
    pub target: String,
    /// Parameters of the query, or of the action line.
    pub parameters: Vec<(&'static str, String)>,
    /// The document, or what an update says.
    pub body: Option<String>,
    /// What it wants.
    pub item: Item,
}

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Body.
    pub body: Option<String>,
    /// The documents it writes, in order.
    pub items: Vec<Item>,
}

impl Operation {
    /// As a request of its own.
    pub fn into_request(self) -> Request {
        let (method, endpoint) = match (self.action, &self.item.id) {
            (Action::Index, None) => ("POST", "_doc"),
            (Action::Index, Some(_)) => ("PUT", "_doc"),
            (Action::Create, _) => ("PUT", "_create"),
            (Action::Delete, _) => ("DELETE", "_doc"),
            (Action::Update, _) => ("POST", "_update"),
        };
        let mut path = format!("/{}/{endpoint}", encoded(&self.target));
        if let Some(id) = &self.item.id {
            path.push('/');
            path.push_str(&encoded(id));
        }
        for (place, (name, value)) in self.parameters.iter().enumerate() {
            let sign = if place == 0 { '?' } else { '&' };
            path.push_str(&format!("{sign}{name}={}", encoded(value)));
        }
        Request { method, path, body: self.body, items: vec![self.item] }
    }

    /// As lines of a bulk. The body must stand on one line.
    pub fn lines(&self) -> String {
        let mut fields = Map::new();
        fields.insert("_index".to_owned(), self.target.clone().into());
        if let Some(id) = &self.item.id {
            fields.insert("_id".to_owned(), id.clone().into());
        }
        for (name, value) in &self.parameters {
            let number = value.parse::<u64>().ok().filter(|_| *name != "routing");
            fields.insert((*name).to_owned(), number.map_or_else(|| Value::from(value.clone()), Value::from));
        }
        let action = match self.action {
            Action::Index => "index",
            Action::Create => "create",
            Action::Delete => "delete",
            Action::Update => "update",
        };
        let mut lines = format!("{{\"{action}\":{}}}\n", Value::Object(fields));
        if let Some(body) = &self.body {
            lines.push_str(body);
            lines.push('\n');
        }
        lines
    }
}

/// Several in one request.
pub fn bulk(operations: Vec<Operation>) -> Request {
    let body = operations.iter().map(Operation::lines).collect();
    let items = operations.into_iter().map(|operation| operation.item).collect();
    Request { method: "POST", path: "/_bulk".to_owned(), body: Some(body), items }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Leaves;

    fn operation(action: Action, id: Option<&str>) -> Operation {
        let item = Item {
            w: "1-1".into(),
            kind: "any".into(),
            index: "i".into(),
            id: id.map(str::to_owned),
            routing: Some("7".into()),
            leaves: Leaves::Document,
            stored: None,
        };
        let parameters = vec![("routing", "7".to_owned()), ("if_seq_no", "3".to_owned())];
        Operation { action, target: "i".into(), parameters, body: Some("{}".into()), item }
    }

    #[test]
    fn one_operation_in_both_forms() {
        let request = operation(Action::Create, Some("a/ü")).into_request();
        assert_eq!((request.method, request.path.as_str()), ("PUT", "/i/_create/a%2F%C3%BC?routing=7&if_seq_no=3"));
        assert_eq!(operation(Action::Index, None).into_request().path, "/i/_doc?routing=7&if_seq_no=3");
        assert_eq!(
            operation(Action::Update, Some("a")).lines(),
            "{\"update\":{\"_index\":\"i\",\"_id\":\"a\",\"routing\":\"7\",\"if_seq_no\":3}}\n{}\n"
        );
    }
}
