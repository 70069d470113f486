//! Are both sides equal, document by document and field by field?

use std::collections::{BTreeMap, BTreeSet};

use super::{ByKey, Rule, Violation};
use crate::seen::{Document, DocumentKey, Seen, Side, on_one_line};

/// Presence, source byte for byte (line breaks between tokens excepted, which the log cannot hold), routing.
pub fn documents(primary: &ByKey<'_>, backup: &ByKey<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut note = |key, says: String| found.push(Violation::of(Rule::Different, key, says));
    for (key, ours) in primary {
        match backup.get(key) {
            None => note(key, format!("the primary has {}, the backup has nothing", shown(ours))),
            Some(theirs) if on_one_line(&ours.source) != on_one_line(&theirs.source) => {
                note(key, format!("the primary has {}, the backup {}", shown(ours), shown(theirs)));
            }
            Some(theirs) if ours.routing != theirs.routing => {
                note(key, format!("routing {:?} on the primary, {:?} on the backup", ours.routing, theirs.routing));
            }
            Some(_) => {}
        }
    }
    for (key, theirs) in backup.iter().filter(|(key, _)| !primary.contains_key(key)) {
        note(key, format!("the primary has nothing, the backup has {}", shown(theirs)));
    }
    found
}

/// A document of the backup has the version of the greatest effect in the log: by it the target orders what comes, also after
/// roles were switched. In an index where clients give versions of their own it has whatever it was forced to.
pub fn versions(seen: &Seen, backup: &ByKey<'_>) -> Vec<Violation> {
    let counted = || seen.log.iter().filter(|effect| !effect.void);
    let of_clients: BTreeSet<&str> =
        counted().filter(|effect| effect.version != effect.packed).map(|effect| effect.index.as_str()).collect();
    let mut greatest: BTreeMap<DocumentKey, u64> = BTreeMap::new();
    for effect in counted().filter(|effect| !of_clients.contains(effect.index.as_str())) {
        let known = greatest.entry(seen.shards.key(&effect.index, &effect.id, effect.routing.as_deref())).or_default();
        *known = (*known).max(effect.packed);
    }
    let other = |(key, document): (&DocumentKey, &&Document)| {
        let version = greatest.get(key).filter(|version| **version != document.version)?;
        let says = format!("the backup has version {}, the greatest in the log is {version}", document.version);
        Some(Violation::of(Rule::OtherVersion, key, says))
    };
    backup.iter().filter_map(other).collect()
}

/// The types of the fields of each index that both sides have.
pub fn fields(primary: &Side, backup: &Side) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, ours) in &primary.fields {
        let Some(theirs) = backup.fields.get(index) else { continue };
        let paths = ours.keys().chain(theirs.keys().filter(|path| !ours.contains_key(*path)));
        for path in paths.filter(|path| ours.get(*path) != theirs.get(*path)) {
            let (one, other) = (ours.get(path), theirs.get(path));
            let says = format!("{index}: {path} is {one:?} on the primary, {other:?} on the backup");
            found.push(Violation::of_system(Rule::OtherField, says));
        }
    }
    found
}

fn shown(document: &Document) -> String {
    const SHOWN: usize = 160;
    let short: String = document.source.chars().take(SHOWN).collect();
    format!("{short} at {}/{} version {}", document.term, document.seq_no, document.version)
}
