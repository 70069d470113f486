//! Takes keys out of the configuration tree, one after the other, and notes every error instead of stopping at the first.

use std::{cell::RefCell, time::Duration};

use config::{Map, Value, ValueKind};

use super::units;

/// Where errors are noted.
#[derive(Default)]
pub(super) struct Errors(RefCell<Vec<String>>);

impl Errors {
    pub(super) fn note(&self, key: &str, what: impl std::fmt::Display) {
        self.0.borrow_mut().push(format!("{key}: {what}"));
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// A table of the tree. Keys are taken out as they are read; what is left at the end is unknown.
pub(super) struct Section<'e> {
    pub(super) path: String,
    values: Map<String, Value>,
    known: Vec<&'static str>,
    pub(super) errors: &'e Errors,
}

impl<'e> Section<'e> {
    pub(super) fn root(tree: Value, errors: &'e Errors) -> Self {
        Self::of(String::new(), Some(tree), errors)
    }

    fn of(path: String, value: Option<Value>, errors: &'e Errors) -> Self {
        let values = match value.map(|value| value.kind) {
            None | Some(ValueKind::Nil) => Map::new(),
            Some(ValueKind::Table(values)) => values,
            Some(other) => {
                errors.note(&path, format!("must be a table, not {}", kind_name(&other)));
                Map::new()
            }
        };
        Self { path, values, known: Vec::new(), errors }
    }

    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn note(&self, name: &str, what: impl std::fmt::Display) {
        self.errors.note(&self.key(name), what);
    }

    fn take(&mut self, name: &'static str) -> Option<ValueKind> {
        self.known.push(name);
        self.values.remove(name).map(|value| value.kind).filter(|kind| !matches!(kind, ValueKind::Nil))
    }

    /// The table `name`, empty when it is absent.
    pub(super) fn section(&mut self, name: &'static str) -> Self {
        self.known.push(name);
        Self::of(self.key(name), self.values.remove(name), self.errors)
    }

    /// The array of tables `name`.
    pub(super) fn sections(&mut self, name: &'static str) -> Vec<Self> {
        match self.take(name) {
            None => Vec::new(),
            Some(ValueKind::Array(values)) => values
                .into_iter()
                .enumerate()
                .map(|(place, value)| Self::of(format!("{}[{place}]", self.key(name)), Some(value), self.errors))
                .collect(),
            Some(other) => {
                self.note(name, format!("must be an array of tables ([[{name}]]), not {}", kind_name(&other)));
                Vec::new()
            }
        }
    }

    /// Every table below this one, by name.
    pub(super) fn into_named(self) -> Vec<(String, Self)> {
        let mut named: Vec<_> = self
            .values
            .into_iter()
            .map(|(name, value)| {
                let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
                (name, Self::of(path, Some(value), self.errors))
            })
            .collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named
    }

    /// Every scalar below this table, as text, by name.
    pub(super) fn into_texts(self) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for (name, value) in self.values {
            match scalar(&value.kind) {
                Some(text) => texts.push((name, text)),
                None => self.errors.note(
                    &format!("{}.{name}", self.path),
                    format!("must be a text, a number or a boolean, not {}", kind_name(&value.kind)),
                ),
            }
        }
        texts.sort();
        texts
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let kind = self.take(name)?;
        match kind {
            ValueKind::String(text) => Some(text),
            other => {
                self.note(name, format!("must be a text, not {}", kind_name(&other)));
                None
            }
        }
    }

    /// A list of texts; from the environment, separated by commas.
    pub(super) fn texts(&mut self, name: &'static str) -> Vec<String> {
        match self.take(name) {
            None => Vec::new(),
            Some(ValueKind::String(text)) => {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
            Some(ValueKind::Array(values)) => values
                .into_iter()
                .filter_map(|value| match value.kind {
                    ValueKind::String(text) => Some(text),
                    other => {
                        self.note(name, format!("must be a list of texts, and {} is none", kind_name(&other)));
                        None
                    }
                })
                .collect(),
            Some(other) => {
                self.note(name, format!("must be a list of texts, not {}", kind_name(&other)));
                Vec::new()
            }
        }
    }

    pub(super) fn boolean(&mut self, name: &'static str, default: bool) -> bool {
        let Some(kind) = self.take(name) else { return default };
        match scalar(&kind).as_deref() {
            Some("true") => true,
            Some("false") => false,
            _ => {
                self.note(name, format!("must be true or false, not {}", shown(&kind)));
                default
            }
        }
    }

    pub(super) fn number(&mut self, name: &'static str, default: u64, allowed: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(kind) = self.take(name) else { return default };
        match scalar(&kind).and_then(|text| text.parse().ok()).filter(|number| allowed.contains(number)) {
            Some(number) => number,
            None => {
                let (least, most) = (allowed.start(), allowed.end());
                self.note(name, format!("must be a whole number from {least} to {most}, not {}", shown(&kind)));
                default
            }
        }
    }

    pub(super) fn duration(&mut self, name: &'static str, default: Duration) -> Duration {
        self.measured(
            name,
            default,
            "a duration above zero such as \"500ms\", \"2s\", \"5m\" or \"7d\"",
            units::duration,
        )
    }

    pub(super) fn size(&mut self, name: &'static str, default: u64) -> u64 {
        self.measured(name, default, "a size above zero such as 1048576, \"64KiB\" or \"100MiB\"", units::size)
    }

    fn measured<T>(&mut self, name: &'static str, default: T, right: &str, parse: fn(&str) -> Option<T>) -> T {
        let Some(kind) = self.take(name) else { return default };
        match scalar(&kind).and_then(|text| parse(&text)) {
            Some(value) => value,
            None => {
                self.note(name, format!("must be {right}, not {}", shown(&kind)));
                default
            }
        }
    }

    pub(super) fn address(&mut self, name: &'static str, default: &str) -> String {
        let address = self.text(name).unwrap_or_else(|| default.to_owned());
        let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            self.note(name, format!("must be host:port such as {default}, not {address:?}"));
        }
        address
    }

    /// Notes every key that nobody read.
    pub(super) fn finish(&mut self) {
        let mut unknown: Vec<_> = self.values.keys().cloned().collect();
        unknown.sort();
        for name in unknown {
            let known = self.known.join(", ");
            self.note(&name, format!("unknown key; known here: {known}"));
        }
    }
}

fn scalar(kind: &ValueKind) -> Option<String> {
    match kind {
        ValueKind::String(text) => Some(text.clone()),
        ValueKind::Boolean(value) => Some(value.to_string()),
        ValueKind::I64(value) => Some(value.to_string()),
        ValueKind::U64(value) => Some(value.to_string()),
        ValueKind::Float(value) => Some(value.to_string()),
        _ => None,
    }
}

fn shown(kind: &ValueKind) -> String {
    scalar(kind).map_or_else(|| kind_name(kind).to_owned(), |text| format!("{text:?}"))
}

fn kind_name(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "a boolean",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a number",
        ValueKind::Float(_) => "a number with a fraction",
        ValueKind::String(_) => "a text",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
    }
}
