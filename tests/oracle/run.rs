//! One run: servers and processes, load and faults, rest, judgement.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::time::Instant;
use understudy_tests::{Brokers, Process, Servers, Stage, eventually};

use crate::{
    aside::Aside,
    fakes::Fakes,
    faults::{self, Done, Fault},
    history::Histories,
    judge::{Rule, Violation, judge},
    kinds::{self, Kind},
    ledger::{self, Entry, Outcome},
    links::{self, Ports},
    look,
    planted::Planted,
    report::{self, Times, say},
    scene,
    seen::Seen,
    settings::{self, Settings},
    settle::{self, settled},
    tamper::Tamper,
    world::World,
    writers::{Writer, Writers},
};

/// A system that was put under load, has settled and is still running.
pub struct Run {
    seed: u64,
    reconciled: bool,
    ticket_lifetime: Duration,
    /// How long it may take to come to rest.
    patience: Duration,
    folder: PathBuf,
    stage: Stage,
    world: Arc<World>,
    gateways: Vec<Process>,
    consumers: Vec<Process>,
    done: Vec<Done>,
    violations: Vec<Violation>,
    times: Times,
    _fakes: Option<Fakes>,
    /// They outlive the stage, which takes its topics away.
    _brokers: Option<Brokers>,
}

/// What a run came to.
pub struct Verdict {
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// What a reader gets.
    pub text: String,
}

/// How long a run with a planted bug may take to come to rest: mostly it never does.
const SHOWN_BY: Duration = Duration::from_secs(30);
/// How long a fresh write may take to be acknowledged once all is well.
const FRESH: Duration = Duration::from_secs(15);
/// How long servers may take to show themselves.
const SEEN: Duration = Duration::from_secs(30);

impl Run {
    /// Load and faults from a seed, until everything has settled.
    pub async fn of(seed: u64, settings: &Settings, faults: &[&'static Fault], servers: &Servers) -> Self {
        Self::with(seed, settings, faults, servers, None).await
    }

    /// As [`Run::of`], with a bug in every gateway and consumer.
    pub async fn with(
        seed: u64,
        settings: &Settings,
        faults: &[&'static Fault],
        servers: &Servers,
        planted: Option<&Planted>,
    ) -> Self {
        let folder = Settings::folder(seed);
        let begun = Instant::now();
        let mut stage = settings::stage(seed, settings.ticket_lifetime);
        let brokers = if settings.three_brokers { Some(Brokers::start().await) } else { None };
        if let Some(brokers) = &brokers {
            stage = stage
                .with_brokers(&brokers.addresses())
                .set("kafka.replication_factor", 3)
                .set("kafka.min_insync_replicas", 2);
        }
        if links::can_be_cut() {
            stage = stage.with_groups();
        }
        let fakes = if settings.fakes { Some(Fakes::before(&stage, seed).await) } else { None };
        if let Some(fakes) = &fakes {
            stage = fakes.stand_before(stage);
        }
        if let Some(planted) = planted {
            stage = stage.planted(planted.bug);
            stage = planted.set.into_iter().fold(stage, |stage, (key, value)| stage.set(key, value));
        }
        say(&format!("seed {seed}: {} s of load; ledgers in {}", settings.load.as_secs(), folder.display()));
        let world = Arc::new(World::make(&stage).await);
        let mut gateways = vec![stage.gateway().await, stage.gateway().await];
        let mut consumers = vec![stage.consumer().await, stage.consumer().await];
        if settings.kinds.iter().any(|kind| kind.name == "misfit") {
            scene::of_a_field_mapped_by_hand(&stage, &world, &folder, &gateways).await;
        }
        let (mut times, loaded) = (Times { start: begun.elapsed(), ..Times::default() }, Instant::now());

        let end = loaded + settings.load;
        let writer = |name: &str| Writer::new(name, &folder, &world, &stage, &gateways);
        let writers = Writers::start(settings.writers, seed, end, &settings.kinds, writer);
        let aside = Aside::start(seed, settings, &stage, &world, end);
        let of_fakes = fakes.as_ref().map(Fakes::addresses);
        let (primary, backup) =
            of_fakes.unwrap_or_else(|| (stage.primary().base().into(), stage.backup().base().into()));
        let ports = Ports::of(stage.kafka().bootstrap(), &primary, &backup);
        let done = faults::sabotage(
            seed,
            (servers, brokers.as_ref()),
            &stage,
            ports,
            faults,
            (&mut gateways, &mut consumers),
            end,
        )
        .await;
        writers.ended().await;
        aside.ended().await;
        fakes.iter().for_each(Fakes::off);
        if let Some(frozen) = planted.and_then(|planted| planted.frozen) {
            scene::of_a_frozen_gateway(&stage, &world, &folder, &gateways, frozen).await;
        }
        faults::keep(&folder, &done);
        times.load = loaded.elapsed();

        let reconciled = settings.reconciled;
        let violations = Vec::new();
        let patience = if planted.is_some() { SHOWN_BY } else { settle::WITHIN };
        let mut run = Self {
            seed,
            reconciled,
            ticket_lifetime: settings.ticket_lifetime,
            patience,
            folder,
            stage,
            world,
            gateways,
            consumers,
            done,
            violations,
            times,
            _fakes: fakes,
            _brokers: brokers,
        };
        run.settle().await;
        run
    }

    /// Waits for rest. What does not come to rest is a violation; the judge looks all the same.
    async fn settle(&mut self) {
        if !self.violations.is_empty() {
            // It would not come to rest this time either.
            return;
        }
        let begun = Instant::now();
        let entries = self.entries();
        let shards = look::shards(&self.stage, &entries, &[]).await.unwrap_or_else(|error| panic!("{error:#}"));
        if let Err(last) = settled(&self.stage, &shards, self.ticket_lifetime, self.reconciled, self.patience).await {
            self.violations.push(Violation::of_system(Rule::Stuck, format!("it does not settle: {last}")));
        }
        self.times.settle += begun.elapsed();
    }

    /// Writes through each gateway, which must be acknowledged, and waits until they have arrived.
    pub async fn write_fresh(&mut self) {
        let begun = Instant::now();
        let fresh: &'static Kind = kinds::named("index").expect("it is in the table")[0];
        let mut writer = Writer::new("fresh", &self.folder, &self.world, &self.stage, &self.gateways);
        for (place, gateway) in self.gateways.iter().enumerate() {
            let outcomes = writer.write(fresh, &[fresh], place, FRESH).await;
            if !matches!(outcomes[..], [Outcome::Acknowledged(_)]) {
                let says = format!("through {}: {outcomes:?}", gateway.name());
                self.violations.push(Violation::of_system(Rule::Stuck, says));
            }
        }
        self.times.judge += begun.elapsed();
        self.settle().await;
    }

    /// Judges while dead letters lie about, which must explain what differs; then the backup takes what it refused, and they
    /// are redriven. None is left, and from now on none explains anything.
    pub async fn redrive(&mut self) {
        let entries = self.entries();
        let seen = self.seen(&entries).await;
        if seen.dead.is_empty() {
            return;
        }
        let explained = judge(&Histories::of(&entries, &seen.shards), &seen, self.reconciled);
        self.violations.extend(explained);
        let begun = Instant::now();
        self.world.map_by_hand(&self.stage, true).await;
        let output = self.stage.run("understudy", &["dead-letters", "redrive", "--all"]).await;
        let said = String::from_utf8_lossy(&output.stdout);
        say(&format!("  {} dead letters: {}", seen.dead.len(), said.lines().next().unwrap_or_default()));
        let left = async || look::dead_letters(&self.stage).await;
        let left = eventually(SEEN, "dead letters are seen", left).await;
        if !output.status.success() || !left.is_empty() {
            let says = format!("{} letters are left after a redrive: {output:?}", left.len());
            self.violations.push(Violation::of_system(Rule::DeadLetter, says));
        }
        self.times.settle += begun.elapsed();
        self.settle().await;
    }

    /// Has everything that was ever published applied once more, to a backup that was restarted, while a gateway stands still
    /// with a write in hand.
    pub async fn apply_again(&mut self, servers: &Servers) {
        let consumers = &mut self.consumers;
        scene::of_a_log_applied_again(&self.stage, servers, &self.world, &self.folder, (&self.gateways, consumers))
            .await;
        self.settle().await;
    }

    /// Damages something behind the system's back; answers the id of the document.
    ///
    /// # Panics
    /// When nothing can be damaged.
    pub async fn tamper(&mut self, tamper: Tamper) -> String {
        let entries = self.entries();
        let seen = self.seen(&entries).await;
        let histories = Histories::of(&entries, &seen.shards);
        let id = tamper.commit(&self.stage, &seen, &histories).await.unwrap_or_else(|error| panic!("{error:#}"));
        say(&format!("  tampered: {tamper:?}, document {id}"));
        if tamper == Tamper::Extra {
            // It has to reach the backup, and then both sides differ for good.
            self.stage.wait_drained().await;
        }
        id
    }

    /// Looks at everything once more, and judges.
    pub async fn judge(&mut self) -> Verdict {
        let begun = Instant::now();
        let entries = self.entries();
        let seen = self.seen(&entries).await;
        let text = serde_json::to_vec(&seen).expect("it is JSON");
        std::fs::write(self.folder.join("seen.json"), text).expect("the folder can be written");
        let histories = Histories::of(&entries, &seen.shards);
        let mut violations = self.violations.clone();
        violations.extend(judge(&histories, &seen, self.reconciled));
        violations.sort_by_key(|violation| violation.rule);
        self.times.judge += begun.elapsed();
        let text = if violations.is_empty() {
            report::table(&histories, &seen, &self.done, &self.times)
        } else {
            report::verdict(self.seed, &violations, &entries, &histories, &seen)
        };
        Verdict { violations, text }
    }

    /// Ends it. Its files stay, with the logs of its processes.
    ///
    /// # Panics
    /// When the verdict names violations, or the logs cannot be kept. Then its indices and topics stay, too.
    pub async fn end(mut self, verdict: &Verdict) {
        for process in self.gateways.drain(..).chain(self.consumers.drain(..)) {
            std::fs::write(self.folder.join(format!("{}.log", process.name())), process.log()).expect("logs are kept");
        }
        say(&verdict.text);
        assert!(verdict.violations.is_empty(), "seed {}: see above, and {}", self.seed, self.folder.display());
        self.world.leave(&self.stage).await;
    }

    /// Ends it, whatever was found. What it wrote is taken away.
    pub async fn leave(self) {
        self.world.leave(&self.stage).await;
    }

    fn entries(&self) -> Vec<Entry> {
        ledger::read(&self.folder).unwrap_or_else(|error| panic!("{error:#}"))
    }

    async fn seen(&self, entries: &[Entry]) -> Seen {
        // Leaders may still move from broker to broker, and a look finds none.
        let look = async || look::everything(&self.stage, entries, self.ticket_lifetime).await;
        eventually(SEEN, "everything is seen", look).await
    }
}

/// Judges the files of an earlier run.
///
/// # Errors
/// When they cannot be read.
pub fn judge_again(folder: &Path, reconciled: bool) -> anyhow::Result<Verdict> {
    let entries = ledger::read(folder)?;
    let seen = std::fs::read(folder.join("seen.json")).context("seen.json")?;
    let seen: Seen = serde_json::from_slice(&seen)?;
    let done: Vec<Done> = serde_json::from_slice(&std::fs::read(folder.join("faults.json")).context("faults.json")?)?;
    let histories = Histories::of(&entries, &seen.shards);
    let violations = judge(&histories, &seen, reconciled);
    let text = if violations.is_empty() {
        report::table(&histories, &seen, &done, &Times::default())
    } else {
        report::verdict(0, &violations, &entries, &histories, &seen)
    };
    Ok(Verdict { violations, text })
}
