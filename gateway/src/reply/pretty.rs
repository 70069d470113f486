//! Indents JSON as Elasticsearch's `?pretty` does (Jackson's default printer, two spaces, a line break at the end).

use serde_json::Value;

pub(super) fn print(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out.push('\n');
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(fields) if fields.is_empty() => out.push_str("{ }"),
        Value::Array(values) if values.is_empty() => out.push_str("[ ]"),
        Value::Object(fields) => {
            out.push('{');
            for (place, (name, field)) in fields.iter().enumerate() {
                out.push_str(if place == 0 { "\n" } else { ",\n" });
                indent(depth + 1, out);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(" : ");
                write(field, depth + 1, out);
            }
            out.push('\n');
            indent(depth, out);
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (place, item) in values.iter().enumerate() {
                out.push_str(if place == 0 { "\n" } else { ",\n" });
                indent(depth + 1, out);
                write(item, depth + 1, out);
            }
            out.push('\n');
            indent(depth, out);
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_elasticsearch_prints_it() {
        let printed = print(&json!({"took": 1, "empty": {}, "none": [], "items": [{"a": "x\"y"}, 2]}));
        assert_eq!(
            printed,
            "{\n  \"took\" : 1,\n  \"empty\" : { },\n  \"none\" : [ ],\n  \"items\" : [\n    {\n      \"a\" : \"x\\\"y\"\n    },\n    2\n  ]\n}\n"
        );
    }
}
