//! JSON compared as text, never through parsed values: `1.10` is not `1.1`, and integers of 23 digits count. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Whether two texts of JSON are the same but for whitespace between their tokens.
pub fn same(one: &str, other: &str) -> bool {
    one == other || significant(one).eq(significant(other))
}

/// The bytes of a text of JSON without the whitespace between its tokens.
pub fn significant(text: &str) -> impl Iterator<Item = u8> {
    let (mut in_string, mut escaped) = (false, false);
    text.bytes().filter(move |byte| {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            return true;
        }
        in_string = *byte == b'"';
        !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    })
}

/// Puts spaces in the place of comments. Servers take them in documents, and give them back as they were.
pub fn blank_comments(text: &mut [u8]) {
    let mut at = 0;
    while at < text.len() {
        let end = match &text[at..] {
            [b'"', rest @ ..] => at + 1 + end_of_string(rest),
            [b'/', b'/', rest @ ..] => {
                let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                blank(text, at, at + 2 + length)
            }
            [b'/', b'*', rest @ ..] => {
                let length = memchr::memmem::find(rest, b"*/").map_or(rest.len(), |length| length + 2);
                blank(text, at, at + 2 + length)
            }
            _ => at + 1,
        };
        at = end;
    }
}

fn blank(text: &mut [u8], from: usize, to: usize) -> usize {
    text[from..to].fill(b' ');
    to
}

/// Where a string ends, its closing quote included, that began just before.
fn end_of_string(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &text[at..]) {
        if text[at + found] == b'"' {
            return at + found + 1;
        }
        at = (at + found + 2).min(text.len());
    }
    text.len()
}

/// Where two texts of JSON differ, regardless of the order of fields.
#[derive(Debug, PartialEq, Eq)]
pub struct Spot {
    /// Names of fields and places in lists from the outside to the inside, `a.b[3].c`; empty for the whole.
    pub path: String,
    /// What the one has there.
    pub one: Option<String>,
    /// What the other has there.
    pub other: Option<String>,
}

/// Deeper than this, what differs is shown as a whole.
const MAX_DEPTH: usize = 32;
/// The longest value that is shown.
const SHOWN: usize = 120;

/// The first spot where the two differ, regardless of the order of fields; `None` when they differ in that alone, or
/// not at all.
pub fn first_difference(one: &str, other: &str) -> Option<Spot> {
    let (Ok(first), Ok(second)) = (serde_json::from_str(one), serde_json::from_str(other)) else {
        return (!same(one, other)).then(|| spot("", Some(one), Some(other)));
    };
    differ("", first, second, 0)
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn differ(path: &str, one: &RawValue, other: &RawValue, depth: usize) -> Option<Spot> {
    let (one, other) = (one.get(), other.get());
    if same(one, other) {
        return None;
    }
    if depth < MAX_DEPTH {
        if let (Some(mine), Some(theirs)) = (parsed::<Fields<'_>>(one, b'{'), parsed::<Fields<'_>>(other, b'{')) {
            return fields_differ(path, &mine, &theirs, depth);
        }
        if let (Some(mine), Some(theirs)) = (parsed::<Vec<&RawValue>>(one, b'['), parsed::<Vec<&RawValue>>(other, b'['))
        {
            return (0..mine.len().max(theirs.len())).find_map(|place| {
                values_differ(&format!("{path}[{place}]"), mine.get(place), theirs.get(place), depth)
            });
        }
    }
    Some(spot(path, Some(one), Some(other)))
}

fn fields_differ(path: &str, one: &Fields<'_>, other: &Fields<'_>, depth: usize) -> Option<Spot> {
    let added = other.keys().filter(|name| !one.contains_key(*name));
    one.keys().chain(added).find_map(|name| {
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        values_differ(&inner, one.get(name), other.get(name), depth)
    })
}

fn values_differ(path: &str, one: Option<&&RawValue>, other: Option<&&RawValue>, depth: usize) -> Option<Spot> {
    match (one, other) {
        (Some(one), Some(other)) => differ(path, one, other, depth + 1),
        (one, other) => Some(spot(path, one.map(|value| value.get()), other.map(|value| value.get()))),
    }
}

fn parsed<'a, T: serde::Deserialize<'a>>(text: &'a str, opening: u8) -> Option<T> {
    if !text.starts_with(char::from(opening)) {
        return None;
    }
    serde_json::from_str(text).ok()
}

fn spot(path: &str, one: Option<&str>, other: Option<&str>) -> Spot {
    Spot { path: path.to_owned(), one: one.map(shortened), other: other.map(shortened) }
}

/// The same JSON with the fields of every object in one order and without whitespace, values as they are written.
pub fn ordered(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    match serde_json::from_str(text) {
        Ok(value) => write_ordered(value, 0, &mut written),
        Err(_) => written.push_str(text),
    }
    written
}

fn write_ordered(value: &RawValue, depth: usize, written: &mut String) {
    let text = value.get();
    if depth < MAX_DEPTH {
        if let Some(fields) = parsed::<Fields<'_>>(text, b'{') {
            for (place, (name, field)) in fields.iter().enumerate() {
                written.push(if place == 0 { '{' } else { ',' });
                written.push_str(&serde_json::Value::from(name.as_str()).to_string());
                written.push(':');
                write_ordered(field, depth + 1, written);
            }
            written.push_str(if fields.is_empty() { "{}" } else { "}" });
            return;
        }
        if let Some(values) = parsed::<Vec<&RawValue>>(text, b'[') {
            for (place, value) in values.iter().enumerate() {
                written.push(if place == 0 { '[' } else { ',' });
                write_ordered(value, depth + 1, written);
            }
            written.push_str(if values.is_empty() { "[]" } else { "]" });
            return;
        }
    }
    written.push_str(text);
}

/// A text that fits on a line.
pub fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitespace_between_tokens_is_no_difference() {
        assert!(same("{\"a\" : [1,\n 2]}\r\n", "\t{\"a\":[1,2]}"));
        assert!(same(r#"{ "a\"" : " x " }"#, r#"{"a\"":" x "}"#));
        assert!(same(r#"{"a":"\\" , "b":1}"#, r#"{"a":"\\","b":1}"#));
    }

    #[test]
    fn whitespace_in_strings_is_one() {
        assert!(!same(r#"{"a":" x"}"#, r#"{"a":"x"}"#));
        assert!(!same(r#"{"a b":1}"#, r#"{"ab":1}"#));
        assert!(!same(r#"{"a":"\" x"}"#, r#"{"a":"\"x"}"#));
        assert!(!same(r#"{"a":"\\\" x"}"#, r#"{"a":"\\\"x"}"#));
    }

    #[test]
    fn comments_are_blanked_outside_of_strings() {
        let blanked = |text: &str| {
            let mut text = text.as_bytes().to_vec();
            blank_comments(&mut text);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(blanked("{\"a\":1 /* \" */,\"b\":2}"), "{\"a\":1        ,\"b\":2}");
        assert_eq!(blanked("[1 // x\n,2]//"), "[1     \n,2]  ");
        for untouched in [r#"{"a":"http://x/*","b\"//":1}"#, r#"["\\","/*"]"#, "\"/*", "\"\\", "1/2"] {
            assert_eq!(blanked(untouched), untouched);
        }
        assert_eq!(blanked("/*"), "  ");
    }

    #[test]
    fn numbers_escapes_and_order_count_as_written() {
        assert!(!same("{\"a\":1.10}", "{\"a\":1.1}"));
        assert!(!same("{\"a\":12345678901234567890123}", "{\"a\":12345678901234567890124}"));
        assert!(!same("{\"a\":\"é\"}", "{\"a\":\"\\u00e9\"}"));
        assert!(!same("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}"));
        assert!(!same("{\"a\":1}", "{\"a\":1,\"a\":1}"));
        assert!(!same("{}", ""));
    }

    #[test]
    fn the_first_difference_is_named() {
        let difference = |one, other| first_difference(one, other).map(|spot| (spot.path, spot.one, spot.other));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            difference(r#"{"a":{"b":[1,{"c":1.10}]}}"#, r#"{"a":{"b":[1,{"c":1.1}]}}"#),
            Some(("a.b[1].c".to_owned(), text("1.10"), text("1.1")))
        );
        assert_eq!(difference(r#"{"a":1}"#, r#"{"a":1,"b":2}"#), Some(("b".to_owned(), None, text("2"))));
        assert_eq!(difference("[1,2]", "[1]"), Some(("[1]".to_owned(), text("2"), None)));
        assert_eq!(difference(r#"{"a":1,"b":2}"#, r#"{"b": 2,"a":1}"#), None);
        assert_eq!(difference("1", "2"), Some((String::new(), text("1"), text("2"))));
    }

    #[test]
    fn fields_are_put_in_order_and_values_left_alone() {
        assert_eq!(
            ordered(r#"{"b": [ {"d":1.10,"c":{}}, [] ], "a\"":"\u00e9 "}"#),
            r#"{"a\"":"\u00e9 ","b":[{"c":{},"d":1.10},[]]}"#
        );
        assert_eq!(ordered("7"), "7");
    }

    #[test]
    fn deep_and_long_values_are_shown_in_part() {
        let deep = |core: &str| format!("{}{core}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(first_difference(&deep("1"), &deep("2")).is_some());
        assert!(shortened(&"é\n".repeat(500)).chars().count() == SHOWN + 1);
    }
}
