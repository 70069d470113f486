//! Requests as a person writes them, one block each, with an empty line behind it.
//!
//! ```text
//! # A comment.
//! known both 400 illegal_argument_exception  why the gateway's reply differs
//! PUT INDEX/_doc/1?pretty
//! > accept: application/json
//! {"a": 1}
//! ```
//!
//! `INDEX`, `INDEX-alias` and other names that begin so are names of either side. A body that begins with a quote is JSON's text
//! of it (`"{}\r\n"`). What is lines of JSON by its path ends with a line break. `known alone` is asked of the gateway only: it
//! refuses what Elasticsearch would do. `known both` is asked of both, and both refuse it, in other words. `known plain` is
//! answered without compression, and `known order` with its fields in another order; all else is the same then.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// A request to both sides.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Option<String>,
    /// How the gateway's answer is known to differ.
    pub known: Option<Known>,
}

/// In what an answer is known to differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The gateway alone refuses it.
    Alone,
    /// Both refuse it, in other words.
    Both,
    /// The gateway does not compress.
    Plain,
    /// Fields stand in another order.
    Order,
}

/// A difference that is known.
#[derive(Clone, Debug)]
pub struct Known {
    /// In what.
    pub how: How,
    /// The gateway's status, of a refusal.
    pub status: u16,
    /// The gateway's `error.type`, of a refusal; `-` where it has none.
    pub kind: String,
    /// Why.
    pub reason: String,
}

impl Request {
    /// One of a method and a path.
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: None, known: None }
    }

    /// Its body with the names of a side, compressed where its headers say so.
    pub fn sent(&self, index: &str) -> Option<Bytes> {
        let body = self.body.as_ref()?.replace("INDEX", index);
        if !self.headers.iter().any(|(name, value)| name == "content-encoding" && value == "gzip") {
            return Some(body.into());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body.as_bytes()).expect("memory takes it");
        Some(encoder.finish().expect("memory takes it").into())
    }
}

/// Reads requests; panics at a block that is none.
pub fn requests(text: &str) -> Vec<Request> {
    let mut requests = Vec::new();
    for block in text.split("\n\n") {
        let lines: Vec<&str> = block.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        if !lines.is_empty() {
            requests.push(request(&lines));
        }
    }
    requests
}

fn request(lines: &[&str]) -> Request {
    let mut lines = lines.iter().copied().peekable();
    let known = lines.next_if(|line| line.starts_with("known ")).map(known);
    let (method, path) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_else(|| panic!("no method"));
    let mut request = Request::new(method, &format!("/{}", path.trim_start_matches('/')));
    request.known = known;
    while let Some(line) = lines.next_if(|line| line.starts_with("> ")) {
        let (name, value) = line[2..].split_once(": ").unwrap_or_else(|| panic!("{line}"));
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    let body: Vec<&str> = lines.collect();
    let body = body.join("\n");
    if body.starts_with('"') {
        request.body = Some(serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}")));
    } else if path.contains("_bulk") || path.contains("_msearch") {
        request.body = Some(format!("{body}\n"));
    } else if !body.is_empty() {
        request.body = Some(body);
    }
    request
}

fn known(line: &str) -> Known {
    let (mut words, how) = (line.splitn(5, ' ').skip(1), |word| match word {
        "alone" => How::Alone,
        "both" => How::Both,
        "plain" => How::Plain,
        "order" => How::Order,
        _ => panic!("known alone|both|plain|order STATUS TYPE REASON: {line}"),
    });
    let mut word = || words.next().unwrap_or_else(|| panic!("{line}"));
    let how = how(word());
    let status = word().parse().unwrap_or_else(|_| panic!("{line}"));
    Known { how, status, kind: word().to_owned(), reason: word().trim().to_owned() }
}
