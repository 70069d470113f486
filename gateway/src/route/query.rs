//! Parts of a URL, decoded as Elasticsearch decodes them.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use understudy_common::cluster::path_part;

use crate::refusal::Refusal;

/// The parameters of a write, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    parameters: BTreeMap<String, String>,
}

impl Query {
    /// Decodes a query string; of two parameters with one name the later counts, as in Elasticsearch.
    ///
    /// # Errors
    /// When it cannot be decoded without doubt.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        // Elasticsearch splits at `;` too (RestUtils.decodeQueryString), proxies do not: nobody means it.
        if query.contains(';') {
            return Err(Refusal::malformed("a semicolon in the query string of a write must be written as %3B"));
        }
        let mut parameters = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.insert(decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?);
        }
        Ok(Self { parameters })
    }

    /// Takes a parameter out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.remove(name)
    }

    /// Sets a parameter.
    pub fn put(&mut self, name: &str, value: &str) {
        self.parameters.insert(name.to_owned(), value.to_owned());
    }

    /// Takes a flag out: present without a value, or `true`.
    ///
    /// # Errors
    /// When its value is neither `true` nor `false`.
    pub fn take_flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(Refusal::malformed(format!(
                "Failed to parse value [{other}] as only [true] or [false] are allowed."
            ))),
        }
    }

    /// A parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Refuses every parameter that is not in `allowed`.
    ///
    /// # Errors
    /// Naming the first that is not.
    pub fn only(&self, allowed: &[&str]) -> Result<(), Refusal> {
        match self.parameters.keys().find(|name| !allowed.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Refusal::not_replicated(format!(
                "the parameter [{name}] is not replicated yet, so the write was not executed; known here: {}",
                allowed.join(", ")
            ))),
        }
    }

    /// Written anew, with its `?`, or nothing.
    #[must_use]
    pub fn encode(&self) -> String {
        let pairs: Vec<String> =
            self.parameters.iter().map(|(name, value)| format!("{}={}", path_part(name), path_part(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// A part of a path; a plus stays one.
pub(super) fn decode_path_part(raw: &str) -> Result<String, Refusal> {
    decode(raw)
}

fn decode(raw: &str) -> Result<String, Refusal> {
    let bytes = raw.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%' && !bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if broken {
        return Err(Refusal::malformed(format!("[{raw}] has a percent sign that begins no escape")));
    }
    percent_decode_str(raw)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Refusal::malformed(format!("[{raw}] is not UTF-8 when decoded")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_encodes() {
        let query = Query::parse("routing=a+b%2Fc&pretty&refresh=wait_for&routing=z%20").unwrap();
        assert_eq!(query.get("routing"), Some("z "));
        assert_eq!(query.encode(), "?pretty=&refresh=wait%5Ffor&routing=z%20");
        assert_eq!(Query::parse("").unwrap().encode(), "");
    }

    #[test]
    fn doubt_is_refused() {
        for query in ["a=1;pipeline=p", "a=%zz", "a=%f", "a=%ff"] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
        assert!(Query::parse("pretty=maybe").unwrap().take_flag("pretty").is_err());
        let refusal = Query::parse("pipeline=p").unwrap().only(&["refresh"]).unwrap_err();
        assert!(refusal.status == 501 && refusal.reason.contains("[pipeline]"), "{refusal:?}");
    }
}
