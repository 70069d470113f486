//! Dead letters: each has a reason that follows from what it holds, and explains the difference of one document.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ByKey, Rule, Violation};
use crate::seen::{DocumentKey, Letter, Published, Seen, on_one_line};

/// What Elasticsearch calls it when a field does not take a value: until 8.4, and since.
const REFUSALS: [&str; 2] = ["mapper_parsing_exception", "document_parsing_exception"];

/// Dead letters of what no target refuses here, or refused for another reason.
pub fn without_reason(seen: &Seen) -> Vec<Violation> {
    let without = seen.dead.iter().filter(|letter| !has_reason(letter));
    without.map(|letter| Violation::of_system(Rule::DeadLetter, letter.shown.clone())).collect()
}

/// Whether a target that lacks the primary's state of a document has said so: a dead letter holds just this state, and the
/// target has what it had before it refused.
pub fn explain(seen: &Seen, primary: &ByKey<'_>, backup: &ByKey<'_>, key: &DocumentKey) -> bool {
    let Some(there) = primary.get(key) else { return false };
    let of_key = |effect: &&Published| seen.shards.key(&effect.index, &effect.id, effect.routing.as_deref()) == *key;
    let letters = seen.dead.iter().filter(|letter| has_reason(letter)).filter_map(|letter| letter.effect.as_ref());
    let letters: Vec<&Published> = letters.filter(of_key).collect();
    let is_there = |effect: &&Published| {
        let (_, term, seq_no) = effect.place();
        (term, seq_no) == there.place() && effect.source.as_deref().map(on_one_line) == Some(on_one_line(&there.source))
    };
    let refused: BTreeSet<u64> = letters.iter().map(|effect| effect.packed).collect();
    let taken = seen.log.iter().filter(|effect| !effect.void && !refused.contains(&effect.packed)).filter(of_key);
    let left = match (taken.max_by_key(|effect| effect.packed), backup.get(key)) {
        (None, None) => true,
        (Some(effect), None) => deletes(effect),
        (Some(effect), Some(document)) => !deletes(effect) && effect.version == document.version,
        (None, Some(_)) => false,
    };
    left && letters.iter().any(is_there)
}

fn deletes(effect: &Published) -> bool {
    effect.source.is_none() && !effect.reference
}

/// The backup has a number at `o.x`, and this is none.
fn has_reason(letter: &Letter) -> bool {
    let source = letter.effect.as_ref().and_then(|effect| effect.source.as_deref());
    let source: Value = source.and_then(|source| serde_json::from_str(source).ok()).unwrap_or_default();
    letter.status == "400" && REFUSALS.contains(&letter.error.as_str()) && source["o"]["x"].is_string()
}
