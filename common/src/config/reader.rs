//! Takes keys out of the configuration tree, one after the other, and notes every error instead of stopping at the first; and
//! what every key counts as, defaults included.

use std::{
    cell::RefCell,
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use config::{Map, Value, ValueKind};

use super::{
    effective::{self, Effective},
    units,
};

/// Where errors are noted, and what was read.
#[derive(Default)]
pub(super) struct Errors {
    noted: RefCell<Vec<String>>,
    read: RefCell<Effective>,
}

impl Errors {
    pub(super) fn note(&self, key: &str, what: impl std::fmt::Display) {
        self.noted.borrow_mut().push(format!("{key}: {what}"));
    }

    /// The errors, and what was read.
    pub(super) fn into_parts(self) -> (Vec<String>, Effective) {
        (self.noted.into_inner(), self.read.into_inner())
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

    fn read(&self, name: &str, toml: String) {
        self.errors.read.borrow_mut().note(&self.path, name, toml);
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

    /// Every scalar below this table, as text, by the name that `named` makes of the one that stands there. Those are masked in
    /// what is shown of which `is_secret` says so.
    pub(super) fn into_texts(self, named: fn(&str) -> String, is_secret: fn(&str) -> bool) -> Vec<(String, String)> {
        let mut texts = BTreeMap::new();
        for (name, value) in self.values {
            match scalar(&value.kind) {
                // A name that was changed is that of a variable, which stands over the file.
                Some(text) => match texts.entry(named(&name)) {
                    Entry::Occupied(mut taken) if *taken.key() != name => drop(taken.insert(text)),
                    Entry::Occupied(_) => {}
                    Entry::Vacant(free) => {
                        free.insert(text);
                    }
                },
                None => self.errors.note(
                    &format!("{}.{name}", self.path),
                    format!("must be a text, a number or a boolean, not {}", kind_name(&value.kind)),
                ),
            }
        }
        let texts: Vec<_> = texts.into_iter().collect();
        let mut read = self.errors.read.borrow_mut();
        for (name, text) in &texts {
            read.note(&self.path, name, if is_secret(name) { effective::masked() } else { effective::text(text) });
        }
        drop(read);
        texts
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let text = self.untold(name)?;
        self.read(name, effective::text(&text));
        Some(text)
    }

    pub(super) fn text_or(&mut self, name: &'static str, default: impl FnOnce() -> String) -> String {
        let text = self.untold(name).unwrap_or_else(default);
        self.read(name, effective::text(&text));
        text
    }

    /// A text that is never shown.
    pub(super) fn secret(&mut self, name: &'static str) -> Option<String> {
        let text = self.untold(name)?;
        self.read(name, effective::masked());
        Some(text)
    }

    fn untold(&mut self, name: &'static str) -> Option<String> {
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
        let texts = self.list(name);
        self.read(name, effective::texts(&texts));
        texts
    }

    fn list(&mut self, name: &'static str) -> Vec<String> {
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
        let value = self.truth(name, default);
        self.read(name, value.to_string());
        value
    }

    fn truth(&mut self, name: &'static str, default: bool) -> bool {
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

    /// A default outside of what is allowed means that there is none.
    pub(super) fn number(&mut self, name: &'static str, default: u64, allowed: std::ops::RangeInclusive<u64>) -> u64 {
        let number = self.whole(name, default, &allowed);
        if allowed.contains(&number) {
            self.read(name, number.to_string());
        }
        number
    }

    fn whole(&mut self, name: &'static str, default: u64, allowed: &std::ops::RangeInclusive<u64>) -> u64 {
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
        let right = "a duration above zero such as \"500ms\", \"2s\", \"5m\" or \"7d\"";
        let duration = self.measured(name, default, right, units::duration);
        self.read(name, effective::text(&units::duration_text(duration)));
        duration
    }

    /// A default of 0 means that there is none.
    pub(super) fn size(&mut self, name: &'static str, default: u64) -> u64 {
        let right = "a size above zero such as 1048576, \"64KiB\" or \"100MiB\"";
        let size = self.measured(name, default, right, units::size);
        if size > 0 {
            self.read(name, effective::text(&units::size_text(size)));
        }
        size
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
        let address = self.text_or(name, || default.to_owned());
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
