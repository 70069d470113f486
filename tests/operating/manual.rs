//! What the manual says of metrics, and whether processes show just that.

use std::collections::{BTreeMap, BTreeSet};

use hyper::StatusCode;
use understudy_common::exposition::Metrics;

/// The tables under `## Metrics` in the README.
pub struct Manual(BTreeMap<String, Row>);

struct Row {
    of: String,
    unit: String,
    labels: BTreeMap<String, Values>,
}

enum Values {
    Listed(BTreeSet<String>),
    /// A kind of values that the configuration, or somebody else's standard, bounds.
    Kind(String),
}

/// What the kinds of values are on a stage.
pub type Kinds<'a> = &'a [(&'static str, &'a [&'a str])];

/// What a process shows, and which headings of tables are about it.
pub struct Shown {
    /// Its name, for messages.
    pub who: &'static str,
    /// Tables of which every row must be shown by it, or by another process of this name.
    pub whole: &'static [&'static str],
    /// `/metrics`.
    pub text: String,
}

/// Tables of rows that any process may show.
const ANYBODY: &str = "with TLS";

impl Manual {
    /// Reads the tables.
    pub fn read(readme: &str) -> Self {
        let section = readme.split("\n## Metrics\n").nth(1).expect("a section Metrics");
        let section = section.split("\n## ").next().unwrap_or(section);
        let (mut rows, mut of) = (BTreeMap::new(), String::new());
        for line in section.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, labels, unit, meaning] = cells[..] else { panic!("four cells are in a row: {line}") };
            if labels == "labels" {
                of = name.to_owned();
                continue;
            }
            let name = name.trim_matches('`').to_owned();
            assert!(!meaning.is_empty() || name.starts_with("process_"), "{name} means something");
            let row = Row { of: of.clone(), unit: unit.to_owned(), labels: labels_of(labels) };
            assert!(rows.insert(name.clone(), row).is_none(), "{name} stands there twice");
        }
        Self(rows)
    }

    /// Everything that is wrong with what processes show, by this manual.
    pub fn faults(&self, shown: &[Shown], kinds: Kinds<'_>) -> BTreeSet<String> {
        let mut faults = BTreeSet::new();
        let mut seen: BTreeSet<(&str, String)> = BTreeSet::new();
        for Shown { who, whole, text } in shown {
            let families = families(text);
            for (name, family) in &families {
                let mut fault = |what: &str| {
                    faults.insert(format!("{who}: {name} {what}"));
                };
                seen.insert((who, name.clone()));
                if family.help.split_whitespace().count() == 0 {
                    fault("has no help");
                }
                let Some(row) = self.0.get(name) else {
                    fault("is not in the manual");
                    continue;
                };
                if !whole.contains(&row.of.as_str()) && row.of != ANYBODY {
                    fault(&format!("stands in the manual as one {}", row.of));
                }
                for what in misnamed(name, &family.kind, &row.unit) {
                    fault(&what);
                }
            }
            for (sample, labels) in Metrics::parse(text).samples() {
                let (name, histogram) = family_of(sample, &families);
                let Some(row) = self.0.get(name) else { continue };
                let mut fault = |what: String| {
                    faults.insert(format!("{who}: {name} {what}"));
                };
                let labels = labels.iter().filter(|(label, _)| !(histogram && *label == "le"));
                let found: BTreeMap<&str, &str> =
                    labels.map(|(label, value)| (label.as_str(), value.as_str())).collect();
                if !found.keys().eq(row.labels.keys().map(String::as_str).collect::<BTreeSet<_>>().iter()) {
                    fault(format!("has the labels {:?}", found.keys().collect::<Vec<_>>()));
                }
                for (label, value) in found {
                    if row.labels.get(label).is_some_and(|values| !values.allow(value, kinds)) {
                        fault(format!("has {label}={value:?}, which the manual does not know"));
                    }
                }
            }
        }
        for (name, row) in &self.0 {
            for Shown { who, whole, .. } in shown {
                if whole.contains(&row.of.as_str()) && !seen.contains(&(who, name.clone())) {
                    faults.insert(format!("{who}: {name} is in the manual, and not shown"));
                }
            }
            if !seen.iter().any(|(_, seen)| seen == name) {
                faults.insert(format!("{name} is in the manual, and nobody shows it"));
            }
        }
        faults
    }
}

fn labels_of(cell: &str) -> BTreeMap<String, Values> {
    cell.split(';')
        .filter(|label| !label.trim().is_empty())
        .map(|label| {
            let (label, values) = label.split_once(':').expect("a label has values");
            let values = values.trim();
            let kind = values.strip_prefix('*').and_then(|kind| kind.strip_suffix('*'));
            let values = match kind {
                Some(kind) => Values::Kind(kind.to_owned()),
                None => Values::Listed(values.split(", ").map(str::to_owned).collect()),
            };
            (label.trim().trim_matches('`').to_owned(), values)
        })
        .collect()
}

impl Values {
    fn allow(&self, value: &str, kinds: Kinds<'_>) -> bool {
        match self {
            Self::Listed(values) => values.contains(value),
            Self::Kind(kind) if kind == "status" => value == "other" || is_registered(value),
            Self::Kind(kind) => kinds.iter().any(|(known, values)| known == kind && values.contains(&value)),
        }
    }
}

/// Whether it is a status that IANA has registered.
fn is_registered(status: &str) -> bool {
    status.parse::<StatusCode>().is_ok_and(|status| status.canonical_reason().is_some())
}

struct Family {
    help: String,
    kind: String,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        for heading in ["# HELP ", "# TYPE "] {
            let Some(rest) = line.strip_prefix(heading) else { continue };
            let (name, what) = rest.split_once(' ').unwrap_or((rest, ""));
            let family = families.entry(name.to_owned()).or_insert(Family { help: String::new(), kind: String::new() });
            if heading.starts_with("# H") {
                what.clone_into(&mut family.help)
            } else {
                what.clone_into(&mut family.kind)
            }
        }
    }
    families
}

/// The family that a sample belongs to, and whether that is a histogram.
fn family_of<'a>(sample: &'a str, families: &BTreeMap<String, Family>) -> (&'a str, bool) {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|part| sample.strip_suffix(part));
    of_histogram
        .filter(|name| families.get(*name).is_some_and(|family| family.kind == "histogram"))
        .map(|name| (name, true))
        .next()
        .unwrap_or((sample, false))
}

/// What is against Prometheus' conventions: <https://prometheus.io/docs/practices/naming/>.
fn misnamed(name: &str, kind: &str, unit: &str) -> Vec<String> {
    const DERIVED: [&str; 12] =
        ["ms", "millis", "milliseconds", "us", "ns", "minutes", "hours", "days", "kb", "kib", "mb", "percent"];
    let words: BTreeSet<&str> = name.split('_').collect();
    let mut faults = Vec::new();
    if !matches!(name.split('_').next(), Some("understudy" | "process")) {
        faults.push("has no prefix of ours".to_owned());
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        faults.push("is not in snake case".to_owned());
    }
    if name.ends_with("_total") != (kind == "counter") {
        faults.push(format!("is a {kind}, and `_total` is for counters"));
    }
    if ["_bucket", "_sum", "_count"].iter().any(|part| name.ends_with(part)) {
        faults.push("ends as parts of histograms do".to_owned());
    }
    if DERIVED.iter().any(|unit| words.contains(unit)) {
        faults.push("is not in a base unit".to_owned());
    }
    if words.contains("seconds") != unit.split(' ').any(|word| word == "s")
        || words.contains("bytes") != (unit == "bytes")
    {
        faults.push(format!("does not say its unit, {unit}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "\n## Metrics\n\n| of gateways | labels | unit | m |\n|---|---|---|---|\n\
        | `understudy_calls_total` | `reason`: a, b | calls | m |\n\
        | `understudy_wait_seconds` | `target`: *target* | s | m |\n\
        | `understudy_answers_total` | `status`: *status* | answers | m |\n\n## Else\n| x |\n";
    const GOOD: &str = "# HELP understudy_calls_total Calls\n# TYPE understudy_calls_total counter\n\
        understudy_calls_total{reason=\"a\"} 1\n\
        # HELP understudy_wait_seconds Waiting\n# TYPE understudy_wait_seconds histogram\n\
        understudy_wait_seconds_bucket{target=\"t\",le=\"+Inf\"} 1\nunderstudy_wait_seconds_sum{target=\"t\"} 1\n\
        # HELP understudy_answers_total Answers\n# TYPE understudy_answers_total counter\n\
        understudy_answers_total{status=\"418\"} 1\nunderstudy_answers_total{status=\"other\"} 1\n";

    fn faults(text: &str) -> Vec<String> {
        let shown = Shown { who: "g", whole: &["of gateways"], text: text.to_owned() };
        Manual::read(README).faults(&[shown], &[("target", &["t"])]).into_iter().collect()
    }

    #[test]
    fn what_is_not_as_the_manual_says_is_found() {
        assert_eq!(faults(GOOD), Vec::<String>::new());
        for (from, to, fault) in [
            ("Calls\n", "\n", "understudy_calls_total has no help"),
            (" counter\nunderstudy_calls", " gauge\nunderstudy_calls", "`_total` is for counters"),
            ("understudy_calls_total", "understudy_cries_total", "understudy_cries_total is not in the manual"),
            (
                "understudy_calls_total",
                "understudy_cries_total",
                "understudy_calls_total is in the manual, and not shown",
            ),
            ("reason=\"a\"", "reason=\"/some/path\"", "has reason=\"/some/path\", which the manual does not know"),
            ("target=\"t\",le", "target=\"u\",le", "has target=\"u\""),
            ("{reason=\"a\"}", "{reason=\"a\",client=\"10.0.0.7\"}", "has the labels [\"client\", \"reason\"]"),
            ("{reason=\"a\"}", "", "has the labels []"),
            ("status=\"418\"", "status=\"777\"", "has status=\"777\""),
        ] {
            let found = faults(&GOOD.replace(from, to));
            assert!(found.iter().any(|found| found.contains(fault)), "{fault} is not in {found:?}");
        }
    }

    #[test]
    fn names_follow_the_conventions() {
        assert!(misnamed("understudy_lag_seconds", "gauge", "s").is_empty());
        assert!(misnamed("understudy_bulk_bytes", "histogram", "bytes").is_empty());
        for (name, kind, unit) in [
            ("lag_seconds", "gauge", "s"),
            ("understudy_lag", "gauge", "s"),
            ("understudy_lag_ms", "gauge", "ms"),
            ("understudy_lagSeconds", "gauge", "s"),
            ("understudy_lag_seconds_total", "gauge", "s"),
            ("understudy_calls", "counter", "calls"),
            ("understudy_calls_count", "gauge", "calls"),
            ("understudy_size", "gauge", "bytes"),
        ] {
            assert!(!misnamed(name, kind, unit).is_empty(), "{name}");
        }
    }
}
