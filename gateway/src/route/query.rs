//! Parts of a URL, decoded as Elasticsearch decodes them.

use std::{collections::BTreeMap, time::Duration};

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

    /// Bounds `timeout`, the time that a write may wait inside the primary for its shard (a minute where nothing is said):
    /// a request that waits for longer than anybody believes could be applied after its intent was settled.
    ///
    /// # Errors
    /// When it is no time.
    pub fn bound_timeout(&mut self, most: Duration) -> Result<(), Refusal> {
        let asked = match self.get("timeout").map(str::trim) {
            None | Some("" | "-1") => None,
            Some(text) => Some(time_value(text).ok_or_else(|| {
                Refusal::malformed(format!(
                    "failed to parse setting [timeout] with value [{text}] as a time value: unit is missing or unrecognized"
                ))
            })?),
        };
        if asked.is_none_or(|asked| asked > most) {
            self.put("timeout", &format!("{}ms", most.as_millis()));
        }
        Ok(())
    }

    /// A parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Every parameter with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
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

/// A time as Elasticsearch writes it (`TimeValue.parseTimeValue`).
fn time_value(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let nanos: u64 = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" if number == 0 => 1,
        "nanos" => 1,
        "micros" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    Some(Duration::from_nanos(number.saturating_mul(nanos)))
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
    fn no_write_waits_inside_the_primary_for_longer_than_is_waited_for_it() {
        for (query, bound) in [
            ("", Some("40000ms")),
            ("timeout=30s", Some("30s")),
            ("timeout=10m", Some("40000ms")),
            ("timeout=-1", Some("40000ms")),
            ("timeout=0", Some("0")),
            ("timeout=99999999999d", Some("40000ms")),
            ("timeout=500MS", Some("500MS")),
            ("timeout=5", None),
            ("timeout=soon", None),
            ("timeout=1.5s", None),
        ] {
            let mut parsed = Query::parse(query).unwrap();
            let bounded = parsed.bound_timeout(Duration::from_secs(40));
            assert_eq!(bounded.ok().and_then(|()| parsed.get("timeout")), bound, "{query}");
        }
    }

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
