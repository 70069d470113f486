//! What is in an expression of PromQL, as far as these tests must know.

use std::collections::BTreeSet;

/// What names of ours begin with.
const OURS: [&str; 3] = ["understudy_", "process_", "target:understudy_"];
/// Names that Prometheus makes.
const MADE: [&str; 2] = ["up", "ALERTS"];

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// A name, of a metric, a label, a function, an operator.
    Word(&'a str),
    /// From `{` to `}`.
    Matchers(&'a str),
    /// Two at most: `>=`, `==`, …
    Comparison(&'a str),
    /// Anything else, also a text in quotes.
    Other(&'a str),
}

fn pieces<'e>(expression: &'e str) -> Vec<Piece<'e>> {
    let mut pieces = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let (length, make): (usize, fn(&'e str) -> Piece<'e>) = match first {
            '{' => (end_of(rest, '}'), Piece::Matchers),
            '"' | '\'' => (1 + end_of(&rest[1..], first), Piece::Other),
            '>' | '<' | '=' | '!' => (if rest[1..].starts_with('=') { 2 } else { 1 }, Piece::Comparison),
            c if is_word(c) && !c.is_ascii_digit() => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), Piece::Word),
            c if c.is_ascii_digit() => {
                (rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len()), Piece::Other)
            }
            c => (c.len_utf8(), Piece::Other),
        };
        let (piece, behind) = rest.split_at(length);
        pieces.push(make(piece));
        rest = behind;
    }
    pieces
}

/// Where the first `last` outside of quotes ends.
fn end_of(text: &str, last: char) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        if !quoted && c == last {
            return at + c.len_utf8();
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// Every choice of series that an expression makes: `understudy_effects_total{verdict="blocked"}`.
pub fn selectors(expression: &str) -> BTreeSet<String> {
    let pieces = pieces(expression);
    let is_metric = |word: &str| MADE.contains(&word) || OURS.iter().any(|prefix| word.starts_with(prefix));
    let selector = |(at, piece): (usize, &Piece<'_>)| match piece {
        Piece::Word(word) if is_metric(word) => match pieces.get(at + 1) {
            Some(Piece::Matchers(matchers)) => Some(format!("{word}{matchers}")),
            _ => Some((*word).to_owned()),
        },
        _ => None,
    };
    pieces.iter().enumerate().filter_map(selector).collect()
}

/// The same with every comparison answered by 0 or 1, so that what does not hold gives series too.
pub fn answered(expression: &str) -> String {
    let pieces = pieces(expression);
    let next_word = |at: usize| {
        pieces[at + 1..].iter().find(|piece| !matches!(piece, Piece::Other(space) if space.trim().is_empty()))
    };
    let mut text = String::new();
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Comparison(comparison) if next_word(at) != Some(&Piece::Word("bool")) => {
                text.push_str(comparison);
                text.push_str(" bool ");
            }
            Piece::Word(same) | Piece::Matchers(same) | Piece::Comparison(same) | Piece::Other(same) => {
                text.push_str(same);
            }
        }
    }
    text
}

/// Labels that a legend names: `{{target}} 99 %`.
pub fn legend_labels(legend: &str) -> BTreeSet<&str> {
    legend.split("{{").skip(1).filter_map(|part| part.split_once("}}")).map(|(label, _)| label.trim()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_found() {
        let found = selectors(
            "sum by (target, le) (rate(understudy_a_bucket{x=~\"a}|b\", y!=\"c\"}[5m])) > 0 unless on (cluster) \
             label_replace(target:understudy_b:known, \"understudy_c\", \"$1\", \"target\", \"(.+)\") or up{job=\"g\"} * process_fds",
        );
        let expected =
            ["process_fds", "target:understudy_b:known", "understudy_a_bucket{x=~\"a}|b\", y!=\"c\"}", "up{job=\"g\"}"];
        assert!(found.iter().eq(expected.iter()), "{found:?}");
    }

    #[test]
    fn comparisons_are_answered() {
        assert_eq!(
            answered("a{b!=\"c\"} > 30 and x >= bool 0 and max(y) == 1 or z <9"),
            "a{b!=\"c\"} > bool  30 and x >= bool 0 and max(y) == bool  1 or z < bool 9"
        );
    }

    #[test]
    fn labels_of_legends() {
        assert!(legend_labels("{{job}} to {{ instance }} 99 %").iter().eq(&["instance", "job"]));
        assert!(legend_labels("firing").is_empty());
    }
}
