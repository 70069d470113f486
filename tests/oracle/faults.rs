//! What fails during a run: a table, and two who work through it, so that two things may fail at once.

use std::{path::Path, time::Duration};

use tokio::time::Instant;
use understudy_tests::{Brokers, Process, Servers, Stage};

use crate::{
    dice::Dice,
    ledger::now,
    links::{self, Cut, Ports},
    named,
    report::say,
    scene::begin_again,
    settings::LINGER,
};

/// A row of the table.
#[derive(Debug)]
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    victim: Victim,
    how: How,
    weight: u64,
    at_most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Gateway,
    Consumer,
    Server(&'static str),
    /// The link of a gateway to a server.
    GatewayTo(&'static str),
    /// The link of a consumer to a server.
    ConsumerTo(&'static str),
    /// The backup goes, and while it is away a consumer is killed and started again.
    BackupAndConsumer,
    /// One of three brokers of Kafka.
    Broker,
    /// Two of three: what is left has no majority, and no partition has two replicas in sync.
    TwoBrokers,
    /// All consumers stop, the backup is killed and started again, and the group begins at the beginning of the log.
    Group,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// `kill -9`, and started again so many milliseconds later.
    Killed(u64, u64),
    /// Stopped for so many milliseconds, and let go on.
    Frozen(u64, u64),
    /// Ended orderly, and started again so many milliseconds later.
    Stopped(u64, u64),
    /// Everything between the two is lost for so many milliseconds.
    Cut(u64, u64),
}

const fn fault(name: &'static str, victim: Victim, how: How, weight: u64, at_most: usize) -> Fault {
    Fault { name, victim, how, weight, at_most }
}

/// The primary may hold requests, so it must not stand still for as long as a request may linger.
const PRIMARY_FROZEN: u64 = LINGER.as_millis() as u64 / 2;

/// A packet that was lost is sent again after up to as long as the link was cut: altogether not longer than a request may linger.
const CLUSTER_CUT: u64 = LINGER.as_millis() as u64 / 4;

/// The table. Of those that take long there are few, so that load remains between them.
pub static FAULTS: &[Fault] = &[
    fault("gateway-killed", Victim::Gateway, How::Killed(100, 4_000), 4, 6),
    fault("gateway-frozen", Victim::Gateway, How::Frozen(300, 5_000), 3, 4),
    // Longer than an effect counts after its ticket.
    fault("gateway-frozen-long", Victim::Gateway, How::Frozen(12_500, 16_000), 2, 1),
    fault("primary-frozen", Victim::Server("primary"), How::Frozen(500, PRIMARY_FROZEN), 2, 3),
    fault("consumer-killed", Victim::Consumer, How::Killed(100, 4_000), 4, 6),
    fault("consumer-frozen", Victim::Consumer, How::Frozen(300, 5_000), 3, 4),
    fault("consumer-frozen-long", Victim::Consumer, How::Frozen(9_000, 15_000), 1, 1),
    fault("backup-killed", Victim::Server("backup"), How::Killed(100, 3_000), 2, 2),
    fault("backup-and-consumer-killed", Victim::BackupAndConsumer, How::Killed(1_000, 3_000), 2, 2),
    fault("kafka-killed", Victim::Server("kafka"), How::Killed(100, 3_000), 2, 1),
    fault("gateway-primary-cut", Victim::GatewayTo("primary"), How::Cut(300, CLUSTER_CUT), 3, 4),
    fault("gateway-kafka-cut", Victim::GatewayTo("kafka"), How::Cut(500, 10_000), 3, 3),
    fault("consumer-backup-cut", Victim::ConsumerTo("backup"), How::Cut(300, CLUSTER_CUT), 3, 4),
    fault("consumer-kafka-cut", Victim::ConsumerTo("kafka"), How::Cut(500, 12_000), 3, 3),
    fault("log-applied-again", Victim::Group, How::Killed(100, 2_000), 2, 1),
    fault("kafka-frozen", Victim::Server("kafka"), How::Frozen(500, 6_000), 2, 2),
];

/// What is done to three brokers, in place of what is done to one. A broker that is back leads its partitions again after
/// some seconds, so that every one of these moves leaders twice under load.
pub static OF_BROKERS: &[Fault] = &[
    fault("broker-killed", Victim::Broker, How::Killed(100, 6_000), 4, 3),
    // It hands its partitions over before it goes.
    fault("leader-moved", Victim::Broker, How::Stopped(100, 2_000), 4, 2),
    // A follower makes acknowledgements late, a leader silences its partitions, until Kafka counts it as gone.
    fault("broker-frozen", Victim::Broker, How::Frozen(500, 8_000), 4, 3),
    fault("two-brokers-killed", Victim::TwoBrokers, How::Killed(500, 4_000), 2, 1),
    fault("two-brokers-frozen", Victim::TwoBrokers, How::Frozen(500, 6_000), 2, 1),
];

/// All rows that can be done here, to a Kafka of one broker or of three.
pub fn possible(three_brokers: bool) -> Vec<&'static Fault> {
    let rows = FAULTS.iter().filter(|fault| !matches!(fault.how, How::Cut(..)) || links::can_be_cut());
    if three_brokers {
        rows.filter(|fault| fault.victim != Victim::Server("kafka")).chain(OF_BROKERS).collect()
    } else {
        rows.collect()
    }
}

/// The rows that are named; `none` is none.
///
/// # Errors
/// When a name is not in the tables, or is done to three brokers where there is one, or the other way round.
pub fn named(names: &str, three_brokers: bool) -> Result<Vec<&'static Fault>, String> {
    let names = || named::names(names).filter(|name| *name != "none");
    let (of_brokers, others): (Vec<&str>, Vec<&str>) =
        names().partition(|name| OF_BROKERS.iter().any(|fault| fault.name == *name));
    if !of_brokers.is_empty() && !three_brokers {
        return Err(format!("{of_brokers:?} need BROKERS=3"));
    }
    let mut rows = named::rows("fault", FAULTS, |fault| fault.name, others.into_iter())?;
    if three_brokers && rows.iter().any(|fault| fault.victim == Victim::Server("kafka")) {
        return Err("the kafka of kafka-killed and kafka-frozen is not the one of BROKERS=3".to_owned());
    }
    rows.extend(named::rows("fault", OF_BROKERS, |fault| fault.name, of_brokers.into_iter())?);
    Ok(rows)
}

/// A fault that was done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Done {
    /// When it began, in milliseconds since 1970.
    pub began: i64,
    /// When all was well again.
    pub ended: i64,
    /// What it was.
    pub name: String,
    /// Who it befell.
    pub victim: String,
}

/// Who does faults to some processes, and to the servers beside them.
struct Saboteur<'a> {
    dice: Dice,
    servers: &'a Servers,
    brokers: Option<&'a Brokers>,
    stage: &'a Stage,
    ports: Ports,
    faults: Vec<&'static Fault>,
    processes: &'a mut [Process],
    begun: i64,
    /// How many times a minute the run takes: so many times the faults of a minute are allowed.
    times: usize,
    done: Vec<Done>,
}

/// Does faults until the end, and a little longer until everything runs again; answers what was done.
///
/// # Panics
/// When something cannot be started again.
pub async fn sabotage(
    seed: u64,
    (servers, brokers): (&Servers, Option<&Brokers>),
    stage: &Stage,
    ports: Ports,
    faults: &[&'static Fault],
    (gateways, consumers): (&mut [Process], &mut [Process]),
    end: Instant,
) -> Vec<Done> {
    let of_gateways =
        |victim| matches!(victim, Victim::Gateway | Victim::GatewayTo(_)) || victim == Victim::Server("primary");
    let (front, back): (Vec<&Fault>, Vec<&Fault>) = faults.iter().partition(|fault| of_gateways(fault.victim));
    let begun = now();
    let minutes = end.duration_since(Instant::now()).as_secs().div_ceil(60);
    let times = usize::try_from(minutes.max(1)).expect("it is small");
    let saboteur = |name, faults, processes| Saboteur {
        dice: Dice::of(seed, name),
        servers,
        brokers,
        stage,
        ports,
        faults,
        processes,
        begun,
        times,
        done: Vec::new(),
    };
    let front = saboteur("faults of gateways", front, gateways).work(end);
    let back = saboteur("faults of consumers", back, consumers).work(end);
    let (front, back) = tokio::join!(front, back);
    let mut done = [front, back].concat();
    done.sort_by_key(|done| done.began);
    done
}

impl Saboteur<'_> {
    async fn work(mut self, end: Instant) -> Vec<Done> {
        loop {
            let next = Instant::now() + Duration::from_millis(self.dice.between(1_500, 6_000));
            let left: Vec<&'static Fault> = self.faults.iter().filter(|fault| !self.is_spent(fault)).copied().collect();
            if next >= end || left.is_empty() {
                return self.done;
            }
            tokio::time::sleep_until(next).await;
            let fault = *self.dice.weighted(&left, |fault| fault.weight);
            self.commit(fault).await;
        }
    }

    fn is_spent(&self, fault: &Fault) -> bool {
        self.done.iter().filter(|done| done.name == fault.name).count() >= fault.at_most * self.times
    }

    async fn commit(&mut self, fault: &'static Fault) {
        let process = usize::try_from(self.dice.below(self.processes.len() as u64)).expect("it is small");
        let broker = usize::try_from(self.dice.between(1, 3)).expect("it is small");
        // With two victims the other one is the next.
        let two = [broker, broker % 3 + 1];
        let victim = match fault.victim {
            Victim::Broker => format!("broker {broker}"),
            Victim::TwoBrokers => format!("brokers {} and {}", two[0], two[1]),
            Victim::GatewayTo(server) | Victim::ConsumerTo(server) => {
                format!("{} to {server}", self.processes[process].name())
            }
            Victim::Gateway | Victim::Consumer => self.processes[process].name().to_owned(),
            Victim::Server(server) => server.to_owned(),
            Victim::BackupAndConsumer => format!("backup, {}", self.processes[process].name()),
            Victim::Group => "backup, all consumers".to_owned(),
        };
        let began = now();
        let (How::Killed(least, most) | How::Frozen(least, most) | How::Stopped(least, most) | How::Cut(least, most)) =
            fault.how;
        let lasts = Duration::from_millis(self.dice.between(least, most));
        let at = seconds(began - self.begun);
        say(&format!("  {at:>6} s  {} ({victim}) for {:.1} s", fault.name, lasts.as_secs_f32()));
        match (fault.victim, fault.how) {
            (Victim::Broker, how) => self.to_brokers(&two[..1], how, lasts).await,
            (Victim::TwoBrokers, how) => self.to_brokers(&two, how, lasts).await,
            (Victim::GatewayTo(server) | Victim::ConsumerTo(server), _) => {
                let port = match server {
                    "kafka" => self.ports.kafka,
                    "primary" => self.ports.primary,
                    _ => self.ports.backup,
                };
                let group = self.processes[process].group().expect("processes have groups where links are cut");
                let cut = Cut::of(group, port);
                tokio::time::sleep(lasts).await;
                cut.mend();
            }
            (Victim::BackupAndConsumer, _) => {
                self.servers.kill("backup").await;
                tokio::time::sleep(lasts).await;
                self.processes[process].kill();
                self.processes[process].restart().await;
                self.servers.start("backup").await;
            }
            (Victim::Group, _) => {
                for process in &mut *self.processes {
                    process.stop().await;
                }
                self.servers.kill("backup").await;
                tokio::time::sleep(lasts).await;
                self.servers.start("backup").await;
                begin_again(self.stage).await;
                for process in &mut *self.processes {
                    process.restart().await;
                }
            }
            (Victim::Server(server), How::Killed(..)) => {
                self.servers.kill(server).await;
                tokio::time::sleep(lasts).await;
                self.servers.start(server).await;
            }
            (Victim::Server(server), _) => {
                self.servers.freeze(server);
                tokio::time::sleep(lasts).await;
                self.servers.thaw(server);
            }
            (Victim::Gateway | Victim::Consumer, How::Killed(..)) => {
                self.processes[process].kill();
                tokio::time::sleep(lasts).await;
                self.processes[process].restart().await;
            }
            (Victim::Gateway | Victim::Consumer, _) => {
                self.processes[process].freeze();
                tokio::time::sleep(lasts).await;
                self.processes[process].thaw();
            }
        }
        self.done.push(Done { began, ended: now(), name: fault.name.to_owned(), victim });
    }

    /// Does something to brokers, all at once.
    async fn to_brokers(&self, victims: &[usize], how: How, lasts: Duration) {
        let brokers = self.brokers.expect("faults of brokers are chosen where there are three");
        for broker in victims {
            match how {
                How::Killed(..) => brokers.kill(*broker).await,
                How::Stopped(..) => brokers.stop(*broker).await,
                How::Frozen(..) | How::Cut(..) => brokers.freeze(*broker).await,
            }
        }
        tokio::time::sleep(lasts).await;
        match how {
            How::Killed(..) | How::Stopped(..) => brokers.restart_all().await,
            How::Frozen(..) | How::Cut(..) => {
                for broker in victims {
                    brokers.thaw(*broker).await;
                }
            }
        }
    }
}

fn seconds(millis: i64) -> String {
    format!("{}.{}", millis / 1_000, millis % 1_000 / 100)
}

/// Writes down what was done, for whoever judges again.
///
/// # Panics
/// When it cannot.
pub fn keep(folder: &Path, done: &[Done]) {
    let text = serde_json::to_string_pretty(done).expect("faults are JSON");
    std::fs::write(folder.join("faults.json"), text).expect("the folder can be written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_by_name_and_none_is_none() {
        assert_eq!(named("consumer-killed backup-killed", false).unwrap().len(), 2);
        assert_eq!(named("consumer-killed broker-killed", true).unwrap().len(), 2);
        assert!(named("none", false).unwrap().is_empty());
        assert!(named("meteor", true).is_err());
        assert!(named("broker-killed", false).is_err() && named("kafka-killed", true).is_err());
    }
}
