//! `[[placements]]`: which cluster is primary for which indices, and which clusters follow.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ClusterConfig,
    clusters::check_name,
    reader::{Errors, Section},
};

/// A pattern of indices, the cluster that is primary for them, and those that follow.
///
/// Roles live in Kafka with an epoch; the configuration holds the first ones.
#[derive(Clone, Debug)]
pub struct PlacementConfig {
    /// Its name.
    pub name: String,
    /// Its indices.
    pub indices: IndexPattern,
    /// The cluster that is written.
    pub primary: String,
    /// The clusters that follow.
    pub targets: Vec<String>,
}

/// Names of indices, with `*` for any characters, separated by commas: `logs-*,flights`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPattern(String);

/// What a write to an index outside every placement gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// An error.
    Refuse,
    /// The primary, without replication.
    Pass,
}

impl IndexPattern {
    /// A pattern from its text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an index belongs to it.
    #[must_use]
    pub fn matches(&self, index: &str) -> bool {
        self.0.split(',').map(str::trim).any(|pattern| matches_one(pattern, index))
    }

    /// Whether every index belongs to it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.split(',').any(|pattern| pattern.trim() == "*")
    }
}

fn matches_one(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            match rest.find(middle) {
                Some(at) => rest = &rest[at + middle.len()..],
                None => return false,
            }
        }
    }
    match last {
        None => rest.is_empty(),
        Some(end) => rest.ends_with(end),
    }
}

pub(super) fn read_all(
    sections: Vec<Section<'_>>,
    clusters: &BTreeMap<String, ClusterConfig>,
    errors: &Errors,
) -> Vec<PlacementConfig> {
    let mut names = BTreeSet::new();
    let mut placements = Vec::new();
    for section in sections {
        let path = section.path.clone();
        let placement = read(section, clusters);
        check_name(&format!("{path}.name"), &placement.name, errors);
        if !names.insert(placement.name.clone()) {
            errors.note(&format!("{path}.name"), format!("{:?} stands twice", placement.name));
        }
        placements.push(placement);
    }
    match placements.len() {
        0 => errors.note(
            "placements",
            "none is configured; one says which cluster is primary and which follow ([[placements]])",
        ),
        1 => {}
        _ => errors.note("placements", "several placements are not served yet; give one"),
    }
    placements
}

fn read(mut section: Section<'_>, clusters: &BTreeMap<String, ClusterConfig>) -> PlacementConfig {
    let known = clusters.keys().cloned().collect::<Vec<_>>().join(", ");
    let name = section.text_or("name", || "default".to_owned());
    let indices = section.text("indices").unwrap_or_default();
    let allowed = |c: char| !c.is_whitespace() && !c.is_uppercase() && !"\\/?\"<>|#".contains(c);
    if indices.is_empty() || !indices.split(',').all(|part| !part.trim().is_empty() && part.trim().chars().all(allowed))
    {
        section.note(
            "indices",
            format!("must be a pattern of index names such as \"*\" or \"logs-*,flights\", not {indices:?}"),
        );
    }
    let primary = section.text("primary").unwrap_or_default();
    if !clusters.contains_key(&primary) {
        section.note("primary", format!("must be one of the clusters ({known}), not {primary:?}"));
    }
    let targets = section.texts("targets");
    if targets.is_empty() {
        section.note("targets", format!("must name at least one of the clusters ({known})"));
    }
    for (place, target) in targets.iter().enumerate() {
        if !clusters.contains_key(target) {
            section.note("targets", format!("must be of the clusters ({known}), and {target:?} is not"));
        } else if *target == primary {
            section.note("targets", format!("{target:?} is the primary, which cannot follow itself"));
        } else if targets[..place].contains(target) {
            section.note("targets", format!("{target:?} stands twice"));
        }
    }
    section.finish();
    PlacementConfig { name, indices: IndexPattern(indices), primary, targets }
}

pub(super) fn read_unplaced(root: &mut Section<'_>, placements: &[PlacementConfig], errors: &Errors) -> Unplaced {
    match root.text("unplaced_writes").as_deref() {
        Some("refuse") => Unplaced::Refuse,
        Some("pass") => Unplaced::Pass,
        Some(other) => {
            errors.note(
                "unplaced_writes",
                format!("must be \"refuse\" or \"pass\" (pass: without replication), not {other:?}"),
            );
            Unplaced::Refuse
        }
        None => {
            if !placements.is_empty() && !placements.iter().any(|placement| placement.indices.is_everything()) {
                errors.note("unplaced_writes", "must say what a write to an index outside every placement gets: \"refuse\", or \"pass\" (without replication)");
            }
            Unplaced::Refuse
        }
    }
}
