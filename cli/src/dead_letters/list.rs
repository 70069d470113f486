//! `understudy dead-letters list`: a table for a person, or JSON.

use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;
use understudy_common::control::{Became, DeadLetterRecord};

use super::{arguments::ListArguments, letter::Letter, topic::Letters};
use crate::text::{count, cut, plain, utc, utc_iso};

/// Rows of a table where no limit is given.
const ROWS: usize = 100;
/// Names are cut there, so that the reason keeps some room.
const NAME: usize = 40;
/// A reason that has less room in its row gets a line of its own below it.
const REASON: usize = 32;
/// Names are not cut below this.
const SHORTEST: usize = 8;
/// The columns of names: index, document, type.
const NAMES: [usize; 3] = [2, 3, 6];
const HEAD: [&str; 8] = ["id", "when (UTC)", "index", "document", "operation", "status", "type", "reason"];

/// A letter as JSON tells it.
#[derive(Serialize)]
pub struct LetterJson<'a> {
    id: String,
    at: String,
    at_ms: i64,
    index: Option<&'a str>,
    document: Option<&'a str>,
    routing: Option<&'a str>,
    operation: Option<&'a str>,
    status: Option<u16>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    reason: Option<&'a str>,
    became: Option<Became>,
    became_at: Option<String>,
}

impl<'a> LetterJson<'a> {
    /// A letter, and what became of it.
    pub fn new(letter: &'a Letter, became: Option<&DeadLetterRecord>) -> Self {
        let document = letter.document();
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        Self {
            id: letter.id.to_string(),
            at: utc_iso(letter.at_ms),
            at_ms: letter.at_ms,
            index: document.map(|document| &*document.index),
            document: document.map(|document| &*document.id),
            routing: document.and_then(|document| document.routing.as_deref()),
            operation: letter.operation(),
            status: letter.status,
            kind: some(&letter.kind),
            reason: some(&letter.reason),
            became: became.map(|mark| mark.became),
            became_at: became.map(|mark| utc_iso(mark.at_ms)),
        }
    }
}

/// The letters that are listed, and how many of those that count nobody has decided.
pub fn chosen<'a>(letters: &'a Letters, arguments: &ListArguments) -> (Vec<&'a Letter>, usize) {
    let left: Vec<&Letter> = letters.all.iter().filter(|letter| arguments.filter.leaves(letter)).collect();
    let undecided = left.iter().filter(|letter| letters.facts.became(letter).is_none()).count();
    let listed = left.into_iter().filter(|letter| arguments.all || letters.facts.became(letter).is_none());
    (listed.collect(), undecided)
}

/// The text, with a line break at the end. `width`: that of the terminal, where there is one.
pub fn render(
    letters: &Letters,
    listed: &[&Letter],
    target: &str,
    arguments: &ListArguments,
    width: Option<usize>,
) -> String {
    if arguments.json {
        let shown = listed.iter().take(arguments.limit.unwrap_or(usize::MAX));
        let line = |letter: &&Letter| serde_json::to_string(&LetterJson::new(letter, letters.facts.became(letter)));
        return shown.filter_map(|letter| line(letter).ok()).map(|line| line + "\n").collect();
    }
    if listed.is_empty() {
        return nothing(letters, target, arguments);
    }
    let mut text = String::new();
    let shown = &listed[..listed.len().min(arguments.limit.unwrap_or(ROWS))];
    let rows: Vec<_> = shown.iter().map(|letter| row(letter, letters.facts.became(letter))).collect();
    if !rows.is_empty() {
        write_table(&mut text, &rows, width);
        text.push('\n');
    }
    if shown.len() < listed.len() {
        let _ = writeln!(text, "… and {} more (--limit)\n", listed.len() - shown.len());
    }
    write_counts(&mut text, letters, listed, target);
    text
}

fn nothing(letters: &Letters, target: &str, arguments: &ListArguments) -> String {
    let filtered = arguments.filter.index.is_some() || arguments.filter.kind.is_some();
    let all = letters.undecided().count();
    if filtered && all > 0 {
        return format!("No dead letter of {target} matches; there are {all} of them.\n");
    }
    format!("There are no dead letters of {target}.\n")
}

fn row(letter: &Letter, became: Option<&DeadLetterRecord>) -> [String; 8] {
    let document = letter.document();
    let or_none = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    let id = document.map(|document| match &document.routing {
        Some(routing) => cut(&plain(&format!("{} (routing {routing})", document.id)), NAME),
        None => cut(&plain(&document.id), NAME),
    });
    let reason = match became {
        Some(mark) => {
            let became = if mark.became == Became::Redriven { "REDRIVEN" } else { "DROPPED" };
            format!("{became} {}; {}", utc(mark.at_ms), plain(&letter.reason))
        }
        None => plain(&letter.reason),
    };
    [
        letter.id.to_string(),
        utc(letter.at_ms),
        or_none(document.map(|document| cut(&plain(&document.index), NAME))),
        or_none(id),
        or_none(letter.operation().map(str::to_owned)),
        or_none(letter.status.map(|status| status.to_string())),
        or_none(Some(cut(&plain(&letter.kind), NAME))),
        or_none(Some(reason)),
    ]
}

fn write_table(text: &mut String, rows: &[[String; 8]], width: Option<usize>) {
    let head = HEAD.map(str::to_owned);
    let mut widths: Vec<usize> = (0..HEAD.len() - 1)
        .map(|column| std::iter::once(&head).chain(rows).map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let taken = |widths: &[usize]| widths.iter().map(|width| width + 2).sum::<usize>();
    let width = width.unwrap_or(usize::MAX);
    let is_below = width < taken(&widths) + REASON;
    while is_below && width < taken(&widths) - 2 {
        let Some(widest) = NAMES.into_iter().max_by_key(|column| widths[*column]).filter(|one| widths[*one] > SHORTEST)
        else {
            break;
        };
        widths[widest] -= 1;
    }
    for row in std::iter::once(&head).chain(rows) {
        let [cells @ .., reason] = row;
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{:<width$}  ", cut(cell, *width)));
        let line: String = cells.collect();
        if is_below {
            let _ = writeln!(text, "{}\n  {}", line.trim_end(), cut(reason, width.saturating_sub(2)));
        } else {
            let _ = writeln!(text, "{line}{}", cut(reason, width.saturating_sub(taken(&widths))));
        }
    }
}

/// How many of each type in each index, the most first.
fn write_counts(text: &mut String, letters: &Letters, listed: &[&Letter], target: &str) {
    let undecided: Vec<&&Letter> = listed.iter().filter(|letter| letters.facts.became(letter).is_none()).collect();
    let decided = listed.len() - undecided.len();
    let of_those = if decided > 0 { format!(", and {decided} that were redriven or dropped") } else { String::new() };
    let _ = writeln!(text, "{} of {target}{of_those}", count(undecided.len(), "dead letter"));
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for letter in &undecided {
        let index = letter.document().map_or_else(|| "no index".to_owned(), |document| plain(&document.index));
        let kind = if letter.kind.is_empty() { "no type".to_owned() } else { plain(&letter.kind) };
        *counts.entry((index, kind)).or_default() += 1;
    }
    if counts.len() < 2 {
        return;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    for ((index, kind), number) in counts {
        let _ = writeln!(text, "{number:>7}  {index}: {kind}");
    }
}

#[cfg(test)]
mod tests {
    use super::{super::selection::tests::letters, *};
    use crate::dead_letters::arguments::{Filter, Place};

    fn arguments(change: impl FnOnce(&mut ListArguments)) -> ListArguments {
        let place = Place { config: "f".into(), target: None };
        let filter = Filter::default();
        let mut arguments = ListArguments { place, filter, all: false, limit: None, json: false, check: false };
        change(&mut arguments);
        arguments
    }

    fn rendered(width: Option<usize>, change: impl FnOnce(&mut ListArguments)) -> String {
        let (letters, arguments) = (letters(), arguments(change));
        let (listed, _) = chosen(&letters, &arguments);
        render(&letters, &listed, "backup", &arguments, width)
    }

    #[test]
    fn a_table_of_what_is_undecided() {
        assert_eq!(
            rendered(Some(130), |_| ()),
            "\
id   when (UTC)           index  document  operation  status  type                      reason
0:5  2023-11-14 22:13:20  a      1         index      400     mapper_parsing_exception  failed to parse field [n]
0:7  2023-11-14 22:13:20  -      -         -          -       unreadable_record         -

2 dead letters of backup
      1  a: mapper_parsing_exception
      1  no index: unreadable_record
"
        );
    }

    #[test]
    fn the_reason_is_cut_to_the_terminal_and_whole_elsewhere() {
        let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
        let long = "x".repeat(200);
        let row =
            ["0:5", "2023-11-14 22:13:20", "flights", "LH-400", "index", "400", "mapper_parsing_exception", &long];
        let table = |width| {
            let mut text = String::new();
            write_table(&mut text, &[row.map(str::to_owned)], width);
            text
        };
        assert_eq!((widest(&table(Some(130))), table(Some(130)).lines().count()), (130, 2));
        // Below its row, where the row leaves it no room.
        assert_eq!((widest(&table(Some(80))), table(Some(80)).lines().count()), (80, 4));
        assert!(table(Some(80)).lines().nth(2).unwrap().ends_with("…"), "the type is cut: {}", table(Some(80)));
        assert!(table(Some(20)).lines().count() == 4, "a terminal that is too small for anything");
        assert!(table(None).contains(&long));
    }

    #[test]
    fn what_was_decided_is_listed_when_asked_for() {
        let text = rendered(None, |arguments| arguments.all = true);
        assert!(text.contains("REDRIVEN 1970-01-01 00:00:00; failed"), "{text}");
        assert!(text.contains("2 dead letters of backup, and 1 that were redriven or dropped"), "{text}");
        let text = rendered(None, |arguments| arguments.limit = Some(1));
        assert!(text.contains("… and 1 more (--limit)"), "{text}");
    }

    #[test]
    fn nothing_is_said_clearly() {
        let none = |letters: &Letters| nothing(letters, "backup", &arguments(|_| ()));
        let empty = Letters { all: Vec::new(), facts: Default::default(), offsets: BTreeMap::new() };
        assert_eq!(none(&empty), "There are no dead letters of backup.\n");
        let text = rendered(None, |arguments| arguments.filter.index = Some("zzz".to_owned()));
        assert_eq!(text, "No dead letter of backup matches; there are 2 of them.\n");
    }

    #[test]
    fn json_has_a_line_each() {
        let text = rendered(Some(80), |arguments| arguments.json = true);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[0]["id"], &lines[0]["document"], &lines[0]["status"]),
            (&"0:5".into(), &"1".into(), &400.into())
        );
        assert!(lines[1]["index"].is_null() && lines[1]["became"].is_null());
    }
}
