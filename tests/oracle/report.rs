//! What a reader gets: a table where all is well, the shortest story of one bad document where it is not.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use crate::{
    faults::Done,
    history::{Attempt, Histories},
    judge::Violation,
    ledger::{Answered, Entry, Outcome, Sent},
    seen::{Document, DocumentKey, Published, Seen},
};

/// How many violations are listed.
const LISTED: usize = 12;
/// How much of a text is shown.
const SHOWN: usize = 700;

/// Says something at once, also where a test's output is kept back until it fails.
pub fn say(line: &str) {
    use std::io::Write;
    // Nobody to listen is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// How long the parts of a run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Until everything ran.
    pub start: Duration,
    /// Load and faults.
    pub load: Duration,
    /// Until nothing moved any more.
    pub settle: Duration,
    /// Fresh writes, a last look, and the judge.
    pub judge: Duration,
}

/// Writes by kind and outcome, and times.
pub fn table(histories: &Histories, seen: &Seen, done: &[Done], times: &Times) -> String {
    let mut rows: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for attempt in histories.all() {
        let column = match attempt.outcome {
            Outcome::Acknowledged(_) => 0,
            Outcome::Refused(_) => 1,
            Outcome::Pending(_) | Outcome::Unknown(_) => 2,
        };
        rows.entry(&attempt.item.kind).or_default()[column] += 1;
    }
    let total = rows.values().fold([0; 3], |sum, row| [sum[0] + row[0], sum[1] + row[1], sum[2] + row[2]]);
    rows.insert("~ all", total);
    let mut text = format!("  {:24}{:>14}{:>10}{:>10}\n", "writes of documents", "acknowledged", "refused", "unknown");
    for (kind, [acknowledged, refused, unknown]) in rows {
        let _ = writeln!(text, "  {kind:24}{acknowledged:>14}{refused:>10}{unknown:>10}");
    }
    let observed = seen.log.iter().filter(|effect| effect.observed).count();
    let void = seen.log.iter().filter(|effect| effect.void).count();
    let (effects, documents) = (seen.log.len(), seen.primary.documents.len());
    let _ = writeln!(
        text,
        "  {documents} documents; {effects} effects in the log, {observed} observed, {void} void; {} faults",
        done.len()
    );
    let s = |time: Duration| format!("{:.1} s", time.as_secs_f32());
    let (start, load, settle, judge) = (s(times.start), s(times.load), s(times.settle), s(times.judge));
    let _ = write!(text, "  start {start}, load {load}, settle {settle}, judge {judge}");
    text
}

/// What is wrong, and the story of the document with the fewest writes.
pub fn verdict(seed: u64, violations: &[Violation], entries: &[Entry], histories: &Histories, seen: &Seen) -> String {
    let mut text = format!("seed {seed}: {} violations\n", violations.len());
    for violation in violations.iter().take(LISTED) {
        let _ = writeln!(text, "  {}", short(&violation.to_string()));
    }
    if violations.len() > LISTED {
        let _ = writeln!(text, "  and {} more", violations.len() - LISTED);
    }
    let shortest = violations.iter().filter_map(|violation| violation.document.as_ref());
    if let Some(key) = shortest.min_by_key(|key| histories.of_document(key).count()) {
        story(&mut text, key, entries, histories, seen);
    }
    text
}

/// Everything that is known of a document, in the order of time.
fn story(text: &mut String, key: &DocumentKey, entries: &[Entry], histories: &Histories, seen: &Seen) {
    let _ = writeln!(text, "\nthe story of {key}:");
    let mut lines: Vec<(i64, String)> = Vec::new();
    // A write that stands there belongs to the story, whatever it was meant for.
    let there = seen.primary.documents.iter().chain(&seen.backup.documents).filter(|document| is(key, document, seen));
    let authors = there.filter_map(Document::write_id).filter_map(|w| histories.by_write_id(&w));
    let mut attempts: BTreeMap<&str, &Attempt> =
        histories.of_document(key).map(|attempt| (attempt.item.w.as_str(), attempt)).collect();
    attempts.extend(authors.map(|attempt| (attempt.item.w.as_str(), attempt)));
    for attempt in attempts.values() {
        let sent = entries.iter().find_map(|entry| sent_of(entry, &attempt.write));
        let how = sent.map_or_else(String::new, |sent| {
            let body = short(sent.body.as_deref().unwrap_or_default());
            format!("by {}: {} {} {body}", sent.gateway, sent.method, sent.path)
        });
        lines.push((attempt.sent, format!("{} sent {how}", attempt.item.w)));
        let answer = entries.iter().find_map(|entry| answer_of(entry, &attempt.write));
        let status = answer.map_or_else(String::new, |answer| format!("{:?} {}", answer.status, short(&answer.reply)));
        let at = attempt.answered.unwrap_or(i64::MAX);
        lines.push((at, format!("{} answered: {:?}; {status}", attempt.item.w, attempt.outcome)));
    }
    for effect in seen.log.iter().filter(|effect| is_of(key, effect, seen)) {
        lines.push((effect.appended, published(effect)));
    }
    lines.sort();
    let begin = lines.first().map_or(0, |(at, _)| *at);
    for (at, line) in lines {
        let ms = if at == i64::MAX { "never".to_owned() } else { format!("{:+} ms", at - begin) };
        let _ = writeln!(text, "  {ms:>10}  {line}");
    }
    for (side, name) in [(&seen.primary, "primary"), (&seen.backup, "backup")] {
        let there = side.documents.iter().find(|document| is(key, document, seen));
        let _ = writeln!(text, "  the {name} has {}", there.map_or("nothing".to_owned(), |there| format!("{there:?}")));
    }
    for (request, _) in seen.open.iter().filter(|(_, ids)| ids.contains(&key.id)) {
        let _ = writeln!(text, "  request {request} has an open intent for this id");
    }
    for dead in seen.dead.iter().filter(|dead| dead.effect.as_ref().is_none_or(|effect| is_of(key, effect, seen))) {
        let _ = writeln!(text, "  dead letter: {}", short(&dead.shown));
    }
}

fn published(effect: &Published) -> String {
    let (epoch, term, seq_no) = effect.place();
    let what = match &effect.source {
        None => "delete".to_owned(),
        Some(_) if effect.reference => "reference".to_owned(),
        Some(source) => short(source),
    };
    let observed = if effect.observed { ", observed" } else { "" };
    let void = if effect.void { ", VOID" } else { "" };
    format!(
        "in the log, partition {} offset {}, by {} for request {}, {} ms after its ticket: {epoch}/{term}/{seq_no}{observed}{void}, version {}, routing {:?}: {what}",
        effect.partition,
        effect.offset,
        effect.gateway,
        effect.request,
        effect.appended - effect.ticket,
        effect.version,
        effect.routing,
    )
}

fn is(key: &DocumentKey, document: &Document, seen: &Seen) -> bool {
    seen.shards.key(&document.index, &document.id, document.routing.as_deref()) == *key
}

fn is_of(key: &DocumentKey, effect: &Published, seen: &Seen) -> bool {
    seen.shards.key(&effect.index, &effect.id, effect.routing.as_deref()) == *key
}

fn sent_of<'a>(entry: &'a Entry, write: &str) -> Option<&'a Sent> {
    match entry {
        Entry::Sent(sent) if sent.write == write => Some(sent),
        _ => None,
    }
}

fn answer_of<'a>(entry: &'a Entry, write: &str) -> Option<&'a Answered> {
    match entry {
        Entry::Answered(answered) if answered.write == write => Some(answered),
        _ => None,
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.trim_end().to_owned();
    }
    format!("{}…", text.chars().take(SHOWN).collect::<String>())
}
