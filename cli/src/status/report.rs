//! The picture with what it means.

use serde::Serialize;

use super::{
    findings::{Finding, Outcome, Rules, findings, outcome},
    picture::Picture,
};
use crate::text::utc_iso;

/// All that is printed.
#[derive(Serialize)]
pub struct Report {
    /// Whether every standby is ready.
    pub result: Outcome,
    /// When it was.
    pub at: String,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Each standby.
    pub standbys: Vec<Standby>,
    /// What was seen.
    #[serde(flatten)]
    pub picture: Picture,
}

/// Whether a standby is ready.
#[derive(Serialize)]
pub struct Standby {
    /// Its name.
    pub target: String,
    /// Whether it is ready.
    pub result: Outcome,
}

impl Report {
    /// What the picture means, at `at_ms` in milliseconds since 1970.
    pub fn new(picture: Picture, rules: &Rules, at_ms: i64) -> Self {
        let findings = findings(&picture, rules);
        let targets = picture.placements.iter().flat_map(|placement| &placement.targets);
        let standbys: Vec<Standby> = targets
            .map(|target| Standby { target: target.target.clone(), result: outcome(&findings, &target.target) })
            .collect();
        let result = standbys.iter().map(|standby| standby.result).max().unwrap_or(Outcome::Unknown);
        Self { result, at: utc_iso(at_ms), findings, standbys, picture }
    }

    /// As JSON: a line, or a field a line.
    pub fn to_json(&self, pretty: bool) -> String {
        let json = if pretty { serde_json::to_string_pretty(self) } else { serde_json::to_string(self) };
        json.expect("names and numbers are JSON") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            findings::tests::{all_well, rules},
            picture::Part,
        },
        *,
    };

    #[test]
    fn json_keeps_its_keys() {
        let mut picture = all_well();
        picture.clusters[1].seen = Part::unknown("connection refused");
        let report = Report::new(picture, &rules(), 0);
        let json: serde_json::Value = serde_json::from_str(&report.to_json(true)).unwrap();
        for (path, wanted) in [
            ("/result", "\"not_ready\""),
            ("/at", "\"1970-01-01T00:00:00Z\""),
            ("/findings/0/severity", "\"not_ready\""),
            ("/findings/0/code", "\"target_down\""),
            ("/findings/0/target", "\"b\""),
            ("/standbys/0/result", "\"not_ready\""),
            ("/standbys/1/result", "\"ready\""),
            ("/kafka/begun", "true"),
            ("/placements/0/epoch", "1"),
            ("/placements/0/targets/0/lag/records", "2"),
            ("/placements/0/targets/0/consumers/0", "\"consumer-1\""),
            ("/placements/0/targets/0/dead_letters", "0"),
            ("/clusters/0/seen/health", "\"green\""),
            ("/clusters/1/seen/error", "\"connection refused\""),
            ("/intents/open", "3"),
            ("/processes/0/seen/kind", "\"gateway\""),
        ] {
            assert_eq!(json.pointer(path).map(ToString::to_string).as_deref(), Some(wanted), "{path}");
        }
        assert_eq!(report.to_json(false).lines().count(), 1);
    }
}
