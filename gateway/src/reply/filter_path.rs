//! `filter_path`, as Elasticsearch's `FilterPath` reads it: `took,items.*.error,-items.index._seq_no,**._id`.
//!
//! A pattern is names with dots between them, where `*` stands for any characters and `**` for any number of names.
//! Arrays are looked through. What a pattern ends at is kept with everything below it; with `-` in front it is left out.

use serde_json::{Map, Value};

/// Patterns of what is kept and what is left out.
#[derive(Clone, Debug, Default)]
pub struct FilterPath {
    kept: Vec<Vec<String>>,
    left_out: Vec<Vec<String>>,
}

/// Where patterns stand: the names that are still to be met.
type Rest<'a> = Vec<&'a [String]>;

impl FilterPath {
    pub(super) fn parse(text: &str) -> Self {
        let mut filter = Self::default();
        for pattern in text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
            match pattern.strip_prefix('-') {
                Some(pattern) => filter.left_out.push(names(pattern)),
                None => filter.kept.push(names(pattern)),
            }
        }
        filter
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.left_out.is_empty()
    }

    /// What is left of a value; an empty object when nothing is.
    #[must_use]
    pub fn apply(&self, value: &Value) -> Value {
        let cut = if self.left_out.is_empty() {
            Some(value.clone())
        } else {
            leave_out(value, &self.left_out.iter().map(Vec::as_slice).collect())
        };
        let kept = match cut {
            Some(value) if !self.kept.is_empty() => keep(&value, &self.kept.iter().map(Vec::as_slice).collect()),
            cut => cut,
        };
        kept.unwrap_or_else(|| Value::Object(Map::new()))
    }
}

/// Splits at dots that no backslash stands before.
fn names(pattern: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&'.') => {
                characters.next();
                names.last_mut().expect("begins with one").push('.');
            }
            '.' => names.push(String::new()),
            other => names.last_mut().expect("begins with one").push(other),
        }
    }
    names
}

/// What remains of the patterns below a field; `None` when one of them ends at it.
fn below<'a>(field: &str, patterns: &Rest<'a>) -> Option<Rest<'a>> {
    let mut rest = Rest::new();
    for pattern in patterns {
        let (first, others) = pattern.split_first()?;
        if first == "**" {
            // Any number of names: stay, or let the next name meet this field.
            rest.push(pattern);
            match others.split_first() {
                None => return None,
                Some((next, after)) if fits(next, field) => {
                    if after.is_empty() {
                        return None;
                    }
                    rest.push(after);
                }
                Some(_) => {}
            }
        } else if fits(first, field) {
            if others.is_empty() {
                return None;
            }
            rest.push(others);
        }
    }
    Some(rest)
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| fits(rest, &tail[at..]))
        }),
    }
}

fn keep(value: &Value, patterns: &Rest<'_>) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, field) in fields {
                let field = match below(name, patterns) {
                    None => Some(field.clone()),
                    Some(rest) if rest.is_empty() => None,
                    Some(rest) => keep(field, &rest),
                };
                if let Some(field) = field {
                    kept.insert(name.clone(), field);
                }
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(values) => {
            let kept: Vec<Value> = values.iter().filter_map(|value| keep(value, patterns)).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => None,
    }
}

fn leave_out(value: &Value, patterns: &Rest<'_>) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            let mut left = Map::new();
            for (name, field) in fields {
                let field = match below(name, patterns) {
                    None => None,
                    Some(rest) if rest.is_empty() => Some(field.clone()),
                    Some(rest) => leave_out(field, &rest),
                };
                if let Some(field) = field {
                    left.insert(name.clone(), field);
                }
            }
            (!left.is_empty()).then_some(Value::Object(left))
        }
        Value::Array(values) => {
            let left: Vec<Value> = values.iter().filter_map(|value| leave_out(value, patterns)).collect();
            (!left.is_empty()).then_some(Value::Array(left))
        }
        scalar => Some(scalar.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_elasticsearch_filters() {
        let reply = json!({"took": 3, "errors": true, "items": [
            {"index": {"_id": "1", "_seq_no": 5, "error": {"type": "t", "reason": "r"}}},
            {"create": {"_id": "2", "_seq_no": 6, "_shards": {"total": 1}}},
        ]});
        for (filter, wanted) in [
            ("took", json!({"took": 3})),
            ("took,errors", json!({"took": 3, "errors": true})),
            ("items.*.error", json!({"items": [{"index": {"error": {"type": "t", "reason": "r"}}}]})),
            ("items.*.error.type", json!({"items": [{"index": {"error": {"type": "t"}}}]})),
            ("**._id", json!({"items": [{"index": {"_id": "1"}}, {"create": {"_id": "2"}}]})),
            ("**.type,took", json!({"took": 3, "items": [{"index": {"error": {"type": "t"}}}]})),
            ("items.cr*._s*_no", json!({"items": [{"create": {"_seq_no": 6}}]})),
            ("nothing", json!({})),
            ("-items", json!({"took": 3, "errors": true})),
            (
                "-items.*.error,-items.*._s*,-took",
                json!({"errors": true, "items": [{"index": {"_id": "1"}}, {"create": {"_id": "2"}}]}),
            ),
            ("items,-items.index", json!({"items": [{"create": {"_id": "2", "_seq_no": 6, "_shards": {"total": 1}}}]})),
            ("items.create._shards", json!({"items": [{"create": {"_shards": {"total": 1}}}]})),
        ] {
            assert_eq!(FilterPath::parse(filter).apply(&reply), wanted, "{filter}");
        }
        assert_eq!(FilterPath::parse("a\\.b").apply(&json!({"a.b": 1, "a": {"b": 2}})), json!({"a.b": 1}));
    }
}
