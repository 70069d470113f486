//! The judge: what is wrong, from the ledger and from what was seen. Decides alone, without asking anybody.
//!
//! It shares no code with what is judged, and concludes only what follows: a write of unknown outcome may be there or not;
//! all others leave no choice.

mod ledgered;
mod letters;
mod sides;
mod system;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use crate::{
    history::Histories,
    seen::{Document, DocumentKey, Seen, Side},
};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Primary and backup hold different things under one name.
    Different,
    /// A field has another type on the backup.
    OtherField,
    /// What was acknowledged is neither there nor superseded.
    Lost,
    /// What is there was written by nobody, or to another document.
    Unwritten,
    /// What is there was refused: "nothing was written".
    RefusedYetThere,
    /// It was acknowledged at another place in the shard's order: carried out twice.
    Twice,
    /// One write id in several documents.
    Doubled,
    /// What is there is not what was sent.
    Changed,
    /// It was acknowledged before the log of the target had it.
    NotInLog,
    /// The log holds what nobody wrote.
    LogUnwritten,
    /// The backup stores another version than the log gives.
    OtherVersion,
    /// The target is said to refuse what it does not refuse.
    DeadLetter,
    /// Offsets are beyond the end, or behind it.
    Offsets,
    /// An intent stays open.
    Unsettled,
    /// Fresh writes do not get through.
    Stuck,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule it breaks.
    pub rule: Rule,
    /// The document it concerns.
    pub document: Option<DocumentKey>,
    /// What was found.
    pub says: String,
}

/// Documents by name.
type ByKey<'a> = BTreeMap<DocumentKey, &'a Document>;

/// Judges. Where nobody settles what is in doubt (`reconciled` is false), open intents are no violation, and their
/// documents may differ.
pub fn judge(histories: &Histories, seen: &Seen, reconciled: bool) -> Vec<Violation> {
    let mut violations = Vec::new();
    let primary = by_key(&seen.primary, seen, &mut violations);
    let backup = by_key(&seen.backup, seen, &mut violations);
    violations.extend(differences(seen, reconciled));
    violations.extend(ledgered::lost(histories, &primary));
    violations.extend(ledgered::in_log(histories, seen));
    for (side, name) in [(&primary, "primary"), (&backup, "backup")] {
        violations.extend(ledgered::unwritten(histories, seen, side, name));
    }
    violations.extend(ledgered::log_unwritten(histories, seen));
    violations.extend(sides::versions(seen, &backup).into_iter().filter(|violation| {
        !violation.document.as_ref().is_some_and(|key| letters::explain(seen, &primary, &backup, key))
    }));
    violations.extend(letters::without_reason(seen));
    violations.extend(system::offsets(seen));
    if reconciled {
        violations.extend(system::unsettled(seen));
    }
    violations
}

/// Where both sides differ, as they are now.
pub fn differences(seen: &Seen, reconciled: bool) -> Vec<Violation> {
    let mut doubled = Vec::new();
    let (primary, backup) = (by_key(&seen.primary, seen, &mut doubled), by_key(&seen.backup, seen, &mut doubled));
    let excused = |id: &str| !reconciled && seen.open.values().flatten().any(|open| open == id);
    let mut found = sides::documents(&primary, &backup);
    found.retain(|violation| !violation.document.as_ref().is_some_and(|key| excused(&key.id)));
    found.retain(|violation| {
        !violation.document.as_ref().is_some_and(|key| letters::explain(seen, &primary, &backup, key))
    });
    if reconciled || seen.open.is_empty() {
        found.extend(sides::fields(&seen.primary, &seen.backup));
    }
    found
}

fn by_key<'a>(side: &'a Side, seen: &Seen, violations: &mut Vec<Violation>) -> ByKey<'a> {
    let mut documents = ByKey::new();
    for document in &side.documents {
        let key = seen.shards.key(&document.index, &document.id, document.routing.as_deref());
        if let Some(other) = documents.insert(key.clone(), document) {
            violations.push(Violation {
                rule: Rule::Doubled,
                says: format!("one shard shows it twice, as {} and as {}", other.source, document.source),
                document: Some(key),
            });
        }
    }
    documents
}

impl Violation {
    fn of(rule: Rule, document: &DocumentKey, says: impl Into<String>) -> Self {
        Self { rule, document: Some(document.clone()), says: says.into() }
    }

    /// One that concerns no single document.
    pub fn of_system(rule: Rule, says: impl Into<String>) -> Self {
        Self { rule, document: None, says: says.into() }
    }
}

impl Rule {
    /// What it says to a reader.
    pub fn title(self) -> &'static str {
        match self {
            Self::Different => "primary and backup differ",
            Self::OtherField => "a field's type differs",
            Self::Lost => "an acknowledged write is lost",
            Self::Unwritten => "nobody wrote this",
            Self::RefusedYetThere => "refused, and yet it is there",
            Self::Twice => "carried out twice",
            Self::Doubled => "one write in several documents",
            Self::Changed => "not what was sent",
            Self::NotInLog => "acknowledged before the log had it",
            Self::LogUnwritten => "the log holds what nobody wrote",
            Self::OtherVersion => "not the version of the log",
            Self::DeadLetter => "a dead letter without a reason",
            Self::Offsets => "offsets are wrong",
            Self::Unsettled => "an intent stays open",
            Self::Stuck => "fresh writes do not get through",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule.title())?;
        if let Some(key) = &self.document {
            write!(f, "{key}: ")?;
        }
        write!(f, "{}", self.says)
    }
}
