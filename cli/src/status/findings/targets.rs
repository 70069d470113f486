//! What Kafka says of each standby.

use super::{Findings, Rules, Severity};
use crate::{
    status::{
        picture::{LagSeen, Part, Picture, ProcessState, TargetSeen},
        text::span,
    },
    text::count,
};

pub(super) fn judge(picture: &Picture, rules: &Rules, found: &mut Findings) {
    // What is not there, or cannot be reached, is said once.
    if picture.kafka.known().is_none_or(|seen| !seen.begun) {
        return;
    }
    for target in picture.placements.iter().flat_map(|placement| &placement.targets) {
        One { target, picture, rules, found }.judge();
    }
}

struct One<'a> {
    target: &'a TargetSeen,
    picture: &'a Picture,
    rules: &'a Rules,
    found: &'a mut Findings,
}

impl One<'_> {
    fn add(&mut self, severity: Severity, code: &'static str, text: impl Into<String>, advice: impl Into<String>) {
        let name = &self.target.target;
        self.found.add(severity, code, name, Some(name), text, advice);
    }

    fn command(&self, words: &str) -> String {
        format!("understudy {words} --config {} --target {}", self.rules.config, self.target.target)
    }

    fn judge(&mut self) {
        let name = &self.target.target;
        match &self.target.lag {
            Part::Known(lag) => self.lag(lag),
            Part::Unknown { error } => self.add(
                Severity::Unknown,
                "lag_unknown",
                format!("how far {name} is behind is not known: {error}"),
                "ask again; its topics are made by gateways and consumers when they first run",
            ),
        }
        match &self.target.consumers {
            Part::Known(members) if members.is_empty() => self.add(
                Severity::NotReady,
                "no_consumer",
                format!("no consumer of {name} runs: nothing is applied"),
                format!("start one: understudy-consumer --config {} --target {name}", self.rules.config),
            ),
            Part::Known(_) => {}
            Part::Unknown { error } => self.add(
                Severity::Warning,
                "consumers_unknown",
                format!("whether consumers of {name} run is not known: {error}"),
                "ask again",
            ),
        }
        match &self.target.dead_letters {
            Part::Known(0) => {}
            Part::Known(letters) => self.add(
                Severity::NotReady,
                "dead_letters",
                format!("{name} lacks {} that it refused for good", count(*letters as usize, "write")),
                format!("decide upon them: {}", self.command("dead-letters list")),
            ),
            Part::Unknown { error } => self.add(
                Severity::Unknown,
                "dead_letters_unknown",
                format!("whether {name} refused writes is not known: {error}"),
                "ask again",
            ),
        }
        if let (Part::Known(lag), Part::Known(Some(headroom)), Some(retention)) =
            (&self.target.lag, &self.target.headroom_seconds, self.target.retention_seconds)
            && lag.records > 0
            && *headroom < retention / 4.0
        {
            let left = if *headroom > 0.0 { format!("in {}", span(*headroom)) } else { "any moment".to_owned() };
            self.add(
                Severity::Warning,
                "retention_short",
                format!("Kafka deletes what {name} has not applied: {left}"),
                "bring it back before that, or raise retention.ms of its topic now; else it has a gap",
            );
        }
    }

    fn lag(&mut self, lag: &LagSeen) {
        let name = &self.target.target;
        if !lag.gaps.is_empty() {
            self.add(
                Severity::NotReady,
                "gap",
                format!("{name} has a gap: Kafka deleted records that it never applied ({})", partitions(&lag.gaps)),
                format!(
                    "nothing is skipped silently, so these partitions stand still; see what is missing: {}",
                    self.command("verify")
                ),
            );
        }
        if !lag.anew.is_empty() {
            self.add(
                Severity::NotReady,
                "topic_anew",
                format!(
                    "the topic of {name} ends before what was applied of it: it was made anew ({})",
                    partitions(&lag.anew)
                ),
                format!("see what is missing: {}", self.command("verify")),
            );
        }
        if lag.seconds > self.rules.max_lag.as_secs_f64() {
            let text = format!("{name} is {} behind ({})", span(lag.seconds), count(lag.records as usize, "record"));
            let advice = self.why_behind();
            self.add(Severity::NotReady, "behind", text, advice);
        }
    }

    /// What can be done about lag.
    fn why_behind(&self) -> String {
        let (name, picture) = (&self.target.target, self.picture);
        if picture.clusters.iter().any(|cluster| cluster.cluster == *name && cluster.seen.known().is_none()) {
            return "it catches up when it is back".to_owned();
        }
        if self.target.consumers.known().is_some_and(Vec::is_empty) {
            return "a consumer must run".to_owned();
        }
        let any = |fits: fn(&ProcessState) -> bool| consumers_of(picture, name).any(fits);
        if any(|consumer| !consumer.stopped.is_empty()) {
            return "partitions that stopped do not go on by themselves".to_owned();
        }
        if any(|consumer| consumer.blocked.is_some_and(|blocked| blocked > 0)) {
            return format!(
                "{name} refuses writes for now (a closed or read-only index, a full disk, the service account): mend that, and consumers go on by themselves"
            );
        }
        if any(|consumer| consumer.unsettled.is_some_and(|unsettled| unsettled > 0)) {
            return "consumers commit nothing for protocol.linger after one of them died: it may be less than that; wait".to_owned();
        }
        format!(
            "wait while it catches up; if it does not: more consumers, a faster {name}; the logs of consumers say what they wait for"
        )
    }
}

/// The consumers of a target whose admin ports are known.
pub(super) fn consumers_of<'a>(picture: &'a Picture, target: &'a str) -> impl Iterator<Item = &'a ProcessState> {
    let seen = picture.processes.iter().filter_map(|process| process.seen.known());
    seen.filter(move |process| process.target.as_deref() == Some(target))
}

fn partitions(of: &[i32]) -> String {
    let names: Vec<String> = of.iter().map(ToString::to_string).collect();
    if of.len() == 1 { format!("partition {}", names[0]) } else { format!("partitions {}", names.join(", ")) }
}
