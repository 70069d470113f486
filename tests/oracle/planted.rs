//! Bugs that are planted in gateways and consumers, one at a time: what the oracle must find, with what load, and how soon.

use std::time::Duration;

use crate::{
    faults::{self, Fault},
    kinds::{self, Kind},
    named,
    settings::Settings,
};

/// A row of the table.
#[derive(Debug)]
pub struct Planted {
    /// Its name in `understudy_common::planted`.
    pub bug: &'static str,
    kinds: &'static str,
    faults: &'static str,
    /// How long writers write, at most. It must show within that.
    pub seconds: u64,
    /// For how long a gateway is frozen between the primary's answer and the publish, after the load.
    pub frozen: Option<Duration>,
    /// A key of the configuration that makes it likelier.
    pub set: Option<(&'static str, &'static str)>,
}

const fn row(bug: &'static str, kinds: &'static str, faults: &'static str, seconds: u64) -> Planted {
    Planted { bug, kinds, faults, seconds, frozen: None, set: None }
}

/// The table.
pub static PLANTED: &[Planted] = &[
    row("internal-versions", "index,delete", "none", 5),
    row("update-from-request", "index,update-doc-as-upsert", "none", 5),
    row("guessed-mapping", "index,grown", "none", 5),
    row("conflict-is-failure", "index,create", "consumer-killed", 25),
    row("no-ticket", "index,create,delete", "gateway-killed", 45),
    row("no-guard", "turned", "none", 30),
    row("concurrent", "index,delete", "none", 30),
    row("commit-before-applying", "auto-id,bulk", "backup-and-consumer-killed", 40),
    Planted {
        set: Some(("gateway.primary_timeout", "1s")),
        ..row("unknown-is-not-written", "index,create", "primary-frozen", 30)
    },
    Planted { frozen: Some(Duration::from_secs(3)), ..row("no-window", "index,delete", "none", 3) },
    // Longer than the reconciler takes to see the delete, and the window is wide after that.
    Planted { frozen: Some(Duration::from_secs(34)), ..row("late-not-void", "index,delete", "none", 3) },
];

impl Planted {
    /// The bug alone, for a run that has a scene of its own.
    pub fn without_scene(&self) -> Self {
        Self { frozen: None, set: None, ..*self }
    }

    /// The settings of its run: nothing that would only blur what it shows.
    pub fn settings(&self, settings: &Settings) -> Settings {
        let known = "the table names what there is";
        let kinds: Vec<&'static Kind> = kinds::named(self.kinds).expect(known);
        let faults: Vec<&'static Fault> = faults::named(self.faults, false).expect(known);
        let load = Duration::from_secs(self.seconds);
        Settings { kinds, faults, load, fakes: false, three_brokers: false, planted: Vec::new(), ..settings.clone() }
    }
}

/// The rows that are named; `all` is all of them.
///
/// # Errors
/// When a name is not in the table.
pub fn named(names: &str) -> Result<Vec<&'static Planted>, String> {
    if names == "all" {
        Ok(PLANTED.iter().collect())
    } else {
        named::rows("bug", PLANTED, |row| row.bug, named::names(names))
    }
}

#[cfg(test)]
mod tests {
    use understudy_common::planted::Bug;

    use super::*;

    #[test]
    fn every_bug_has_a_row_and_every_row_a_bug() {
        let settings = Settings::from_environment();
        for row in PLANTED {
            assert!(Bug::named(row.bug).is_some(), "{}", row.bug);
            assert!(!row.settings(&settings).kinds.is_empty());
        }
        assert!(Bug::ALL.iter().all(|(name, _)| PLANTED.iter().filter(|row| row.bug == *name).count() == 1));
        assert!(named("meteor").is_err());
    }
}
