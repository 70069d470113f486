//! What the ledger allows: nothing acknowledged is missing, and nothing is there that nobody wrote.

use std::collections::BTreeMap;

use super::{ByKey, Rule, Violation};
use crate::{
    history::{Attempt, Histories},
    ledger::{Leaves, Outcome, Written},
    seen::{Document, DocumentKey, Published, Seen, on_one_line},
};

/// The epoch of the whole run: roles do not change in it.
const EPOCH: u64 = 1;
/// How much later than an acknowledgement its effect may seem to be appended: times are cut to milliseconds.
const CUT: i64 = 5;

/// Every write that the primary said it has is its document's state, or superseded by one with a greater place.
pub fn lost(histories: &Histories, primary: &ByKey<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for key in histories.documents() {
        let known = histories.of_document(key).filter_map(|attempt| Some((attempt, attempt.outcome.written()?)));
        // Of two with one place, an update that found nothing to change and the write that it found, the latter counts.
        let Some((attempt, greatest)) = known.max_by_key(|(_, written)| (written.place(), !written.changed_nothing()))
        else {
            continue;
        };
        let told =
            || format!("{} was told {} at {}/{}", attempt.item.w, greatest.result, greatest.term, greatest.seq_no);
        match primary.get(key) {
            Some(there) if there.place() < greatest.place() => {
                let older = format!("the primary has the older {}/{}", there.term, there.seq_no);
                found.push(Violation::of(Rule::Lost, key, format!("{}, and {older}: {}", told(), there.source)));
            }
            Some(there) if there.place() == greatest.place() && !is_state_of(attempt, greatest, there) => {
                found.push(Violation::of(Rule::Lost, key, format!("{}, and there stands {}", told(), there.source)));
            }
            // Only what nobody knows the outcome of can have deleted it since.
            None if !greatest.is_delete() && !may_be_deleted(histories, key) => {
                found.push(Violation::of(Rule::Lost, key, format!("{}, and the primary has nothing", told())));
            }
            _ => {}
        }
    }
    found
}

fn is_state_of(attempt: &Attempt, told: &Written, there: &Document) -> bool {
    told.changed_nothing() || !told.is_delete() && there.write_id().as_ref() == Some(&attempt.item.w)
}

fn may_be_deleted(histories: &Histories, key: &DocumentKey) -> bool {
    let mut attempts = histories.of_document(key);
    attempts.any(|attempt| attempt.item.leaves == Leaves::Nothing && matches!(attempt.outcome, Outcome::Unknown(_)))
}

/// What a side has was written there, at the place that its writer was told, as it was sent; and once.
pub fn unwritten(histories: &Histories, seen: &Seen, side: &ByKey<'_>, name: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut places: BTreeMap<String, Vec<&DocumentKey>> = BTreeMap::new();
    for (key, document) in side {
        if let Some((rule, says)) = wrong(histories, seen, key, document, name) {
            found.push(Violation::of(rule, key, format!("on the {name}: {says}")));
        }
        if let Some(w) = document.write_id() {
            places.entry(w).or_default().push(key);
        }
    }
    for (w, keys) in places.iter().filter(|(_, keys)| keys.len() > 1) {
        let others: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let says = format!("on the {name}: {w} stands in {}", others.join(" and "));
        found.push(Violation::of(Rule::Doubled, keys[0], says));
    }
    found
}

fn wrong(
    histories: &Histories,
    seen: &Seen,
    key: &DocumentKey,
    document: &Document,
    name: &str,
) -> Option<(Rule, String)> {
    let attempt = match author(histories, seen, key, &document.source) {
        Ok(attempt) => attempt,
        Err(wrong) => return Some(wrong),
    };
    let w = &attempt.item.w;
    // An update leaves a document under the routing that it has, whatever routing leads to it.
    let keeps_its_own = attempt.item.kind.starts_with("update");
    if !keeps_its_own && attempt.item.routing != document.routing {
        let (sent, there) = (&attempt.item.routing, &document.routing);
        return Some((Rule::Changed, format!("{w} was sent with routing {sent:?}, and there it is {there:?}")));
    }
    // Places are the primary's; a target has an order of its own.
    if let Some(told) = attempt.outcome.written().filter(|told| name == "primary" && told.place() != document.place()) {
        let (Written { term, seq_no, .. }, there) = (told, document.place());
        return Some((
            Rule::Twice,
            format!("{w} was told {term}/{seq_no}, and there it is at {}/{}", there.0, there.1),
        ));
    }
    None
}

/// The write that left this source in this document, or why none can have.
fn author<'a>(
    histories: &'a Histories,
    seen: &Seen,
    key: &DocumentKey,
    source: &str,
) -> Result<&'a Attempt, (Rule, String)> {
    let unwritten = |says: String| Err((Rule::Unwritten, says));
    let Some(w) = crate::seen::write_id(source) else { return unwritten(format!("no write id in {source}")) };
    let Some(attempt) = histories.by_write_id(&w) else { return unwritten(format!("{w} is in no ledger: {source}")) };
    let meant = match attempt.key(&seen.shards) {
        Some(meant) => meant == *key,
        // The gateway chose the id, and nobody was told.
        None => attempt.item.index == key.index,
    };
    if !meant {
        return unwritten(format!("{w} was written to another document: {:?}", attempt.item));
    }
    if attempt.item.leaves != Leaves::Document {
        return unwritten(format!("{w} leaves no document with its write id: {:?}", attempt.item));
    }
    if let Outcome::Refused(reason) = &attempt.outcome {
        return Err((Rule::RefusedYetThere, format!("{w} was refused ({reason})")));
    }
    if let Some(stored) = &attempt.item.stored
        && on_one_line(stored) != on_one_line(source)
    {
        return Err((Rule::Changed, format!("{w} was sent as {stored}, and there it is {source}")));
    }
    Ok(attempt)
}

/// Acknowledged means: when the answer was there, the log of the target held an effect of that document, as new as the
/// write or newer.
pub fn in_log(histories: &Histories, seen: &Seen) -> Vec<Violation> {
    let mut log: BTreeMap<DocumentKey, Vec<&Published>> = BTreeMap::new();
    for effect in seen.log.iter().filter(|effect| !effect.void) {
        let key = seen.shards.key(&effect.index, &effect.id, effect.routing.as_deref());
        log.entry(key).or_default().push(effect);
    }
    let mut found = Vec::new();
    for attempt in histories.all() {
        let (Outcome::Acknowledged(told), Some(key)) = (&attempt.outcome, attempt.key(&seen.shards)) else { continue };
        let by = attempt.answered.unwrap_or(i64::MAX).saturating_add(CUT);
        let needed = (EPOCH, told.term, told.seq_no);
        let newer = || log.get(&key).into_iter().flatten().filter(|effect| effect.place() >= needed);
        if !newer().any(|effect| effect.appended <= by) {
            let after = newer().map(|effect| effect.appended).min();
            let when = after.map_or("never came".to_owned(), |at| format!("came {} ms later", at - by + CUT));
            let says =
                format!("{} ({} at {}/{}); its effect {when}", attempt.item.w, told.result, told.term, told.seq_no);
            found.push(Violation::of(Rule::NotInLog, &key, says));
        }
    }
    found
}

/// What the log holds was written, and not refused.
pub fn log_unwritten(histories: &Histories, seen: &Seen) -> Vec<Violation> {
    let mut found: Vec<Violation> =
        seen.unreadable.iter().map(|what| Violation::of_system(Rule::LogUnwritten, what.clone())).collect();
    for effect in seen.log.iter().filter(|effect| !effect.void && !effect.reference) {
        let Some(source) = &effect.source else { continue };
        let key = seen.shards.key(&effect.index, &effect.id, effect.routing.as_deref());
        if let Err((_, says)) = author(histories, seen, &key, source) {
            let place = format!("partition {}, offset {}", effect.partition, effect.offset);
            found.push(Violation::of(Rule::LogUnwritten, &key, format!("{place}: {says}")));
        }
    }
    found
}
