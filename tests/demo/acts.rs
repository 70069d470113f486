//! The acts.

mod all_well;
mod backup_killed;
mod kafka_killed;
mod primary_killed;

use std::time::Duration;

use crate::{
    demo::{Demo, Lag},
    screen::{number, seconds},
    writers::Writers,
};

/// An act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    AllWell,
    BackupKilled,
    KafkaKilled,
    PrimaryKilled,
}

/// What an act measured.
#[derive(Default)]
pub struct Figures {
    /// Documents that were compared.
    pub documents: u64,
    /// Documents whose write was acknowledged, and in which time.
    pub written: Option<(u64, Duration)>,
    /// The most that the backup was behind.
    pub lag: Option<Lag>,
    /// How long the backup took to catch up.
    pub drained: Option<Duration>,
}

impl Act {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::AllWell, Self::BackupKilled, Self::KafkaKilled, Self::PrimaryKilled];

    pub fn number(self) -> usize {
        self as usize + 1
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::AllWell => "all well",
            Self::BackupKilled => "the backup is killed",
            Self::KafkaKilled => "Kafka is killed",
            Self::PrimaryKilled => "the primary is killed",
        }
    }

    /// What will happen.
    pub fn plot(self) -> &'static str {
        match self {
            Self::AllWell => "documents are indexed, created, deleted; both sides are equal",
            Self::BackupKilled => "kill -9 under load; writes go on, the backup comes back and catches up",
            Self::KafkaKilled => "a write is refused within 3 s, and is on neither side",
            Self::PrimaryKilled => "a write is refused, and is on neither side",
        }
    }

    /// What was shown.
    pub fn lesson(self) -> &'static str {
        match self {
            Self::AllWell => "every write that was acknowledged is on the backup as well",
            Self::BackupKilled => "nothing that was acknowledged while the backup was dead is missing on it",
            Self::KafkaKilled => "what cannot be replicated is not written at all",
            Self::PrimaryKilled => "what the primary does not take is not on the backup either",
        }
    }

    /// About how long it takes, the comparison excepted.
    pub fn seconds(self) -> u64 {
        match self {
            Self::AllWell => 18,
            Self::BackupKilled => 40,
            Self::KafkaKilled => 12,
            Self::PrimaryKilled => 15,
        }
    }

    /// Whether the writers write in it. One caught by the death of Kafka or of the primary could not know whether it wrote.
    pub fn has_writers(self) -> bool {
        matches!(self, Self::AllWell | Self::BackupKilled)
    }

    /// Plays it. An error is the reason why it failed.
    pub async fn play(self, demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Figures> {
        match self {
            Self::AllWell => all_well::play(demo, writers).await,
            Self::BackupKilled => backup_killed::play(demo, writers).await,
            Self::KafkaKilled => kafka_killed::play(demo).await,
            Self::PrimaryKilled => primary_killed::play(demo).await,
        }
    }
}

impl Figures {
    /// Cells of the summary.
    pub fn cells(&self) -> Vec<String> {
        let none = || "-".to_owned();
        let rate = |(written, time): (u64, Duration)| number((written as f64 / time.as_secs_f64()).round() as u64);
        vec![
            number(self.documents),
            self.written.map_or_else(none, |(written, _)| number(written)),
            self.written.map_or_else(none, rate),
            self.lag.map_or_else(none, |lag| lag.to_string()),
            self.drained.map_or_else(none, seconds),
        ]
    }
}

impl std::fmt::Display for Lag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} records, {:.1} s", number(self.records), self.seconds)
    }
}

impl Lag {
    /// The greater of both, figure by figure.
    pub fn most(self, other: Self) -> Self {
        Self { records: self.records.max(other.records), seconds: self.seconds.max(other.seconds) }
    }
}
