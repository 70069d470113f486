//! Walks through JSON by its bytes, so that what is kept stays as it was written.

use std::ops::Range;

/// Walks through one JSON text that a parser has already found to be valid. Of anything else it makes no sense, but it
/// always ends and never panics.
pub(crate) struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the beginning of `json`.
    pub(crate) fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0 }
    }

    /// The first byte of the next token.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while self.json.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.json.get(self.at).copied()
    }

    /// Passes over `byte` where it is the next token, and says where the bytes after it begin.
    pub(crate) fn enter(&mut self, byte: u8) -> Option<usize> {
        if self.peek() != Some(byte) {
            return None;
        }
        self.at += 1;
        Some(self.at)
    }

    /// Within an object: where the next name stands, with its quotes; its value is next then. `None` leaves the object.
    pub(crate) fn next_name(&mut self) -> Option<Range<usize>> {
        self.enter(b',');
        if self.peek() != Some(b'"') {
            self.enter(b'}');
            return None;
        }
        let name = self.value();
        self.enter(b':');
        Some(name)
    }

    /// Within an array: whether a value is next. `false` leaves the array.
    pub(crate) fn next_item(&mut self) -> bool {
        self.enter(b',');
        match self.peek() {
            None => false,
            Some(b']') => {
                self.at += 1;
                false
            }
            Some(_) => true,
        }
    }

    /// Passes over the next value, whole, and says where it stands.
    pub(crate) fn value(&mut self) -> Range<usize> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.string(),
            Some(b'{' | b'[') => self.nested(),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':') || byte.is_ascii_whitespace();
                while self.json.get(self.at).is_some_and(|byte| !ends(byte)) {
                    self.at += 1;
                }
                // What is no value is passed over all the same.
                if self.at == start && start < self.json.len() {
                    self.at += 1;
                }
            }
        }
        start..self.at
    }

    /// How far it has come.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes at `range`.
    pub(crate) fn bytes(&self, range: &Range<usize>) -> &'a [u8] {
        &self.json[range.clone()]
    }

    /// Whether the name at `range` is `wanted`, however it is escaped.
    pub(crate) fn is_name(&self, range: &Range<usize>, wanted: &str) -> bool {
        let raw = self.bytes(range);
        if raw.contains(&b'\\') {
            return serde_json::from_slice::<String>(raw).is_ok_and(|name| name == wanted);
        }
        raw.len() == wanted.len() + 2 && &raw[1..raw.len() - 1] == wanted.as_bytes()
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(found) = memchr::memchr2(b'"', b'\\', &self.json[self.at.min(self.json.len())..]) {
            self.at += found + 1;
            if self.json[self.at - 1] == b'"' {
                return;
            }
            self.at += 1;
        }
        self.at = self.json.len();
    }

    fn nested(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.json.get(self.at) {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

/// Writes `json` without the spaces and line breaks between its tokens.
pub(crate) fn compact(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        out.extend(rest[..quote].iter().filter(|byte| !byte.is_ascii_whitespace()));
        let mut scanner = Scanner { json: rest, at: quote };
        scanner.string();
        out.extend_from_slice(&rest[quote..scanner.at]);
        rest = &rest[scanner.at..];
    }
    out.extend(rest.iter().filter(|byte| !byte.is_ascii_whitespace()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(json: &str) -> Vec<(String, String)> {
        let mut scanner = Scanner::new(json.as_bytes());
        let text = |scanner: &Scanner<'_>, range| String::from_utf8(scanner.bytes(&range).to_vec()).unwrap();
        scanner.enter(b'{').expect("an object");
        let mut fields = Vec::new();
        while let Some(name) = scanner.next_name() {
            let value = scanner.value();
            fields.push((text(&scanner, name), text(&scanner, value)));
        }
        assert_eq!(scanner.peek(), None, "{json}");
        fields
    }

    #[test]
    fn fields_with_their_bytes() {
        let json = r#" { "a" : 1.10 ,"b\"}":"x\\\"]","c":{"d":[1,{"e":"}"}]} , "f":[],"g":null }"#;
        let wanted =
            [("\"a\"", "1.10"), (r#""b\"}""#, r#""x\\\"]""#), ("\"c\"", r#"{"d":[1,{"e":"}"}]}"#), ("\"f\"", "[]")];
        let found = fields(json);
        assert_eq!(found.len(), 5);
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!((found.0.as_str(), found.1.as_str()), wanted);
        }
        assert_eq!(fields("{}"), []);
    }

    #[test]
    fn names_are_read_through_their_escapes() {
        let scanner = Scanner::new(br#""\u005fsource""#);
        assert!(scanner.is_name(&(0..14), "_source"));
        assert!(!scanner.is_name(&(0..14), "source"));
    }

    proptest! {
        #[test]
        fn always_ends(bytes in prop::collection::vec(prop::sample::select(b"{}[]:,\"\\ a1\n".to_vec()), 0..40)) {
            let mut scanner = Scanner::new(&bytes);
            scanner.enter(b'{');
            while scanner.next_name().is_some() {
                scanner.value();
            }
            while scanner.next_item() {
                scanner.value();
            }
            compact(&bytes, &mut Vec::new());
        }

        #[test]
        fn compact_keeps_the_meaning(json in "\\{\"[a-z \\\\n]{0,5}\" ?:[ \n]{0,2}(1\\.10|\"a b\\\\\" c\"|\\[1 , 2 \\])\\}") {
            let mut out = Vec::new();
            compact(json.as_bytes(), &mut out);
            let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
            prop_assert_eq!(value(&out), value(json.as_bytes()));
        }
    }
}
