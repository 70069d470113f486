//! `_seq_no` and `_primary_term` are taken out of what a target answers in place of the primary: its own are other ones, and
//! a write with `if_seq_no` that took them along could meet the primary's by chance. Everything else keeps its bytes.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::scan::Scanner;

/// The answer to a get or to `_mget` without them; `None` when it is no JSON.
#[must_use]
pub fn without_positions(body: &Bytes) -> Option<Bytes> {
    serde_json::from_slice::<&RawValue>(body).ok()?;
    let mut cuts = Vec::new();
    let mut scanner = Scanner::new(body);
    scanner.enter(b'{')?;
    object(&mut scanner, &mut cuts, true);
    if cuts.is_empty() {
        return Some(body.clone());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut kept = 0;
    for cut in cuts {
        out.extend_from_slice(&body[kept..cut.start]);
        kept = cut.end;
    }
    out.extend_from_slice(&body[kept..]);
    Some(out.into())
}

/// Walks through an object whose brace was entered; `outermost`: its `docs` are looked through, too.
fn object(scanner: &mut Scanner<'_>, cuts: &mut Vec<Range<usize>>, outermost: bool) {
    // Where the last field that stays ends.
    let mut before: Option<usize> = None;
    while let Some(name) = scanner.next_name() {
        let is_position = ["_seq_no", "_primary_term"].iter().any(|wanted| scanner.is_name(&name, wanted));
        if outermost && scanner.is_name(&name, "docs") && scanner.enter(b'[').is_some() {
            while scanner.next_item() {
                if scanner.enter(b'{').is_some() {
                    object(scanner, cuts, false);
                } else {
                    scanner.value();
                }
            }
            before = Some(scanner.at());
            continue;
        }
        let end = scanner.value().end;
        match before {
            _ if !is_position => before = Some(end),
            Some(before_end) => {
                cuts.push(before_end..end);
                before = Some(end);
            }
            // The first field: the comma behind it goes along.
            None => {
                let end = scanner.enter(b',').unwrap_or(end);
                cuts.push(name.start..end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(json: &str) -> Option<String> {
        let left = without_positions(&Bytes::from(json.to_owned()))?;
        Some(String::from_utf8(left.to_vec()).unwrap())
    }

    #[test]
    fn positions_go_and_bytes_stay() {
        for (json, wanted) in [
            (
                r#"{"_index":"i","_seq_no":5,"_primary_term":1,"found":true,"_source":{"_seq_no":1.10}}"#,
                r#"{"_index":"i","found":true,"_source":{"_seq_no":1.10}}"#,
            ),
            (r#"{"_seq_no":5,"_primary_term":1}"#, "{}"),
            (r#"{"_seq_no":5,"a":1,"_primary_term":1}"#, r#"{"a":1}"#),
            (
                "{\n  \"_id\" : \"1\",\n  \"_seq_no\" : 5,\n  \"found\" : true\n}\n",
                "{\n  \"_id\" : \"1\",\n  \"found\" : true\n}\n",
            ),
            (
                r#"{"docs":[{"_id":"1","_seq_no":5,"_primary_term":1},{"_seq_no":1,"_id":"2"},7]}"#,
                r#"{"docs":[{"_id":"1"},{"_id":"2"},7]}"#,
            ),
            (r#"{"error":{"_seq_no":1},"status":404}"#, r#"{"error":{"_seq_no":1},"status":404}"#),
            (r#"{"_source":{"docs":[{"_seq_no":1}]}}"#, r#"{"_source":{"docs":[{"_seq_no":1}]}}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(without(json).as_deref(), Some(wanted), "{json}");
        }
        for other in ["", "---\n_seq_no: 1\n", "[1]", "{\"a\":"] {
            assert_eq!(without(other), None, "{other}");
        }
    }
}
