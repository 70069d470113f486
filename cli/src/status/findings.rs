//! What is wrong, what can be done, and whether a standby is ready to go on stage. Pure.

mod clusters;
mod processes;
mod targets;

use std::time::Duration;

use serde::Serialize;

use super::picture::{IntentsSeen, Part, Picture};

/// How bad it is. The worst decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something is wrong, and the standby is as ready as it was.
    Warning,
    /// Whether the standby is ready cannot be told.
    Unknown,
    /// The standby is not ready.
    NotReady,
}

/// Whether a standby is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It could go on stage now.
    Ready,
    /// It cannot be told.
    Unknown,
    /// It should not.
    NotReady,
}

/// Something that somebody should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its name, which stays.
    pub code: &'static str,
    /// The cluster, process or part that it is about.
    pub about: String,
    /// The standby whose readiness it decides; `None`: of all.
    pub target: Option<String>,
    /// What is the matter.
    pub text: String,
    /// What can be done.
    pub advice: String,
}

/// What decides.
pub struct Rules {
    /// A standby that is further behind is not ready.
    pub max_lag: Duration,
    /// An intent that is open for longer should have been settled.
    pub settled_after: Duration,
    /// The configuration file, for commands that are advised.
    pub config: String,
}

/// Everything that somebody should know, the worst first.
#[must_use]
pub fn findings(picture: &Picture, rules: &Rules) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    kafka(picture, &mut found);
    clusters::judge(picture, &mut found);
    targets::judge(picture, rules, &mut found);
    processes::judge(picture, rules, &mut found);
    intents(picture, rules, &mut found);
    found.0.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found.0
}

/// Whether a standby is ready, by what was found.
#[must_use]
pub fn outcome(findings: &[Finding], target: &str) -> Outcome {
    let concerns = |finding: &&Finding| finding.target.as_deref().is_none_or(|other| other == target);
    match findings.iter().filter(concerns).map(|finding| finding.severity).max() {
        Some(Severity::NotReady) => Outcome::NotReady,
        Some(Severity::Unknown) => Outcome::Unknown,
        _ => Outcome::Ready,
    }
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        about: &str,
        target: Option<&str>,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.0.push(Finding {
            severity,
            code,
            about: about.to_owned(),
            target: target.map(str::to_owned),
            text: text.into(),
            advice: advice.into(),
        });
    }
}

fn kafka(picture: &Picture, found: &mut Findings) {
    let brokers = picture.brokers.join(", ");
    match &picture.kafka {
        Part::Unknown { error } => found.add(
            Severity::Unknown,
            "kafka_unreachable",
            "kafka",
            None,
            format!("Kafka at {brokers} cannot be reached: {error}"),
            "writes are refused until it is back, reads go on: start the brokers, or mend kafka.bootstrap_servers and kafka.options",
        ),
        Part::Known(seen) if !seen.begun => found.add(
            Severity::NotReady,
            "not_begun",
            "kafka",
            None,
            "replication has not begun: there is no control topic",
            "start a gateway and a consumer; or is kafka.topic_prefix another one?",
        ),
        Part::Known(_) => {
            for placement in picture.placements.iter().filter(|placement| placement.epoch.is_none()) {
                found.add(
                    Severity::NotReady,
                    "no_roles",
                    &placement.placement,
                    None,
                    format!("Kafka does not say who is the primary of {} yet", placement.placement),
                    "start a gateway while the primary is up: it records that",
                );
            }
        }
    }
}

fn intents(picture: &Picture, rules: &Rules, found: &mut Findings) {
    match &picture.intents {
        // That Kafka is away is said once.
        Part::Unknown { .. } if picture.kafka.known().is_none_or(|seen| !seen.begun) => {}
        Part::Unknown { error } => found.add(
            Severity::Warning,
            "intents_unknown",
            "intents",
            None,
            format!("whether writes wait to be settled is not known: {error}"),
            "ask again",
        ),
        Part::Known(IntentsSeen { open, oldest_seconds }) if *oldest_seconds > rules.settled_after.as_secs_f64() => {
            let writes = open.map_or_else(|| "writes".to_owned(), |open| crate::text::count(open as usize, "write"));
            found.add(
                Severity::Warning,
                "intents_old",
                "intents",
                None,
                format!("{writes} nobody has settled, the oldest for {}", super::text::span(*oldest_seconds)),
                "consumers settle them by reading the primary: it must be up, and a consumer must run; the logs of consumers say what they wait for",
            );
        }
        Part::Known(_) => {}
    }
}

#[cfg(test)]
pub mod tests;
