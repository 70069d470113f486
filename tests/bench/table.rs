//! What was measured, as a table in Markdown.

use std::fmt;

/// The least, the middle and the most of several measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle.
    pub median: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// That of these.
    ///
    /// # Panics
    /// When there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        assert!(!values.is_empty(), "nothing was measured");
        Self { min: values[0], median: values[values.len() / 2], max: values[values.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}–{})", short(self.median), short(self.min), short(self.max))
    }
}

/// The value below which that share of the values lies.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share) as usize;
    values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Three digits that count, and no more.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All rows.
#[derive(Default)]
pub struct Table(Vec<Row>);

struct Row {
    letter: char,
    what: String,
    measured: String,
    goal: Option<(String, bool)>,
}

impl Table {
    /// What is only told.
    pub fn tell(&mut self, letter: char, what: &str, measured: impl fmt::Display) {
        self.add(letter, what, measured, None);
    }

    /// What has a goal, and whether it was reached.
    pub fn judge(&mut self, letter: char, what: &str, measured: impl fmt::Display, goal: &str, reached: bool) {
        self.add(letter, what, measured, Some((goal.to_owned(), reached)));
    }

    fn add(&mut self, letter: char, what: &str, measured: impl fmt::Display, goal: Option<(String, bool)>) {
        let row = Row { letter, what: what.to_owned(), measured: measured.to_string(), goal };
        eprintln!("  {}: {}: {}", row.letter, row.what, row.measured);
        self.0.push(row);
    }

    /// Whether every goal was reached.
    pub fn reached(&self) -> bool {
        self.0.iter().all(|row| row.goal.as_ref().is_none_or(|(_, reached)| *reached))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | measured | median (least–most) | to reach | |\n|---|---|---|---|---|")?;
        for row in &self.0 {
            let (goal, reached) = match &row.goal {
                None => ("", ""),
                Some((goal, true)) => (goal.as_str(), "reached"),
                Some((goal, false)) => (goal.as_str(), "**missed**"),
            };
            writeln!(f, "| {} | {} | {} | {goal} | {reached} |", row.letter, row.what, row.measured)?;
        }
        Ok(())
    }
}

#[test]
fn spreads_and_quantiles() {
    assert_eq!(Spread::of([3.0, 1.0, 2.0]).to_string(), "2.00 (1.00–3.00)");
    let hundred: Vec<f64> = (0..100).map(f64::from).collect();
    assert_eq!((quantile(&hundred, 0.5), quantile(&hundred, 0.99)), (50.0, 99.0));
    assert_eq!((short(1234.5), short(12.34), short(1.234)), ("1234".into(), "12.3".into(), "1.23".into()));
}
