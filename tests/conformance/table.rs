//! What a person reads in the end.

use std::fmt;

use crate::{
    compare::Verdict,
    request::{How, Known},
};

/// Every area with what was found in it.
#[derive(Default)]
pub struct Table {
    areas: Vec<Area>,
    known: Vec<String>,
    unexpected: Vec<String>,
}

struct Area {
    name: String,
    compared: usize,
    same: usize,
    known: usize,
    unexpected: usize,
}

impl Table {
    /// Adds what came of one request of an area.
    pub fn add(&mut self, area: &str, what: &str, known: Option<&Known>, verdict: Verdict) {
        if self.areas.last().is_none_or(|last| last.name != area) {
            self.areas.push(Area { name: area.to_owned(), compared: 0, same: 0, known: 0, unexpected: 0 });
        }
        let last = self.areas.last_mut().expect("an area was added");
        last.compared += 1;
        match verdict {
            Verdict::Same => last.same += 1,
            Verdict::Known => {
                last.known += 1;
                if let Some(known) = known {
                    let (status, kind) = (known.status, &known.kind);
                    let how = match known.how {
                        How::Alone => format!("{status} {kind}, where Elasticsearch does it"),
                        How::Both => format!("{status} {kind}, and Elasticsearch refuses it too"),
                        How::Plain => "is not compressed".to_owned(),
                        How::Order => "fields in another order".to_owned(),
                    };
                    self.known.push(format!("{what}: {how}: {}", known.reason));
                }
            }
            Verdict::Unexpected(told) => {
                last.unexpected += 1;
                self.unexpected.push(told);
            }
        }
    }

    /// Adds many that were looked at together.
    pub fn add_many(&mut self, area: &str, compared: usize, unexpected: Vec<String>) {
        let same = compared - unexpected.len().min(compared);
        self.areas.push(Area { name: area.to_owned(), compared, same, known: 0, unexpected: unexpected.len() });
        self.unexpected.extend(unexpected);
    }

    /// How many differ unexpectedly.
    pub fn unexpected(&self) -> usize {
        self.unexpected.len()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.known.is_empty() {
            writeln!(f, "\nKnown differences")?;
            self.known.iter().try_for_each(|known| writeln!(f, "  {known}"))?;
        }
        for unexpected in &self.unexpected {
            writeln!(f, "\nUNEXPECTED {unexpected}")?;
        }
        writeln!(f, "\n{:<28}{:>9}{:>9}{:>9}{:>12}", "area", "compared", "same", "known", "unexpected")?;
        for area in &self.areas {
            writeln!(
                f,
                "{:<28}{:>9}{:>9}{:>9}{:>12}",
                area.name, area.compared, area.same, area.known, area.unexpected
            )?;
        }
        let sum = |of: fn(&Area) -> usize| self.areas.iter().map(of).sum::<usize>();
        let (compared, same) = (sum(|area| area.compared), sum(|area| area.same));
        let (known, unexpected) = (sum(|area| area.known), sum(|area| area.unexpected));
        writeln!(f, "{:<28}{compared:>9}{same:>9}{known:>9}{unexpected:>12}", "all")
    }
}
