//! What two copies of a document have in common. Pure.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::json_text;

/// What names a document: the same id under two routings is two documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentKey {
    /// Concrete index.
    pub index: Arc<str>,
    /// Id.
    pub id: String,
    /// Routing, when it has one.
    pub routing: Option<String>,
}

/// A cluster's copy of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    /// There is none.
    Absent,
    /// There is one.
    Present {
        /// Its routing: a get finds an id under any routing that leads to the same shard.
        routing: Option<String>,
        /// Its source as the server printed it; `None` where the index keeps none.
        source: Option<&'a str>,
    },
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentDifference {
    /// On the primary alone.
    Missing,
    /// On the target alone.
    Extra,
    /// On both, under two routings of one shard.
    Routing,
    /// On both, with two sources.
    Source,
}

/// Something that changes when what it was taken from changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print(u64);

/// What differs between the copies, if anything does.
pub fn compare(primary: &Stored<'_>, target: &Stored<'_>) -> Option<DocumentDifference> {
    match (primary, target) {
        (Stored::Absent, Stored::Absent) => None,
        (Stored::Present { .. }, Stored::Absent) => Some(DocumentDifference::Missing),
        (Stored::Absent, Stored::Present { .. }) => Some(DocumentDifference::Extra),
        (Stored::Present { routing: ours, source: one }, Stored::Present { routing: theirs, source: other }) => {
            if ours != theirs {
                return Some(DocumentDifference::Routing);
            }
            let same = match (one, other) {
                (Some(one), Some(other)) => json_text::same(one, other),
                (one, other) => one.is_none() && other.is_none(),
            };
            (!same).then_some(DocumentDifference::Source)
        }
    }
}

impl Stored<'_> {
    /// Equal for equal copies, whitespace aside.
    pub fn print(&self) -> Print {
        match self {
            Stored::Absent => Print::of(&()),
            Stored::Present { routing, source } => {
                let significant: Option<Vec<u8>> = source.map(|text| json_text::significant(text).collect());
                Print::of(&(routing, significant))
            }
        }
    }
}

impl Print {
    /// Of anything.
    pub fn of(value: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored<'a>(routing: Option<&str>, source: &'a str) -> Stored<'a> {
        Stored::Present { routing: routing.map(str::to_owned), source: Some(source) }
    }

    #[test]
    fn presence_routing_and_source() {
        let plain = stored(None, "{}");
        assert_eq!(compare(&Stored::Absent, &Stored::Absent), None);
        assert_eq!(compare(&plain, &Stored::Absent), Some(DocumentDifference::Missing));
        assert_eq!(compare(&Stored::Absent, &plain), Some(DocumentDifference::Extra));
        assert_eq!(compare(&plain, &stored(None, "{ }")), None);
        assert_eq!(compare(&plain, &stored(Some("r"), "{}")), Some(DocumentDifference::Routing));
        assert_eq!(compare(&stored(Some("r"), "{}"), &stored(Some("q"), "[]")), Some(DocumentDifference::Routing));
        assert_eq!(compare(&plain, &stored(None, "{\"a\":1}")), Some(DocumentDifference::Source));
        let none = Stored::Present { routing: None, source: None };
        assert_eq!(compare(&none, &none), None);
        assert_eq!(compare(&none, &plain), Some(DocumentDifference::Source));
    }

    #[test]
    fn prints_follow_the_comparison() {
        let one = stored(None, "{\"a\": 1.10}");
        assert_eq!(one.print(), stored(None, "{\"a\":1.10}").print());
        assert_ne!(one.print(), stored(None, "{\"a\":1.1}").print());
        assert_ne!(one.print(), stored(Some("r"), "{\"a\":1.10}").print());
        assert_ne!(one.print(), Stored::Absent.print());
    }
}
