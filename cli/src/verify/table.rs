//! The result for a person.

use std::fmt::Write;

use super::{
    json_text::shortened,
    report::{ComparisonReport, Example, IndexReport, Kind, MappingResult, Outcome, Report},
};

/// Rows of a table; of more indices those are shown that are not equal, then the first others.
const MOST_ROWS: usize = 100;

const HEAD: [&str; 8] = ["index", "primary docs", "target docs", "missing", "extra", "different", "mapping", "result"];

/// The text, with a line break at the end.
pub fn render(report: &Report) -> String {
    report.comparisons.iter().map(render_comparison).collect::<Vec<_>>().join("\n")
}

fn render_comparison(comparison: &ComparisonReport) -> String {
    let ComparisonReport { placement, primary, target, seconds, .. } = comparison;
    let mut text = format!("{placement}: {primary} -> {target}, compared in {seconds:.1} s\n");
    let mut indices: Vec<&IndexReport> = comparison.indices.iter().collect();
    indices.sort_by_key(|index| index.result == Outcome::Equal && comparison.indices.len() > MOST_ROWS);
    if indices.is_empty() && comparison.error.is_none() {
        text.push_str("\nThere are no indices to compare.\n");
    } else if !indices.is_empty() {
        let rows: Vec<_> = indices.iter().take(MOST_ROWS).map(|index| row(index, primary, target)).collect();
        write_table(&mut text, &rows);
    }
    if indices.len() > MOST_ROWS {
        let unlike = indices[MOST_ROWS..].iter().filter(|index| index.result != Outcome::Equal).count();
        let _ = writeln!(text, "… and {} more indices, {unlike} of them not equal", indices.len() - MOST_ROWS);
    }
    write_notes(&mut text, &comparison.indices);
    write_examples(&mut text, comparison);
    let _ = writeln!(text, "\n{}", verdict(comparison));
    text
}

fn row(index: &IndexReport, primary: &str, target: &str) -> [String; 8] {
    let documents = |there, count| if there && index.scanned { grouped(count) } else { "-".to_owned() };
    let mapping = match index.mapping {
        MappingResult::Equal => "equal",
        MappingResult::Different => "differs",
        MappingResult::NotCompared => "-",
    };
    let result = match (index.result, index.on_primary, index.on_target) {
        (Outcome::Equal, ..) => "equal".to_owned(),
        (Outcome::Incomplete, ..) if index.error.is_some() => "ERROR".to_owned(),
        (Outcome::Incomplete, ..) if !index.scanned => "UNFINISHED".to_owned(),
        (Outcome::Incomplete, ..) => "UNDECIDED".to_owned(),
        (Outcome::Different, true, false) => format!("NOT ON {target}"),
        (Outcome::Different, false, true) => format!("NOT ON {primary}"),
        (Outcome::Different, ..) => "DIFFERENT".to_owned(),
    };
    [
        index.index.to_string(),
        documents(index.on_primary, index.primary_docs),
        documents(index.on_target, index.target_docs),
        grouped(index.missing),
        grouped(index.extra),
        grouped(index.different),
        mapping.to_owned(),
        result,
    ]
}

fn write_table(text: &mut String, rows: &[[String; 8]]) {
    let head = HEAD.map(str::to_owned);
    text.push('\n');
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| std::iter::once(&head).chain(rows).map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                1..=5 => write!(line, "{cell:>width$}  "),
                _ => write!(line, "{cell:<width$}  "),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn write_notes(text: &mut String, indices: &[IndexReport]) {
    let sum = |field: fn(&IndexReport) -> u64| indices.iter().map(field).sum::<u64>();
    for (count, note) in [
        (sum(|index| index.settled), "differed at first and became equal: lag of the replication"),
        (
            sum(|index| index.not_looked_at_again),
            "of the differences were not looked at again: they are too many, and the target stands still",
        ),
        (
            sum(|index| index.undecided),
            "are undecided: they differed when looked at last, and had no time to settle (see --patience)",
        ),
    ] {
        if count > 0 {
            let _ = writeln!(text, "\n{} {note}", grouped(count));
        }
    }
}

fn write_examples(text: &mut String, comparison: &ComparisonReport) {
    if comparison.differences.is_empty() {
        return;
    }
    let shown = comparison.differences.len() as u64;
    let all = comparison.indices.iter().map(differences).sum::<u64>().max(shown);
    let _ = if shown == all {
        writeln!(text, "\ndifferences:")
    } else {
        writeln!(text, "\ndifferences, the first {} of {} (--max-differences):", grouped(shown), grouped(all))
    };
    for example in &comparison.differences {
        let _ = writeln!(text, "  {}", line(example, &comparison.primary, &comparison.target));
    }
}

/// How many differences an index has, itself included.
fn differences(index: &IndexReport) -> u64 {
    let of_itself = index.on_primary != index.on_target || index.mapping == MappingResult::Different;
    index.missing + index.extra + index.different + u64::from(of_itself)
}

fn line(example: &Example, primary: &str, target: &str) -> String {
    let kind = match example.kind {
        Kind::Missing => "missing",
        Kind::Extra => "extra",
        Kind::Different => "different",
        Kind::Index => "index",
        Kind::Mapping => "mapping",
    };
    let mut line = format!("{kind:<9}  {}", example.index);
    if let Some(id) = &example.id {
        let _ = write!(line, "/{}", shortened(id));
    }
    if let Some(routing) = &example.routing {
        let _ = write!(line, " (routing {})", shortened(routing));
    }
    let _ = write!(line, ": {}", example.what);
    let nothing = "nothing";
    if example.primary.is_some() || example.target.is_some() {
        let _ = write!(
            line,
            ": {} on {primary}, {} on {target}",
            example.primary.as_deref().unwrap_or(nothing),
            example.target.as_deref().unwrap_or(nothing)
        );
    }
    line
}

/// Errors are told apart from this, on standard error.
fn verdict(comparison: &ComparisonReport) -> String {
    let unlike = |outcome| comparison.indices.iter().filter(|index| index.result == outcome).count();
    let of = format!("of {} indices", comparison.indices.len());
    match (comparison.result, comparison.indices.is_empty()) {
        (Outcome::Equal, _) => "EQUAL".to_owned(),
        (Outcome::Different, _) => format!("DIFFERENT: {} {of}", unlike(Outcome::Different)),
        (Outcome::Incomplete, true) => "NOT COMPARED".to_owned(),
        (Outcome::Incomplete, false) => {
            let cut_short = if comparison.error.is_some() { ", and there may be more" } else { "" };
            let (open, different) = (unlike(Outcome::Incomplete), unlike(Outcome::Different));
            format!("NOT WHOLLY COMPARED: {open} {of} could not be, {different} differ{cut_short}")
        }
    }
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(indices: Vec<IndexReport>, differences: Vec<Example>) -> ComparisonReport {
        ComparisonReport {
            placement: "everything".to_owned(),
            primary: "primary".to_owned(),
            target: "backup".to_owned(),
            result: indices.iter().map(|index| index.result).max().unwrap_or(Outcome::Equal),
            error: None,
            seconds: 3.25,
            indices,
            differences,
        }
    }

    fn index(name: &str, change: impl FnOnce(&mut IndexReport)) -> IndexReport {
        let mut report = IndexReport::new(name.into(), true, true);
        report.mapping = MappingResult::Equal;
        report.scanned = true;
        change(&mut report);
        report.conclude();
        report
    }

    #[test]
    fn a_table_and_the_first_differences() {
        let indices = vec![
            index("flights", |report| {
                (report.primary_docs, report.target_docs, report.missing) = (200_000, 199_999, 1)
            }),
            index("gone", |report| report.on_target = false),
            index("same", |report| report.settled = 12),
        ];
        let example = Example {
            kind: Kind::Different,
            index: "flights".into(),
            id: Some("1".to_owned()),
            routing: Some("r".to_owned()),
            what: "source at price".to_owned(),
            primary: Some("1.10".to_owned()),
            target: None,
        };
        let text = render_comparison(&comparison(indices, vec![example]));
        assert_eq!(
            text,
            "\
everything: primary -> backup, compared in 3.2 s

index    primary docs  target docs  missing  extra  different  mapping  result
flights       200,000      199,999        1      0          0  equal    DIFFERENT
gone                0            -        0      0          0  equal    NOT ON backup
same                0            0        0      0          0  equal    equal

12 differed at first and became equal: lag of the replication

differences, the first 1 of 2 (--max-differences):
  different  flights/1 (routing r): source at price: 1.10 on primary, nothing on backup

DIFFERENT: 2 of 3 indices
"
        );
    }

    #[test]
    fn of_many_indices_those_that_differ_come_first() {
        let mut indices: Vec<_> = (0..150).map(|number| index(&format!("i-{number}"), |_| ())).collect();
        indices.push(index("z", |report| report.extra = 1));
        let text = render_comparison(&comparison(indices, Vec::new()));
        assert!(text.lines().nth(3).unwrap().starts_with("z "), "{text}");
        assert!(text.contains("… and 51 more indices, 0 of them not equal"), "{text}");
    }

    #[test]
    fn nothing_to_compare_is_said() {
        let text = render_comparison(&comparison(Vec::new(), Vec::new()));
        assert!(text.contains("no indices to compare") && text.ends_with("EQUAL\n"), "{text}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
