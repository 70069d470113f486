//! `_source`, `_source_includes`, `_source_excludes`: how much of a document an update answers, as Elasticsearch filters it
//! (`FetchSourceContext`, `XContentMapValues.filter`).
//!
//! A pattern is a path with dots, in which `*` stands for any characters, dots too. What an object is asked for by name is
//! asked for with everything below it, and what is left out is left out whatever asked for it.

use serde_json::Value;

use super::{
    paths::{Paths, State},
    scan::{Scanner, compact},
};
use crate::{refusal::Refusal, route::Query};

/// How much of a document an update answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedSource {
    /// Nothing.
    Nothing,
    /// All of it, as it is stored.
    Whole,
    /// What these patterns say.
    Part(SourceFilter),
}

/// What is kept of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFilter {
    included: Option<Paths>,
    excluded: Paths,
}

/// Patterns in all may be this long: matching takes as long as they are.
const MAX_PATTERNS: usize = 64 << 10;
/// Objects deeper than this are kept or left out whole. Elasticsearch maps no fields below 20.
const MAX_DEPTH: usize = 200;

impl AskedSource {
    /// Takes what is asked for out of a query; `None` when it says nothing of it.
    ///
    /// # Errors
    /// When the patterns are too long.
    pub fn take(query: &mut Query) -> Result<Option<Self>, Refusal> {
        let source = query.take("_source");
        let listed = |text: Option<String>| {
            text.map(|text| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>())
        };
        let (includes, excludes) = (listed(query.take("_source_includes")), listed(query.take("_source_excludes")));
        if source.is_none() && includes.is_none() && excludes.is_none() {
            return Ok(None);
        }
        let is_wanted = source.as_deref() != Some("false");
        let source = source.filter(|source| !matches!(source.as_str(), "true" | "false"));
        let includes = includes.or(listed(source)).unwrap_or_default();
        if is_wanted { Self::of(includes, excludes.unwrap_or_default()).map(Some) } else { Ok(Some(Self::Nothing)) }
    }

    /// Reads the `_source` of an action line or of an update.
    ///
    /// # Errors
    /// When it is none of the forms that Elasticsearch knows.
    pub fn read(json: &str) -> Result<Self, Refusal> {
        let unknown = || {
            Refusal::malformed(format!(
                "[_source] must be true, false, a pattern, a list of patterns, or an object of [includes] and [excludes], not [{}]",
                json.chars().take(200).collect::<String>()
            ))
        };
        let list = |value: &Value| match value {
            Value::String(pattern) => Some(vec![pattern.clone()]),
            Value::Array(patterns) => {
                patterns.iter().map(|pattern| pattern.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        match serde_json::from_str::<Value>(json).map_err(|_| unknown())? {
            Value::Bool(true) => Ok(Self::Whole),
            Value::Bool(false) => Ok(Self::Nothing),
            Value::Object(fields) => {
                let (mut includes, mut excludes) = (Vec::new(), Vec::new());
                for (name, value) in &fields {
                    match name.as_str() {
                        "includes" | "include" => includes = list(value).ok_or_else(unknown)?,
                        "excludes" | "exclude" => excludes = list(value).ok_or_else(unknown)?,
                        _ => return Err(unknown()),
                    }
                }
                Self::of(includes, excludes)
            }
            value => Self::of(list(&value).ok_or_else(unknown)?, Vec::new()),
        }
    }

    fn of(includes: Vec<String>, excludes: Vec<String>) -> Result<Self, Refusal> {
        let length: usize = includes.iter().chain(&excludes).map(String::len).sum();
        if length > MAX_PATTERNS {
            return Err(Refusal::malformed(format!("patterns for [_source] may have {MAX_PATTERNS} bytes in all")));
        }
        if includes.is_empty() && excludes.is_empty() {
            return Ok(Self::Whole);
        }
        let included = (!includes.is_empty()).then(|| Paths::new(&includes));
        Ok(Self::Part(SourceFilter { included, excluded: Paths::new(&excludes) }))
    }
}

impl SourceFilter {
    /// Writes what is kept of a document.
    pub(super) fn write(&self, source: &[u8], out: &mut Vec<u8>) {
        let mut walk = Walk { filter: self, scanner: Scanner::new(source), out, depth: 0 };
        if walk.scanner.enter(b'{').is_none() {
            out.extend_from_slice(source);
            return;
        }
        let included = self.included.as_ref().map(Paths::start);
        walk.object(included.as_ref(), &self.excluded.start());
    }
}

/// One walk through a document. `None` in place of a state of the includes: everything is included.
struct Walk<'a> {
    filter: &'a SourceFilter,
    scanner: Scanner<'a>,
    out: &'a mut Vec<u8>,
    depth: usize,
}

impl Walk<'_> {
    /// Writes what is kept of an object whose brace was entered; `false` when nothing is.
    fn object(&mut self, included: Option<&State>, excluded: &State) -> bool {
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
            let included = included.map(|state| self.included(state, text.as_bytes()));
            let excluded = self.filter.excluded.step(excluded, text.as_bytes());
            if self.field(included, &excluded) {
                is_first = false;
            } else {
                self.out.truncate(before);
            }
        }
        self.out.push(b'}');
        !is_first
    }

    /// Writes the value of a field, or passes over it: `false` when nothing of it is kept.
    fn field(&mut self, included: Option<State>, excluded: &State) -> bool {
        let is_included = included.as_ref().is_none_or(|state| self.filter.is_included(state));
        if included.as_ref().is_some_and(State::is_dead) || self.filter.excluded.accepts(excluded) {
            self.scanner.value();
            return false;
        }
        // An object that is asked for is asked for with everything below it.
        let below = included.filter(|_| !is_included);
        let can_exclude = !self.filter.excluded.step(excluded, b".").is_dead();
        if is_included && (!can_exclude || self.depth >= MAX_DEPTH) {
            let value = self.scanner.value();
            compact(self.scanner.bytes(&value), self.out);
            return true;
        }
        self.value(below.as_ref(), excluded, is_included) || is_included
    }

    /// Writes a value that is to be looked into; a scalar is kept where its field `is_included`. `false` when it is empty.
    fn value(&mut self, included: Option<&State>, excluded: &State, is_included: bool) -> bool {
        self.depth += 1;
        let kept = match self.scanner.peek() {
            Some(_) if self.depth > MAX_DEPTH => {
                self.scanner.value();
                false
            }
            Some(b'{') => {
                let included = included.map(|state| self.included(state, b"."));
                self.scanner.enter(b'{');
                self.object(included.as_ref(), &self.filter.excluded.step(excluded, b"."))
            }
            Some(b'[') => {
                self.scanner.enter(b'[');
                self.array(included, excluded, is_included)
            }
            _ => {
                let value = self.scanner.value();
                if is_included {
                    self.out.extend_from_slice(self.scanner.bytes(&value));
                }
                is_included
            }
        };
        self.depth -= 1;
        kept
    }

    fn array(&mut self, included: Option<&State>, excluded: &State, is_included: bool) -> bool {
        self.out.push(b'[');
        let mut is_first = true;
        while self.scanner.next_item() {
            let before = self.out.len();
            if !is_first {
                self.out.push(b',');
            }
            if self.value(included, excluded, is_included) {
                is_first = false;
            } else {
                self.out.truncate(before);
            }
        }
        self.out.push(b']');
        !is_first
    }

    fn included(&self, state: &State, bytes: &[u8]) -> State {
        self.filter.included.as_ref().map_or_else(State::default, |paths| paths.step(state, bytes))
    }
}

impl SourceFilter {
    fn is_included(&self, state: &State) -> bool {
        self.included.as_ref().is_none_or(|paths| paths.accepts(state))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filtered(asked: &Value, source: &str) -> String {
        let AskedSource::Part(filter) = AskedSource::read(&asked.to_string()).unwrap() else { panic!("{asked}") };
        let mut out = Vec::new();
        filter.write(source.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_elasticsearch_filters() {
        let source = r#"{"a": 1.10, "z":{"y":[]}, "e":{}, "l":[{}, {"q":1,"r":[2, 3]}, 4, [5, {"q":6}]], "n":null, "d.t":{"u":7}}"#;
        for (asked, wanted) in [
            (json!("a"), r#"{"a":1.10}"#),
            (json!(["z.y", "l.q", "e.x"]), r#"{"z":{"y":[]},"l":[{"q":1},[{"q":6}]]}"#),
            (json!("l"), r#"{"l":[{},{"q":1,"r":[2,3]},4,[5,{"q":6}]]}"#),
            (json!(["e", "n"]), r#"{"e":{},"n":null}"#),
            (json!("*.q"), r#"{"l":[{"q":1},[{"q":6}]]}"#),
            (json!("d.t.u"), r#"{"d.t":{"u":7}}"#),
            (json!("d"), r#"{"d.t":{"u":7}}"#),
            (json!("nothing"), "{}"),
            (
                json!({"excludes": ["z.y", "l.q"]}),
                r#"{"a":1.10,"z":{},"e":{},"l":[{"r":[2,3]},4,[5]],"n":null,"d.t":{"u":7}}"#,
            ),
            (json!({"excludes": "*.q", "includes": ["l", "z"]}), r#"{"z":{"y":[]},"l":[{"r":[2,3]},4,[5]]}"#),
            (json!({"exclude": "l.*", "include": "l"}), r#"{"l":[4,[5]]}"#),
            (json!({"excludes": ["*"]}), "{}"),
        ] {
            assert_eq!(filtered(&asked, source), wanted, "{asked}");
        }
    }

    #[test]
    fn what_is_asked_for() {
        let of = |query: &str| AskedSource::take(&mut Query::parse(query).unwrap()).unwrap();
        let part = |includes: &[&str], excludes: &[&str]| {
            let list = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            Some(AskedSource::of(list(includes), list(excludes)).unwrap())
        };
        for (query, wanted) in [
            ("refresh=true", None),
            ("_source", Some(AskedSource::Whole)),
            ("_source=true", Some(AskedSource::Whole)),
            ("_source=false&_source_includes=a", Some(AskedSource::Nothing)),
            ("_source=a,,b", part(&["a", "b"], &[])),
            ("_source=a&_source_includes=b&_source_excludes=c", part(&["b"], &["c"])),
            ("_source_includes=", Some(AskedSource::Whole)),
            ("_source_excludes=c", part(&[], &["c"])),
        ] {
            assert_eq!(of(query), wanted, "{query}");
        }
        assert_eq!(AskedSource::read("{}").unwrap(), AskedSource::Whole);
        assert_eq!(AskedSource::read(" [\"a\"] ").unwrap(), AskedSource::read("\"a\"").unwrap());
        for wrong in ["3", "null", "[1]", "{\"x\":[]}", "{\"includes\":true}", ""] {
            assert_eq!(AskedSource::read(wrong).unwrap_err().status, 400, "{wrong}");
        }
        let long = json!("x".repeat(MAX_PATTERNS + 1)).to_string();
        assert_eq!(AskedSource::read(&long).unwrap_err().status, 400);
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(filtered(&json!("a"), &deep), deep);
        let cut = filtered(&json!({"excludes": ["*.b"]}), &deep);
        assert_eq!(cut, deep);
        assert_eq!(filtered(&json!("a.*.b"), &deep), "{}");
    }
}
