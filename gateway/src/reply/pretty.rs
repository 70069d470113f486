//! Indents JSON as Elasticsearch's `?pretty` does (Jackson's default printer, two spaces, a line break at the end).

use super::scan::Scanner;

/// What is nested deeper than this is not indented at all: lines would be longer than what stands in them.
const MAX_DEPTH: usize = 200;

/// Indents a JSON text; names, strings and numbers keep their bytes.
pub(super) fn print(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut scanner = Scanner::new(json);
    let mut depth = 0usize;
    while let Some(next) = scanner.peek() {
        match next {
            b'{' | b'[' => {
                let end = if next == b'{' { b'}' } else { b']' };
                scanner.enter(next);
                out.push(next);
                if scanner.enter(end).is_some() {
                    out.extend([b' ', end]);
                } else {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return json.to_vec();
                    }
                    break_line(depth, &mut out);
                }
            }
            b'}' | b']' => {
                scanner.enter(next);
                depth = depth.saturating_sub(1);
                break_line(depth, &mut out);
                out.push(next);
            }
            b',' => {
                scanner.enter(next);
                out.push(next);
                break_line(depth, &mut out);
            }
            b':' => {
                scanner.enter(next);
                out.extend_from_slice(b" : ");
            }
            _ => {
                let value = scanner.value();
                out.extend_from_slice(scanner.bytes(&value));
            }
        }
    }
    out.push(b'\n');
    out
}

fn break_line(depth: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b"  ", depth).flatten());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_elasticsearch_prints_it() {
        let printed = print(br#"{"took":1,"empty":{},"none":[ ],"items":[{"a":"x\"y"},1.0E10]}"#);
        let wanted = "{\n  \"took\" : 1,\n  \"empty\" : { },\n  \"none\" : [ ],\n  \"items\" : [\n    {\n      \"a\" : \"x\\\"y\"\n    },\n    1.0E10\n  ]\n}\n";
        assert_eq!(str::from_utf8(&printed), Ok(wanted));
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(print(deep.as_bytes()), deep.as_bytes());
    }
}
