//! `filter_path`, as Elasticsearch's `FilterPath` reads it: `took,items.*.error,-items.index._seq_no,**._id`.
//!
//! A pattern is names with dots between them, where `*` stands for any characters and `**` for any number of names.
//! Arrays are looked through. What a pattern ends at is kept with everything below it; with `-` in front it is left out.

use super::scan::{Scanner, compact};
use crate::refusal::Refusal;

/// Patterns of what is kept and what is left out.
#[derive(Clone, Debug, Default)]
pub struct FilterPath {
    kept: Vec<Vec<String>>,
    left_out: Vec<Vec<String>>,
}

/// What a `filter_path` may have: each pattern may be compared with each name of a reply. Elasticsearch takes no longer one
/// either, for its first line of a request ends at 4 KiB (`http.max_initial_line_length`).
const MAX_BYTES: usize = 16 << 10;
/// How many patterns.
const MAX_PATTERNS: usize = 512;

/// Where patterns stand: the names that are still to be met.
type Rest<'a> = Vec<&'a [String]>;

impl FilterPath {
    /// Reads the parameter.
    ///
    /// # Errors
    /// When it is longer than anybody means.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_BYTES || text.bytes().filter(|byte| *byte == b',').count() >= MAX_PATTERNS {
            return Err(Refusal::malformed(format!(
                "[filter_path] may have {MAX_PATTERNS} patterns and {MAX_BYTES} bytes in all"
            )));
        }
        let mut filter = Self::default();
        for pattern in text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
            match pattern.strip_prefix('-') {
                Some(pattern) => filter.left_out.push(names(pattern)),
                None => filter.kept.push(names(pattern)),
            }
        }
        Ok(filter)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.left_out.is_empty()
    }

    /// What is left of a JSON text; an empty object when nothing is.
    #[must_use]
    pub fn apply(&self, json: &[u8]) -> Vec<u8> {
        let mut cut = json.to_vec();
        for (patterns, keeps) in [(&self.left_out, false), (&self.kept, true)] {
            if !patterns.is_empty() {
                let mut walk = Walk { scanner: Scanner::new(&cut), out: Vec::new(), keeps, depth: 0 };
                let is_left = walk.value(&patterns.iter().map(Vec::as_slice).collect());
                cut = if is_left { walk.out } else { b"{}".to_vec() };
            }
        }
        cut
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
    // Several ways may lead to one place of a pattern; its address tells it.
    rest.sort_unstable_by_key(|pattern| pattern.as_ptr());
    rest.dedup_by_key(|pattern| pattern.as_ptr());
    Some(rest)
}

/// Each part between two stars is taken where it comes first: if a later place would do, so does that one.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, others)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut tail) = name.strip_prefix(start) else { return false };
    let (middle, end) = others.rsplit_once('*').unwrap_or(("", others));
    for part in middle.split('*') {
        let Some(at) = tail.find(part) else { return false };
        tail = &tail[at + part.len()..];
    }
    tail.ends_with(end)
}

/// Objects deeper than this count as if they were empty.
const MAX_DEPTH: usize = 200;

/// One walk through a JSON text, which either keeps what patterns end at or leaves it out.
struct Walk<'a> {
    scanner: Scanner<'a>,
    out: Vec<u8>,
    keeps: bool,
    depth: usize,
}

impl Walk<'_> {
    /// Writes what is left of the next value; `false` when nothing is.
    fn value(&mut self, patterns: &Rest<'_>) -> bool {
        self.depth += 1;
        let is_left = match self.scanner.peek() {
            Some(b'{' | b'[') if self.depth > MAX_DEPTH => self.whole(false),
            Some(b'{') => self.object(patterns),
            Some(b'[') => self.array(patterns),
            _ => self.whole(!self.keeps),
        };
        self.depth -= 1;
        is_left
    }

    fn object(&mut self, patterns: &Rest<'_>) -> bool {
        self.scanner.enter(b'{');
        self.out.push(b'{');
        let mut is_first = true;
        while let Some(name) = self.scanner.next_name() {
            let raw = self.scanner.bytes(&name);
            let text = serde_json::from_slice::<String>(raw).unwrap_or_default();
            let before = self.out.len();
            if !is_first {
                self.out.push(b',');
            }
            self.out.extend_from_slice(raw);
            self.out.push(b':');
            let is_left = match below(&text, patterns) {
                None => self.whole(self.keeps),
                Some(rest) if rest.is_empty() => self.whole(!self.keeps),
                Some(rest) => self.value(&rest),
            };
            if is_left {
                is_first = false;
            } else {
                self.out.truncate(before);
            }
        }
        self.out.push(b'}');
        !is_first
    }

    fn array(&mut self, patterns: &Rest<'_>) -> bool {
        self.scanner.enter(b'[');
        self.out.push(b'[');
        let mut is_first = true;
        while self.scanner.next_item() {
            let before = self.out.len();
            if !is_first {
                self.out.push(b',');
            }
            if self.value(patterns) {
                is_first = false;
            } else {
                self.out.truncate(before);
            }
        }
        self.out.push(b']');
        !is_first
    }

    /// Writes the next value or passes over it.
    fn whole(&mut self, is_kept: bool) -> bool {
        let value = self.scanner.value();
        if is_kept {
            compact(self.scanner.bytes(&value), &mut self.out);
        }
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn applied(filter: &str, value: &Value) -> Value {
        serde_json::from_slice(&FilterPath::parse(filter).unwrap().apply(value.to_string().as_bytes())).unwrap()
    }

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
            assert_eq!(applied(filter, &reply), wanted, "{filter}");
        }
        assert_eq!(applied("a\\.b", &json!({"a.b": 1, "a": {"b": 2}})), json!({"a.b": 1}));
        let exact =
            FilterPath::parse("-b").unwrap().apply(br#"{"a": [1.0E10, 123456789012345678901234567890], "b":1}"#);
        assert_eq!(exact, br#"{"a":[1.0E10,123456789012345678901234567890]}"#);
    }

    #[test]
    fn stars_fit() {
        for (pattern, name, wanted) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("**", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab", "aab", true),
            ("*a*a", "bababa", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("*ab*b", "ab", false),
            ("ü*x", "üüx", true),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn there_is_an_end_to_patterns() {
        let status = |text: &str| FilterPath::parse(text).err().map(|refusal| refusal.status.as_u16());
        assert_eq!(status(&vec!["a"; MAX_PATTERNS].join(",")), None);
        assert_eq!(status(&vec!["a"; MAX_PATTERNS + 1].join(",")), Some(400));
        assert_eq!(status(&"a".repeat(MAX_BYTES)), None);
        assert_eq!(status(&"a".repeat(MAX_BYTES + 1)), Some(400));
        // The most that is allowed, over a reply that meets it everywhere.
        let patterns = vec!["**.a.**.b"; MAX_PATTERNS].join(",");
        let nested = format!("{}1{}", "{\"a\":".repeat(150), "}".repeat(150));
        let begun = std::time::Instant::now();
        assert_eq!(FilterPath::parse(&patterns).unwrap().apply(nested.as_bytes()), b"{}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn many_stars_are_no_danger() {
        let begun = std::time::Instant::now();
        let long = json!({"a".repeat(10_000): 1});
        assert_eq!(applied("*a*a*a*a*a*a*a*a*b", &long), json!({}));
        let nested = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        assert_eq!(FilterPath::parse("**.a.**.a.**.a.**.a.**.a.b").unwrap().apply(nested.as_bytes()), b"{}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
