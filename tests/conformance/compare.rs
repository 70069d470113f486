//! Two replies, byte for byte, but for what must differ between two indices and two moments.

use std::{collections::BTreeMap, io::Read};

use flate2::read::GzDecoder;
use serde_json::Value;
use understudy_tests::Reply;

use crate::{
    request::{How, Request},
    sides::Sides,
};

/// What came of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The replies are the same.
    Same,
    /// They differ as is known.
    Known,
    /// They differ, so: for a person.
    Unexpected(String),
}

/// Numbers that tell of time.
const TIMES: [&str; 2] = ["took", "ingest_took"];
/// Texts that tell of time.
const DATES: [&str; 2] = ["creation_date", "creation_date_string"];
/// Texts that are drawn at random.
const NAMES: [&str; 4] = ["index_uuid", "uuid", "_scroll_id", "_id"];
/// Headers of a moment or of a connection, and of bodies whose numbers have more digits on one side.
const HEADERS: [&str; 5] = ["date", "connection", "keep-alive", "transfer-encoding", "content-length"];

/// Compares what both sides said to a request; without numbers of versions where the histories are not alike.
pub fn compare(sides: &Sides, request: &Request, wanted: &Reply, got: &Reply, alike: bool) -> Verdict {
    let (theirs, ours) = (seen(wanted, &sides.theirs), seen(got, &sides.ours));
    let same = if alike { theirs == ours } else { without_versions(&theirs) == without_versions(&ours) };
    if same { Verdict::Same } else { Verdict::Unexpected(told(request, &theirs, &ours)) }
}

/// Checks a reply that is known to differ; `wanted` where Elasticsearch was asked.
pub fn compare_known(sides: &Sides, request: &Request, wanted: Option<&Reply>, got: &Reply) -> Verdict {
    let Some(known) = &request.known else { return Verdict::Same };
    let ours = seen(got, &sides.ours);
    let theirs = wanted.map(|wanted| seen(wanted, &sides.theirs)).unwrap_or_default();
    let unexpected = |why: &str| Verdict::Unexpected(format!("{why}: {}", told(request, &theirs, &ours)));
    if theirs == ours {
        return unexpected("no difference any more");
    }
    match known.how {
        How::Plain if theirs.replace("\"content-encoding\": [\"gzip\"], ", "") == ours => Verdict::Known,
        How::Order if wanted.is_some_and(|wanted| meaning(wanted, &sides.theirs) == meaning(got, &sides.ours)) => {
            Verdict::Known
        }
        How::Plain | How::Order => unexpected("differs in more"),
        How::Both if wanted.is_none_or(|wanted| wanted.status < 400) => unexpected("Elasticsearch does it"),
        How::Alone | How::Both => {
            let kind = if known.kind == "-" { "" } else { &known.kind };
            let is_known = got.status == known.status && got.error_type() == kind;
            if is_known { Verdict::Known } else { unexpected("differs otherwise") }
        }
    }
}

/// Status and body, whatever the order of fields.
fn meaning(reply: &Reply, index: &str) -> (u16, Option<Value>) {
    (reply.status, serde_json::from_str(&masked(&reply.text().replace(index, "INDEX"))).ok())
}

/// What was seen without numbers of versions, also in texts.
fn without_versions(seen: &str) -> String {
    let texts = ["current version [", "current document has seqNo ["];
    let mut out = seen.replace('\\', "");
    for name in ["_seq_no", "_version"] {
        out = replace_values(&out, name, |value| Some((value.bytes().take_while(u8::is_ascii_digit).count(), "0")));
    }
    for text in texts {
        out = cut(&out, text, "]");
    }
    out
}

/// Status, headers and body, with what must differ masked.
pub fn seen(reply: &Reply, index: &str) -> String {
    let mut body = reply.body.to_vec();
    if reply.header("content-encoding") == "gzip" {
        body.clear();
        if GzDecoder::new(&reply.body[..]).read_to_end(&mut body).is_err() {
            body = b"(no gzip)".to_vec();
        }
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = masked(&text.replace(index, "INDEX"));
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &reply.headers {
        let name = name.as_str();
        if !HEADERS.contains(&name) && !name.starts_with("understudy-") {
            let value = String::from_utf8_lossy(value.as_bytes()).replace(index, "INDEX");
            headers.entry(name).or_default().push(masked_path(&value));
        }
    }
    // A length without a body, and one that is not that of its body.
    let length = reply.header("content-length");
    let length = match length.parse::<usize>() {
        Ok(length) if length == reply.body.len() => "exact".to_owned(),
        Ok(_) if body.is_empty() => "of a body that is not sent".to_owned(),
        _ => format!("[{length}]"),
    };
    format!("    {} length {length} {headers:?}\n    {body:?}", reply.status)
}

/// Numbers that tell of time are 0, and texts that were drawn are `?`, wherever they stand, spaces as they are.
fn masked(text: &str) -> String {
    let mut out = text.to_owned();
    for name in TIMES {
        out = replace_values(&out, name, |value| {
            let digits = value.bytes().take_while(u8::is_ascii_digit).count();
            (digits > 0).then_some((digits, "0"))
        });
    }
    for name in NAMES {
        out = replace_values(&out, name, |value| {
            let end = value.strip_prefix('"')?.find('"')? + 2;
            // Ids that clients give are shorter.
            (end >= 22).then_some((end, "\"?\""))
        });
    }
    for name in DATES {
        out = replace_values(&out, name, |value| Some((value.strip_prefix('"')?.find('"')? + 2, "\"?\"")));
    }
    // UUIDs of indices in texts, and bytes of the connection that Elasticsearch shows when it cannot read a document.
    out = cut(&out, "[INDEX/", "]");
    for index in ["-h", "-b", "-c", "-d", "-other"] {
        out = cut(&out, &format!("[INDEX{index}/"), "]");
    }
    out = cut(&out, "[Source: (byte[])", "; line");
    out = cut(&out, "$$Lambda", "(");
    out
}

/// Text without what stands between two marks.
fn cut(text: &str, from: &str, to: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(from) {
        out.push_str(&rest[..at + from.len()]);
        rest = &rest[at + from.len()..];
        rest = &rest[rest.find(to).unwrap_or(0)..];
    }
    out + rest
}

/// Replaces the values of fields of a name, in JSON and in YAML, pretty or not.
fn replace_values<'a>(text: &str, name: &str, with: impl Fn(&str) -> Option<(usize, &'a str)>) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(name) {
        let (before, behind) = rest.split_at(at + name.len());
        out.push_str(before);
        rest = behind;
        let value = behind.trim_start_matches('"').trim_start_matches(' ');
        let Some(value) = value.strip_prefix(':') else { continue };
        let value = value.trim_start_matches(' ');
        if let Some((length, instead)) = with(value) {
            out.push_str(&behind[..behind.len() - value.len()]);
            out.push_str(instead);
            rest = &value[length..];
        }
    }
    out + rest
}

/// A drawn id in `Location`.
fn masked_path(value: &str) -> String {
    let parts = value.split('/').map(|part| {
        let drawn = part.len() == 20 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if drawn { "?" } else { part }
    });
    if value.starts_with('/') { parts.collect::<Vec<_>>().join("/") } else { value.to_owned() }
}

fn told(request: &Request, theirs: &str, ours: &str) -> String {
    format!("{}\n  Elasticsearch\n{}\n  gateway\n{}", line(request), short(theirs), short(ours))
}

fn line(request: &Request) -> String {
    let body: String = request.body.as_deref().unwrap_or_default().chars().take(300).collect();
    format!("{} {} {:?} {body:?}", request.method, request.path, request.headers)
}

fn short(text: &str) -> String {
    text.chars().take(2500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_differ_is_masked_and_nothing_else() {
        for (text, wanted) in [
            (r#"{"took":12,"n":12}"#, r#"{"took":0,"n":12}"#),
            ("{\n  \"took\" : 12\n}", "{\n  \"took\" : 0\n}"),
            ("---\ntook: 7\nerrors: false\n", "---\ntook: 0\nerrors: false\n"),
            (r#"{"_id":"abcdefghij0123456789","_version":1}"#, r#"{"_id":"?","_version":1}"#),
            (r#"{"_id":"1","_seq_no":3}"#, r#"{"_id":"1","_seq_no":3}"#),
            (r#"{"took":"a"}"#, r#"{"took":"a"}"#),
        ] {
            assert_eq!(masked(text), wanted);
        }
        assert_eq!(masked_path("/INDEX/_doc/abcdefghij0123456789"), "/INDEX/_doc/?");
    }
}
