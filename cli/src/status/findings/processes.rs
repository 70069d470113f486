//! What gateways and consumers say of themselves.

use super::{Findings, Rules, Severity};
use crate::{
    status::picture::{Part, Picture, ProcessState},
    text::count,
};

pub(super) fn judge(picture: &Picture, rules: &Rules, found: &mut Findings) {
    for process in &picture.processes {
        match &process.seen {
            Part::Unknown { error } => found.add(
                Severity::Warning,
                "process_unreachable",
                &process.address,
                None,
                format!("the admin port {} does not answer: {error}", process.address),
                "start the process, or take the port out of status.admin; the others do its work meanwhile",
            ),
            Part::Known(state) => one(&process.address, state, picture, rules, found),
        }
    }
}

fn one(address: &str, state: &ProcessState, picture: &Picture, rules: &Rules, found: &mut Findings) {
    if let Some(reason) = &state.not_ready {
        let text = format!("the {} at {address} says that it is not ready: {reason}", state.kind);
        found.add(Severity::Warning, "process_not_ready", address, None, text, "wait, or look into its log");
    }
    // Without Kafka, or a primary of a tested version, no gateway takes any, which is said.
    let is_said = picture.kafka.known().is_none_or(|seen| !seen.begun)
        || picture.clusters.iter().any(|cluster| cluster.refused_version.is_some());
    if state.takes_writes == Some(false) && !is_said {
        let text = format!("the gateway at {address} refuses writes");
        found.add(
            Severity::Warning,
            "gateway_closed",
            address,
            None,
            text,
            "its log says why (\"writes are refused\")",
        );
    }
    if state.unreadable_intents > 0 {
        let text =
            format!("{} stay open until somebody acts", count(state.unreadable_intents as usize, "unsettled write"));
        let advice = format!("the log of the consumer at {address} says which, and why");
        found.add(Severity::Warning, "intents_set_aside", address, None, text, advice);
    }
    let Some(target) = state.target.as_deref().filter(|target| {
        picture.placements.iter().flat_map(|placement| &placement.targets).any(|known| known.target == *target)
    }) else {
        return;
    };
    let mut not_ready = |code: &'static str, text: String, advice: String| {
        found.add(Severity::NotReady, code, address, Some(target), text, advice);
    };
    if state.target_is_primary {
        not_ready(
            "target_is_primary",
            format!("{target} is the primary itself, under another name"),
            format!("mend clusters.{target}.urls"),
        );
    }
    for (reason, partitions) in &state.stopped {
        let what = count(*partitions as usize, "partition");
        let (why, advice) = match reason.as_str() {
            "gap" => (
                "Kafka deleted records that it never applied",
                format!("see what is missing: understudy verify --config {} --target {target}", rules.config),
            ),
            "incarnation" => (
                "an index was deleted and made anew on the primary",
                format!("delete the index on {target}; the log of the consumer at {address} names it"),
            ),
            "newer" => ("a record that this version cannot read", "run consumers of the gateways' version".to_owned()),
            _ => ("see the log", format!("the log of the consumer at {address} says why")),
        };
        not_ready("stopped", format!("{what} of {target} stopped ({reason}): {why}"), advice);
    }
    if state.indices_waiting.is_some_and(|waiting| waiting > 0) {
        let waiting = state.indices_waiting.unwrap_or_default() as usize;
        let number = if waiting == 1 { "1 index".to_owned() } else { format!("{waiting} indices") };
        not_ready(
            "index_waits",
            format!("{number} of {target} cannot be written: the schema is not known, or refused"),
            format!("the log of the consumer at {address} says which, and what {target} answers"),
        );
    }
}
