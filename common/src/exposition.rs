//! What the admin port shows at `/metrics`, read back: Prometheus' text format.

use std::collections::{BTreeMap, BTreeSet};

/// What a process says of itself.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads Prometheus' text format. Lines that are none are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { samples: text.lines().filter_map(sample).collect() }
    }

    /// The sum of all samples of this name that have these labels (and others, perhaps); 0 where there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).sum()
    }

    /// The greatest of them; 0 where there is none.
    #[must_use]
    pub fn max(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).fold(0.0, f64::max)
    }

    /// Whether there is a sample of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.name == name)
    }

    /// The values of a label of all samples of this name, each once.
    #[must_use]
    pub fn labels(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let of_name = self.samples.iter().filter(|sample| sample.name == name);
        of_name.filter_map(|sample| sample.labels.get(label)).map(String::as_str).collect()
    }

    /// The value of a label of the first sample of this name.
    #[must_use]
    pub fn label(&self, name: &str, label: &str) -> Option<&str> {
        self.labels(name, label).into_iter().next()
    }

    /// The names of all samples with their labels.
    pub fn samples(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>)> {
        self.samples.iter().map(|sample| (sample.name.as_str(), &sample.labels))
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        self.samples
            .iter()
            .filter(move |sample| {
                sample.name == name
                    && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|has| has == value))
            })
            .map(|sample| sample.value)
    }
}

fn sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.trim().to_owned(), value);
            rest = after;
        }
        rest = &rest[1..];
    }
    // A timestamp may follow the value.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let metrics = Metrics::parse(
            "# HELP lag Records\nlag{target=\"b\",partition=\"0\"} 3\nlag{target=\"b\",partition=\"1\"} 4.5\n\
             lag{target=\"c, \\\"}\",partition=\"0\"} 1e3 1700000000\nup 1\nno sample\n",
        );
        assert_eq!(metrics.sum("lag", &[("target", "b")]), 7.5);
        assert_eq!(metrics.max("lag", &[("target", "b")]), 4.5);
        assert_eq!(metrics.sum("lag", &[("target", "c, \"}"), ("partition", "0")]), 1000.0);
        assert_eq!(metrics.sum("up", &[]), 1.0);
        assert_eq!(metrics.sum("up", &[("x", "y")]), 0.0);
        assert!(metrics.has("up") && !metrics.has("down"));
    }
}
