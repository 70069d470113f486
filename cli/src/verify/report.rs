//! The result, as JSON has it. The keys are told by `understudy verify --help` and stay.

use std::sync::Arc;

use serde::Serialize;

use super::compare::DocumentDifference;

/// How a comparison ended. Of several, the last in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing differs.
    Equal,
    /// Something does.
    Different,
    /// Not everything could be compared.
    Incomplete,
}

/// All comparisons.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How it ended.
    pub result: Outcome,
    /// Each primary with each target.
    pub comparisons: Vec<ComparisonReport>,
}

/// A primary and a target.
#[derive(Debug, Serialize)]
pub struct ComparisonReport {
    /// The placement.
    pub placement: String,
    /// The primary.
    pub primary: String,
    /// The target.
    pub target: String,
    /// How it ended.
    pub result: Outcome,
    /// Why it could not be compared, or not to the end.
    pub error: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// Each index.
    pub indices: Vec<IndexReport>,
    /// The first differences.
    pub differences: Vec<Example>,
}

/// An index.
#[derive(Clone, Debug, Serialize)]
pub struct IndexReport {
    /// Its name.
    pub index: Arc<str>,
    /// How it ended.
    pub result: Outcome,
    /// Whether the primary has it.
    pub on_primary: bool,
    /// Whether the target has it.
    pub on_target: bool,
    /// Documents on the primary.
    pub primary_docs: u64,
    /// Documents on the target.
    pub target_docs: u64,
    /// Documents on the primary alone.
    pub missing: u64,
    /// Documents on the target alone.
    pub extra: u64,
    /// Documents on both that are not alike.
    pub different: u64,
    /// Its mappings.
    pub mapping: MappingResult,
    /// What differed at first only.
    pub settled: u64,
    /// Of the differences, those that were taken at first sight.
    pub not_looked_at_again: u64,
    /// What was still changing at the end.
    pub undecided: u64,
    /// Why it could not be compared.
    pub error: Option<String>,
    /// Whether every document of both sides was looked at.
    #[serde(skip)]
    pub scanned: bool,
}

/// What became of the mappings of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingResult {
    /// They are equal.
    Equal,
    /// They differ.
    Different,
    /// There are no two.
    NotCompared,
}

/// A difference that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// What kind.
    pub kind: Kind,
    /// The index.
    pub index: Arc<str>,
    /// The document's id.
    pub id: Option<String>,
    /// The document's routing.
    pub routing: Option<String>,
    /// What differs, in words.
    pub what: String,
    /// What the primary has there.
    pub primary: Option<String>,
    /// What the target has there.
    pub target: Option<String>,
}

/// Kinds of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A document on the primary alone.
    Missing,
    /// A document on the target alone.
    Extra,
    /// A document that is not alike.
    Different,
    /// An index on one side alone.
    Index,
    /// A mapping that is not alike.
    Mapping,
}

impl IndexReport {
    /// One without differences so far.
    pub fn new(index: Arc<str>, on_primary: bool, on_target: bool) -> Self {
        Self {
            index,
            result: Outcome::Equal,
            on_primary,
            on_target,
            primary_docs: 0,
            target_docs: 0,
            missing: 0,
            extra: 0,
            different: 0,
            mapping: MappingResult::NotCompared,
            settled: 0,
            not_looked_at_again: 0,
            undecided: 0,
            error: None,
            scanned: false,
        }
    }

    /// Counts a difference of a document.
    pub fn count(&mut self, difference: DocumentDifference) {
        match difference {
            DocumentDifference::Missing => self.missing += 1,
            DocumentDifference::Extra => self.extra += 1,
            DocumentDifference::Routing | DocumentDifference::Source => self.different += 1,
        }
    }

    /// Notes the mappings, `None` where the index is not.
    pub fn note_mappings(&mut self, primary: Option<&str>, target: Option<&str>) {
        self.on_primary = primary.is_some();
        self.on_target = target.is_some();
        self.mapping = match (primary, target) {
            (Some(one), Some(other)) if one == other => MappingResult::Equal,
            (Some(_), Some(_)) => MappingResult::Different,
            _ => MappingResult::NotCompared,
        };
    }

    /// How it ended, by what was found.
    pub fn conclude(&mut self) {
        let differs = self.on_primary != self.on_target
            || self.mapping == MappingResult::Different
            || self.missing + self.extra + self.different > 0;
        self.result = if self.error.is_some() || self.undecided > 0 || !self.scanned {
            Outcome::Incomplete
        } else if differs {
            Outcome::Different
        } else {
            Outcome::Equal
        };
    }
}

impl Report {
    /// All comparisons together.
    pub fn new(comparisons: Vec<ComparisonReport>) -> Self {
        let result = comparisons.iter().map(|comparison| comparison.result).max().unwrap_or(Outcome::Incomplete);
        Self { result, comparisons }
    }

    /// The JSON, with a line break at the end.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and numbers are JSON") + "\n"
    }

    /// Everything that could not be compared.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.comparisons.iter().flat_map(|comparison| {
            comparison.indices.iter().filter_map(|index| index.error.as_deref()).chain(comparison.error.as_deref())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concluded(change: impl FnOnce(&mut IndexReport)) -> Outcome {
        let mut report = IndexReport::new("i".into(), true, true);
        report.scanned = true;
        change(&mut report);
        report.conclude();
        report.result
    }

    #[test]
    fn an_index_is_equal_different_or_incomplete() {
        assert_eq!(concluded(|_| ()), Outcome::Equal);
        assert_eq!(concluded(|report| report.settled = 3), Outcome::Equal);
        assert_eq!(concluded(|report| report.extra = 1), Outcome::Different);
        assert_eq!(concluded(|report| report.on_target = false), Outcome::Different);
        assert_eq!(concluded(|report| report.mapping = MappingResult::Different), Outcome::Different);
        assert_eq!(concluded(|report| (report.missing, report.undecided) = (1, 1)), Outcome::Incomplete);
        assert_eq!(concluded(|report| report.scanned = false), Outcome::Incomplete);
        assert_eq!(concluded(|report| report.error = Some("closed".to_owned())), Outcome::Incomplete);
    }

    #[test]
    fn the_keys_stay() {
        let example = Example {
            kind: Kind::Different,
            index: "i".into(),
            id: Some("1".to_owned()),
            routing: None,
            what: "source: a".to_owned(),
            primary: Some("1.10".to_owned()),
            target: None,
        };
        let report = Report::new(vec![ComparisonReport {
            placement: "p".to_owned(),
            primary: "a".to_owned(),
            target: "b".to_owned(),
            result: Outcome::Different,
            error: None,
            seconds: 1.5,
            indices: vec![IndexReport::new("i".into(), true, false)],
            differences: vec![example],
        }]);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"result":"different","comparisons":[{"placement":"p","primary":"a","target":"b","#,
                r#""result":"different","error":null,"seconds":1.5,"indices":[{"index":"i","result":"equal","#,
                r#""on_primary":true,"on_target":false,"primary_docs":0,"target_docs":0,"missing":0,"extra":0,"#,
                r#""different":0,"mapping":"not_compared","settled":0,"not_looked_at_again":0,"undecided":0,"#,
                r#""error":null}],"differences":[{"kind":"different","index":"i","id":"1","routing":null,"#,
                r#""what":"source: a","primary":"1.10","target":null}]}]}"#
            )
        );
    }
}
