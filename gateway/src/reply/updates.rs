//! The `get` part of updates. The primary is asked for the whole document, which is replicated; the client gets of it what
//! it asked for. Everything else of the reply keeps its bytes.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{scan::Scanner, source::AskedSource};

/// What the client of a write asked its updates to answer.
#[derive(Clone, Debug, Default)]
pub enum UpdateReplies {
    /// There are no updates.
    #[default]
    None,
    /// It is a single update.
    One(Arc<AskedSource>),
    /// For each item of a bulk that is an update.
    Bulk(Vec<Option<Arc<AskedSource>>>),
}

impl UpdateReplies {
    /// Whether replies stay as they are.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Gives a reply of the primary the shape that was asked for; what is no JSON stays as it is.
    #[must_use]
    pub fn apply(&self, body: &Bytes) -> Bytes {
        if self.is_none() || serde_json::from_slice::<&RawValue>(body).is_err() {
            return body.clone();
        }
        let mut edit = Edit { body, scanner: Scanner::new(body), out: Vec::new(), kept: 0 };
        match self {
            Self::None => {}
            Self::One(asked) => edit.item(asked),
            Self::Bulk(asked) => edit.items(asked),
        }
        edit.finish()
    }
}

struct Edit<'a> {
    body: &'a Bytes,
    scanner: Scanner<'a>,
    out: Vec<u8>,
    /// Up to here the body stands in `out`, or was left out of it.
    kept: usize,
}

impl Edit<'_> {
    fn items(&mut self, asked: &[Option<Arc<AskedSource>>]) {
        self.scanner.enter(b'{');
        while let Some(name) = self.scanner.next_name() {
            if !self.scanner.is_name(&name, "items") || self.scanner.enter(b'[').is_none() {
                self.scanner.value();
                continue;
            }
            let mut asked = asked.iter();
            while self.scanner.next_item() {
                match asked.next() {
                    Some(Some(asked)) => self.action(asked),
                    _ => {
                        self.scanner.value();
                    }
                }
            }
        }
    }

    /// `{"update":{…}}`.
    fn action(&mut self, asked: &AskedSource) {
        if self.scanner.enter(b'{').is_none() {
            self.scanner.value();
            return;
        }
        while self.scanner.next_name().is_some() {
            self.item(asked);
        }
    }

    /// What became of one update.
    fn item(&mut self, asked: &AskedSource) {
        if self.scanner.enter(b'{').is_none() {
            self.scanner.value();
            return;
        }
        let mut before = None;
        while let Some(name) = self.scanner.next_name() {
            let is_get = self.scanner.is_name(&name, "get");
            let value = self.scanner.value();
            let end = value.end;
            match asked {
                AskedSource::Nothing if is_get && !tells_of_nothing(self.scanner.bytes(&value)) => match before {
                    Some(before) => self.replace(before..end, &[]),
                    None => {
                        let end = self.scanner.enter(b',').unwrap_or(end);
                        self.replace(name.start..end, &[]);
                        continue;
                    }
                },
                AskedSource::Part(filter) if is_get => {
                    let get = self.scanner.bytes(&value);
                    if let Some(source) = field(get, "_source") {
                        let mut part = Vec::new();
                        filter.write(&get[source.clone()], &mut part);
                        self.replace(value.start + source.start..value.start + source.end, &part);
                    }
                }
                _ => {}
            }
            before = Some(end);
        }
    }

    fn replace(&mut self, range: Range<usize>, with: &[u8]) {
        self.out.extend_from_slice(&self.body[self.kept..range.start]);
        self.out.extend_from_slice(with);
        self.kept = range.end;
    }

    fn finish(mut self) -> Bytes {
        if self.kept == 0 {
            return self.body.clone();
        }
        self.out.extend_from_slice(&self.body[self.kept..]);
        self.out.into()
    }
}

/// An update that left alone a document that is not there says so, whatever was asked for.
fn tells_of_nothing(get: &[u8]) -> bool {
    field(get, "found").is_some_and(|found| &get[found] == b"false")
}

/// Where the value of a field stands in an object.
pub(super) fn field(object: &[u8], wanted: &str) -> Option<Range<usize>> {
    let mut scanner = Scanner::new(object);
    scanner.enter(b'{')?;
    while let Some(name) = scanner.next_name() {
        let is_wanted = scanner.is_name(&name, wanted);
        let value = scanner.value();
        if is_wanted {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str) -> Option<Arc<AskedSource>> {
        Some(Arc::new(AskedSource::read(json).unwrap()))
    }

    fn edited(replies: &UpdateReplies, body: &str) -> String {
        String::from_utf8(replies.apply(&Bytes::copy_from_slice(body.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn each_update_of_a_bulk_answers_what_it_was_asked_for() {
        let item = |get: &str| format!("{{\"update\":{{\"_id\":\"1\",\"result\":\"noop\"{get},\"status\":200}}}}");
        let get = ",\"get\":{\"_seq_no\":0,\"found\":true,\"_source\":{\"a\": 1.10,\n\"b\":{\"c\":[1, 2]}}}";
        let body = |gets: [&str; 6]| {
            let items: Vec<String> = gets.iter().map(|get| item(get)).collect();
            format!("{{\"took\":3, \"items\":[{}],\"errors\":false}}", items.join(","))
        };
        let none = ",\"get\":{\"found\":false}";
        let replies = UpdateReplies::Bulk(vec![
            asked("true"),
            asked("false"),
            None,
            asked("\"b\""),
            asked("{\"excludes\":[\"*\"]}"),
            asked("false"),
        ]);
        let part = |source: &str| format!(",\"get\":{{\"_seq_no\":0,\"found\":true,\"_source\":{source}}}");
        assert_eq!(
            edited(&replies, &body([get, get, get, get, get, none])),
            body([get, "", get, &part("{\"b\":{\"c\":[1,2]}}"), &part("{}"), none])
        );
        // More or fewer items than were asked for are none of ours.
        assert_eq!(edited(&UpdateReplies::Bulk(vec![]), &body([get; 6])), body([get; 6]));
    }

    #[test]
    fn a_single_update_answers_what_it_was_asked_for() {
        let one = |json: &str| UpdateReplies::One(asked(json).unwrap());
        let body = "{ \"get\" : {\"_source\":{\"a\":1}} , \"_id\":\"1\"}";
        assert_eq!(edited(&one("false"), body), "{  \"_id\":\"1\"}");
        assert_eq!(edited(&one("\"b\""), body), "{ \"get\" : {\"_source\":{}} , \"_id\":\"1\"}");
        assert_eq!(edited(&one("true"), body), body);
        assert_eq!(edited(&one("false"), "{\"get\":{}}"), "{}");
        for other in ["", "<html>", "[1]", "3", "{\"get\":", "{\"error\":{\"get\":1},\"status\":400}"] {
            assert_eq!(edited(&one("false"), other), other);
        }
    }
}
