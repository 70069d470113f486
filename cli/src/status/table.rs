//! The picture for a person.

use std::fmt::Write;

use console::style;

use super::{
    findings::{Finding, Outcome, Severity},
    picture::{ClusterSeen, Part, ProcessSeen, ProcessState, TargetSeen},
    report::Report,
    text::span,
};
use crate::text::{count, plain};

/// What stands where nothing is known.
const UNKNOWN: &str = "?";

/// The text, with a line break at the end. `width`: that of the terminal, where there is one.
pub fn render(report: &Report, width: Option<usize>) -> String {
    let mut text = headline(report);
    for part in [standbys(report), clusters(report), others(report)] {
        if !part.is_empty() {
            text.push('\n');
            write_table(&mut text, &part);
        }
    }
    if !report.findings.is_empty() {
        text.push('\n');
        for finding in &report.findings {
            write_finding(&mut text, finding, width.unwrap_or(usize::MAX));
        }
    }
    text
}

fn headline(report: &Report) -> String {
    let mut text = String::new();
    for standby in &report.standbys {
        let seen = target(report, &standby.target);
        let behind = seen.and_then(|seen| seen.lag.known()).map(|lag| span(lag.seconds));
        let name = &standby.target;
        let _ = match (standby.result, behind) {
            (Outcome::Ready, Some(behind)) => {
                writeln!(text, "{}: {name} can go on stage, {behind} behind", style("READY").green().bold())
            }
            (Outcome::Ready, None) => writeln!(text, "{}: {name} can go on stage", style("READY").green().bold()),
            (outcome, _) => {
                let why = report.findings.iter().find(|finding| {
                    finding.severity >= Severity::Unknown
                        && finding.target.as_deref().is_none_or(|target| target == name)
                });
                let why = why.map_or_else(String::new, |finding| format!(": {}", plain(&finding.text)));
                writeln!(text, "{}: {name}{why}", word(outcome))
            }
        };
    }
    text
}

fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Ready => style("READY").green().bold(),
        Outcome::NotReady => style("NOT READY").red().bold(),
        Outcome::Unknown => style("CANNOT TELL").yellow().bold(),
    }
    .to_string()
}

fn target<'a>(report: &'a Report, name: &str) -> Option<&'a TargetSeen> {
    report.picture.placements.iter().flat_map(|placement| &placement.targets).find(|target| target.target == name)
}

type Rows = Vec<Vec<String>>;

fn cells<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn standbys(report: &Report) -> Rows {
    let mut rows =
        vec![cells(["standby", "state", "behind", "records", "consumers", "dead letters", "Kafka keeps it for"])];
    for standby in &report.standbys {
        let Some(seen) = target(report, &standby.target) else { continue };
        let lag = seen.lag.known();
        let keeps = match &seen.headroom_seconds {
            Part::Unknown { .. } => UNKNOWN.to_owned(),
            Part::Known(None) => "ever".to_owned(),
            Part::Known(Some(left)) => span(left.max(0.0)),
        };
        let known = |number: Option<String>| number.unwrap_or_else(|| UNKNOWN.to_owned());
        rows.push(vec![
            seen.target.clone(),
            word(standby.result),
            known(lag.map(|lag| span(lag.seconds))),
            known(lag.map(|lag| lag.records.to_string())),
            known(seen.consumers.known().map(|members| members.len().to_string())),
            known(seen.dead_letters.known().map(u64::to_string)),
            keeps,
        ]);
    }
    rows
}

fn clusters(report: &Report) -> Rows {
    let mut rows = vec![cells(["cluster", "part", "health", "nodes", "version", "address"])];
    for cluster in &report.picture.clusters {
        let is_primary = report.picture.placements.iter().any(|placement| placement.primary == cluster.cluster);
        rows.push(cluster_row(cluster, if is_primary { "primary" } else { "standby" }));
    }
    rows
}

fn cluster_row(cluster: &ClusterSeen, part: &str) -> Vec<String> {
    let address = match cluster.urls.as_slice() {
        [first, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", rest.len()),
        urls => urls.concat(),
    };
    let (health, nodes, version) = match &cluster.seen {
        Part::Unknown { .. } => (style("DOWN").red().to_string(), UNKNOWN.to_owned(), UNKNOWN.to_owned()),
        Part::Known(state) => {
            let health = match state.health.as_deref() {
                Some("green") => style("green").green().to_string(),
                Some("red") => style("RED").red().to_string(),
                Some(other) => style(other).yellow().to_string(),
                None if state.denied.is_some() => style("DENIED").red().to_string(),
                None => UNKNOWN.to_owned(),
            };
            let nodes = state.nodes.map_or_else(|| UNKNOWN.to_owned(), |nodes| nodes.to_string());
            let versions = if state.versions.is_empty() { UNKNOWN.to_owned() } else { state.versions.join(", ") };
            (health, nodes, versions)
        }
    };
    vec![cluster.cluster.clone(), part.to_owned(), health, nodes, plain(&version), address]
}

/// Kafka, intents, and processes.
fn others(report: &Report) -> Rows {
    let picture = &report.picture;
    let mut rows = Vec::new();
    let kafka = match &picture.kafka {
        Part::Unknown { .. } => style("DOWN").red().to_string(),
        Part::Known(seen) if !seen.begun => "no topics yet".to_owned(),
        Part::Known(_) => {
            let roles = picture.placements.iter().map(|placement| match placement.epoch {
                Some(epoch) => format!("{} is primary of {}, epoch {epoch}", placement.primary, placement.placement),
                None => format!("nobody is recorded as primary of {}", placement.placement),
            });
            roles.collect::<Vec<_>>().join("; ")
        }
    };
    rows.push(vec!["Kafka".to_owned(), picture.brokers.join(", "), kafka]);
    let unsettled = match &picture.intents {
        Part::Unknown { .. } => UNKNOWN.to_owned(),
        Part::Known(intents) => {
            let oldest = span(intents.oldest_seconds);
            match intents.open {
                Some(0) => "none".to_owned(),
                Some(open) => format!("{open}, the oldest for {oldest}"),
                None => format!("too many to count, the oldest for {oldest}"),
            }
        }
    };
    rows.push(vec!["unsettled writes".to_owned(), unsettled]);
    rows.extend(picture.processes.iter().map(process_row));
    rows
}

fn process_row(process: &ProcessSeen) -> Vec<String> {
    let (kind, says) = match &process.seen {
        Part::Unknown { .. } => ("process", style("DOES NOT ANSWER").red().to_string()),
        Part::Known(state) => (state.kind, says(state)),
    };
    vec![kind.to_owned(), process.address.clone(), says]
}

fn says(state: &ProcessState) -> String {
    let mut words = Vec::new();
    words.push(match &state.not_ready {
        None => "ready".to_owned(),
        Some(reason) => format!("{} ({})", style("not ready").yellow(), plain(reason)),
    });
    match state.takes_writes {
        Some(true) => words.push("takes writes".to_owned()),
        Some(false) => words.push(style("REFUSES WRITES").red().to_string()),
        None => {}
    }
    if let Some(requests) = state.requests_in_flight {
        words.push(format!("{} under way", count(requests as usize, "request")));
    }
    if let Some(target) = &state.target {
        let partitions = state.partitions.map_or_else(|| UNKNOWN.to_owned(), |n| count(n as usize, "partition"));
        words.push(format!("{partitions} of {target}"));
    }
    let stopped: u64 = state.stopped.values().sum();
    if stopped > 0 {
        words.push(style(format!("{stopped} STOPPED")).red().to_string());
    }
    words.join(", ")
}

/// Columns as wide as their widest cell, colours apart; the last one as it is.
fn write_table(text: &mut String, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        // A row that ends there sets no width.
        let cells = rows.iter().filter(|row| row.len() > column + 1).map(|row| &row[column]);
        cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < row.len() {
                let padding = widths[column].saturating_sub(console::measure_text_width(cell)) + 2;
                text.push_str(&" ".repeat(padding));
            }
        }
        text.push('\n');
    }
}

fn write_finding(text: &mut String, finding: &Finding, width: usize) {
    let mark = match finding.severity {
        Severity::NotReady => style("✗").red().bold(),
        Severity::Unknown => style("?").yellow().bold(),
        Severity::Warning => style("!").yellow(),
    };
    let _ = writeln!(text, "{mark} {}", wrapped(&plain(&finding.text), 2, width));
    let _ = writeln!(text, "  → {}", wrapped(&plain(&finding.advice), 4, width));
}

/// Breaks a text between words, lines after the first indented.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent).max(20);
    let (mut out, mut length) = (String::new(), 0);
    for word in text.split(' ') {
        let more = word.chars().count() + 1;
        if length > 0 && length + more > room {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            length = 0;
        } else if length > 0 {
            out.push(' ');
        }
        out.push_str(word);
        length += more;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            findings::tests::{all_well, rules},
            picture::Picture,
        },
        *,
    };

    fn rendered(change: impl FnOnce(&mut Picture), width: Option<usize>) -> String {
        let mut picture = all_well();
        change(&mut picture);
        let text = render(&Report::new(picture, &rules(), 0), width);
        console::strip_ansi_codes(&text).into_owned()
    }

    #[test]
    fn all_is_well() {
        assert_eq!(
            rendered(|_| (), None),
            "\
READY: b can go on stage, 0.4 s behind
READY: c can go on stage, 0.4 s behind

standby  state  behind  records  consumers  dead letters  Kafka keeps it for
b        READY  0.4 s   2        1          0             7.0 d
c        READY  0.4 s   2        1          0             7.0 d

cluster  part     health  nodes  version               address
a        primary  green   1      Elasticsearch 7.10.2  http://a:9200
b        standby  green   1      Elasticsearch 7.10.2  http://b:9200
c        standby  green   1      Elasticsearch 7.10.2  http://c:9200

Kafka             k:9092  a is primary of everything, epoch 1
unsettled writes  3, the oldest for 1.5 s
gateway           g:1     ready, takes writes, 4 requests under way
consumer          c:1     ready, 12 partitions of b
"
        );
    }

    #[test]
    fn what_is_wrong_stands_below_with_what_can_be_done() {
        let text = rendered(|picture| picture.clusters[1].seen = Part::unknown("connection refused"), None);
        assert!(text.starts_with("NOT READY: b: b is down: connection refused\nREADY: c can"), "{text}");
        assert!(text.contains("\n✗ b is down: connection refused\n  → start it: "), "{text}");
        assert!(text.contains("b        standby  DOWN    ?      ? "), "{text}");
    }

    #[test]
    fn what_is_not_known_hides_nothing_else() {
        let text = rendered(
            |picture| {
                picture.kafka = Part::unknown("away");
                picture.intents = Part::unknown("away");
                for target in &mut picture.placements[0].targets {
                    (target.lag, target.dead_letters) = (Part::unknown("away"), Part::unknown("away"));
                }
            },
            Some(60),
        );
        assert!(text.contains("CANNOT TELL: b: Kafka at k:9092 cannot be reached: away"), "{text}");
        assert!(text.contains("b        CANNOT TELL  ?       ?"), "{text}");
        assert!(text.contains("b        standby  green   1"), "{text}");
        let found = text.split("\n? ").nth(1).unwrap();
        assert!(found.lines().all(|line| line.chars().count() <= 60), "{found}");
    }
}
