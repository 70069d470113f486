//! What a person reads in the end.

use std::{fmt, time::Duration};

/// What was rehearsed, what was measured, and whether that is what was promised.
#[derive(Default)]
pub struct Table(Vec<Row>);

struct Row {
    what: String,
    measured: String,
    promised: String,
    holds: bool,
}

impl Table {
    /// Adds a row.
    pub fn row(&mut self, what: &str, measured: impl Into<String>, promised: &str, holds: bool) {
        let row = Row { what: what.to_owned(), measured: measured.into(), promised: promised.to_owned(), holds };
        println!("{row}");
        self.0.push(row);
    }

    /// Adds what another one has.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Prints everything once more, in one piece.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn end(self) {
        println!("\n{self}");
        let failed: Vec<String> = self.0.iter().filter(|row| !row.holds).map(ToString::to_string).collect();
        assert!(failed.is_empty(), "does not hold:\n{}", failed.join("\n"));
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds { "holds" } else { "FAILS" };
        write!(f, "{:<42}{:<60}{:<32}{verdict}", self.what, self.measured, self.promised)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<42}{:<60}{:<32}", "rehearsed", "measured", "promised")?;
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// For a person.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
