//! What concerns no single document.

use super::{Rule, Violation};
use crate::seen::Seen;

/// Every partition is committed to its end, and not beyond.
pub fn offsets(seen: &Seen) -> Vec<Violation> {
    seen.offsets
        .iter()
        .filter(|(_, (committed, end))| committed != end)
        .map(|(partition, (committed, end))| {
            let says = format!("partition {partition} is committed to {committed} and ends at {end}");
            Violation::of_system(Rule::Offsets, says)
        })
        .collect()
}

/// No intent is open.
pub fn unsettled(seen: &Seen) -> Vec<Violation> {
    seen.open
        .iter()
        .map(|(request, ids)| Violation::of_system(Rule::Unsettled, format!("{request}, of documents {ids:?}")))
        .collect()
}
