//! The acts.

mod all_well;
mod backup_killed;
mod gateway_killed;
mod kafka_killed;
mod primary_killed;

use std::time::Duration;

use crate::{
    demo::{Demo, Lag},
    screen::{number, seconds},
    writers::{Tally, Writers},
};

/// An act. Writers are at work in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    AllWell,
    BackupKilled,
    KafkaKilled,
    PrimaryKilled,
    GatewayKilled,
}

/// What an act measured.
pub struct Figures {
    /// Documents that were compared.
    pub documents: u64,
    /// What became of the writers' writes.
    pub written: Tally,
    /// The most that the backup was behind, in an act that watches it.
    pub lag: Option<Lag>,
    /// How long after the last write everything was at rest.
    pub rested: Duration,
}

impl Act {
    /// All of them, in their order.
    pub const ALL: [Self; 5] =
        [Self::AllWell, Self::BackupKilled, Self::KafkaKilled, Self::PrimaryKilled, Self::GatewayKilled];

    pub fn number(self) -> usize {
        self as usize + 1
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::AllWell => "all well",
            Self::BackupKilled => "the backup is killed",
            Self::KafkaKilled => "Kafka is killed",
            Self::PrimaryKilled => "the primary is killed",
            Self::GatewayKilled => "gateways are killed",
        }
    }

    /// What will happen.
    pub fn plot(self) -> &'static str {
        match self {
            Self::AllWell => "documents are indexed, created, deleted; both sides are equal",
            Self::BackupKilled => "kill -9 under load; writes go on, the backup comes back and catches up",
            Self::KafkaKilled => "kill -9 under load; writes are refused within 3 s, and are on neither side",
            Self::PrimaryKilled => "kill -9 under load; writes are refused, and the backup answers a search",
            Self::GatewayKilled => "kill -9 between the primary's answer and Kafka; others finish the write",
        }
    }

    /// What was shown.
    pub fn lesson(self) -> &'static str {
        match self {
            Self::AllWell => "every write that was acknowledged is on the backup as well",
            Self::BackupKilled => "nothing that was acknowledged while the backup was dead is missing on it",
            Self::KafkaKilled => "what cannot be replicated is not written at all",
            Self::PrimaryKilled => "what the primary does not take is not on the backup either, and reads go on",
            Self::GatewayKilled => "a write that its gateway did not live to publish is on the backup as well",
        }
    }

    /// About how long it takes, the comparison excepted.
    pub fn seconds(self) -> u64 {
        match self {
            Self::AllWell => 12,
            Self::BackupKilled => 30,
            Self::KafkaKilled | Self::PrimaryKilled | Self::GatewayKilled => 25,
        }
    }

    /// Plays it. An error is the reason why it failed.
    pub async fn play(self, demo: &Demo<'_>, writers: &Writers) -> anyhow::Result<Figures> {
        match self {
            Self::AllWell => all_well::play(demo, writers).await,
            Self::BackupKilled => backup_killed::play(demo, writers).await,
            Self::KafkaKilled => kafka_killed::play(demo, writers).await,
            Self::PrimaryKilled => primary_killed::play(demo, writers).await,
            Self::GatewayKilled => gateway_killed::play(demo, writers).await,
        }
    }
}

impl Figures {
    /// Applications must notice nothing of what happened.
    pub fn ensure_all_answered(&self) -> anyhow::Result<()> {
        let Tally { refused, unknown, .. } = self.written;
        anyhow::ensure!(refused + unknown == 0, "writes were not acknowledged: {}", self.written);
        Ok(())
    }

    /// What the cells of the summary are.
    pub const HEAD: [&'static str; 6] = ["documents", "written", "refused", "unknown", "lag, most", "at rest in"];

    /// Cells of the summary.
    pub fn cells(&self) -> Vec<String> {
        vec![
            number(self.documents),
            number(self.written.acknowledged()),
            number(self.written.refused),
            number(self.written.unknown),
            self.lag.map_or_else(|| "-".to_owned(), |lag| format!("{:.1} s", lag.seconds)),
            seconds(self.rested),
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
