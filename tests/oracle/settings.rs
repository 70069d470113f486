//! What a run is told by its environment, and the times it gives to gateways and consumers.

use std::{path::PathBuf, time::Duration};

use understudy_tests::{Stage, repository};

use crate::{
    faults::{self, Fault},
    kinds::{self, KINDS, Kind},
    planted::{self, Planted},
    tamper::Tamper,
};

/// A run, or several one after another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `SEED=7` or `SEEDS="1 2 3"`: everything that is left to chance follows from it.
    pub seeds: Vec<u64>,
    /// `SECONDS_OF_LOAD` or `MINUTES`: how long writers write.
    pub load: Duration,
    /// `WRITERS`: how many.
    pub writers: u64,
    /// `KINDS=index,delete`: what they may write.
    pub kinds: Vec<&'static Kind>,
    /// `FAULTS=consumer-killed,backup-killed`, or `none`.
    pub faults: Vec<&'static Fault>,
    /// `TAMPER=lost`: what is done behind the system's back, so that the judge must find it.
    pub tamper: Option<Tamper>,
    /// `RECONCILER=no`: nobody settles intents in doubt, so they may stay open, and their documents differ.
    pub reconciled: bool,
    /// `FAKES=no`: nothing misbehaves between gateways, consumers and clusters.
    pub fakes: bool,
    /// `FORGETFUL=no`: the backup remembers its deletes.
    pub forgetful: bool,
    /// `BROKERS=3`: Kafka has three brokers, of which some die.
    pub three_brokers: bool,
    /// How long an effect counts after its ticket.
    pub ticket_lifetime: Duration,
    /// `PLANTED=no-window,…` or `all`: bugs that are planted one after another, and must be found.
    pub planted: Vec<&'static Planted>,
    /// `JUDGE=target/oracle/seed-7`: judges the files of an earlier run, and runs nothing.
    pub judge: Option<PathBuf>,
}

/// Short, as are all times of a run, so that it settles soon.
const TICKET_LIFETIME: Duration = Duration::from_secs(12);
/// How long a request may linger in a cluster: nothing may be frozen for longer than this that holds requests.
pub const LINGER: Duration = Duration::from_secs(8);

impl Settings {
    /// Reads the environment.
    ///
    /// # Panics
    /// When it says something that is not understood.
    pub fn from_environment() -> Self {
        let seeds = text("SEEDS").or_else(|| text("SEED")).unwrap_or_else(|| "1".to_owned());
        let kinds = text("KINDS").map(|names| kinds::named(&names).unwrap_or_else(|error| panic!("KINDS: {error}")));
        let three_brokers = text("BROKERS").is_some_and(|brokers| match brokers.as_str() {
            "1" => false,
            "3" => true,
            _ => panic!("BROKERS is [{brokers}], and may be 1 or 3"),
        });
        let faults = text("FAULTS")
            .map(|names| faults::named(&names, three_brokers).unwrap_or_else(|error| panic!("FAULTS: {error}")));
        Self {
            seeds: seeds.split([',', ' ']).filter(|seed| !seed.is_empty()).map(|seed| number("SEED", seed)).collect(),
            load: Duration::from_secs(match (text("MINUTES"), text("SECONDS_OF_LOAD")) {
                (Some(minutes), _) => 60 * number("MINUTES", &minutes),
                (None, Some(seconds)) => number("SECONDS_OF_LOAD", &seconds),
                (None, None) => 60,
            }),
            writers: text("WRITERS").map_or(10, |writers| number("WRITERS", &writers)),
            kinds: kinds.unwrap_or_else(|| KINDS.iter().collect()),
            faults: faults.unwrap_or_else(|| faults::possible(three_brokers)),
            tamper: text("TAMPER").map(|name| Tamper::named(&name).unwrap_or_else(|error| panic!("TAMPER: {error}"))),
            reconciled: text("RECONCILER").is_none_or(|reconciler| reconciler != "no"),
            fakes: text("FAKES").is_none_or(|fakes| fakes != "no"),
            forgetful: text("FORGETFUL").is_none_or(|forgetful| forgetful != "no"),
            three_brokers,
            ticket_lifetime: TICKET_LIFETIME,
            planted: text("PLANTED").map_or_else(Vec::new, |names| {
                planted::named(&names).unwrap_or_else(|error| panic!("PLANTED: {error}"))
            }),
            judge: text("JUDGE").map(PathBuf::from),
        }
    }

    /// Where the files of a seed are kept. What an earlier run of it left is taken away.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn folder(seed: u64) -> PathBuf {
        let folder = repository().join(format!("target/oracle/seed-{seed}"));
        // It may not be there.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        folder
    }
}

/// A stage with short times.
pub fn stage(seed: u64, ticket_lifetime: Duration) -> Stage {
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    Stage::new(&format!("oracle {seed}"))
        .set("kafka.partitions", 4)
        .set("gateway.intent_timeout", "2s")
        .set("gateway.primary_timeout", "5s")
        .set("gateway.publish_timeout", "4s")
        .set("consumer.target_timeout", "5s")
        .set("consumer.reconcile_after", "2s")
        .set("protocol.ticket_lifetime", seconds(ticket_lifetime))
        .set("protocol.clock_skew", "1s")
        .set("protocol.linger", seconds(LINGER))
        .set("protocol.stale_primary", "8s")
        .set("protocol.settle_after", "1s")
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str, value: &str) -> u64 {
    value.parse().unwrap_or_else(|error| panic!("{name} is [{value}]: {error}"))
}
