//! Which cluster answers reads: the primary while it is up, else the first target that is up, with its lag.
//!
//! ```text
//! probes, one task a cluster ─► health (decides) ─► Standby ◄─ read asks who answers, and says what it met
//! recorded identities (Kafka) ────────┘                ▲
//! lag of the target that answers (Kafka) ──────────────┘
//! ```

pub(crate) mod allow;
mod lag;
mod recorded;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use hyper::header::HeaderValue;
use prometheus::IntGaugeVec;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use understudy_common::{
    cluster::ClusterClient,
    config::{Config, KafkaConfig},
    lag::TargetLag,
    log::Log,
};

use crate::health::{self, Health, Look, Seen};

/// What is known of the clusters of a placement.
pub struct Standby {
    primary: Watched,
    /// In the order of the placement.
    targets: Vec<Watched>,
    /// `cluster_uuid` of each cluster, as Kafka has it.
    recorded: RwLock<BTreeMap<String, String>>,
    /// Another cluster counts as up or down now.
    changed: Notify,
    kafka: KafkaConfig,
    interval: Duration,
    up: IntGaugeVec,
}

/// One cluster.
pub struct Watched {
    /// Its client.
    pub client: ClusterClient,
    /// Its name, as a header says it.
    pub name: HeaderValue,
    health: Mutex<Health>,
    /// It is to be probed at once.
    doubt: Notify,
    /// What a probe saw last, of its identity.
    uuid: Mutex<Option<String>>,
    lag: Mutex<Option<(Instant, TargetLag)>>,
}

/// The answer to a probe is small.
const MAX_ANSWER: usize = 1 << 20;
/// Probes of a cluster that is in doubt come so many times as often.
const HASTE: u32 = 4;
/// Between two probes at least.
const LEAST: Duration = Duration::from_millis(50);

impl Standby {
    /// Nothing is asked yet. A primary is up until something else is known, a target is not.
    #[must_use]
    pub fn new(config: &Config, primary: ClusterClient, up: IntGaugeVec) -> Self {
        let targets = config.placements[0].targets.iter().map(|name| {
            let client = ClusterClient::new(name, &config.clusters[name]);
            tokio::spawn(client.watch());
            Watched::new(client, Health::down("it was not probed yet"))
        });
        let standby = Self {
            primary: Watched::new(primary, Health::up()),
            targets: targets.collect(),
            recorded: RwLock::default(),
            changed: Notify::new(),
            kafka: config.kafka.clone(),
            interval: config.gateway.health_interval,
            up,
        };
        for watched in standby.clusters() {
            standby.show(watched, watched.health().reason());
        }
        standby
    }

    /// Starts the tasks that probe the clusters, until `stop`.
    pub fn start(self: Arc<Self>, log: Log, stop: &CancellationToken) {
        let until_stop = |task| {
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled_owned(task).await });
        };
        for place in 0..=self.targets.len() {
            let standby = self.clone();
            let probing: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> =
                Box::pin(async move { standby.watch(place).await });
            until_stop(probing);
        }
        until_stop(Box::pin(recorded::follow(self.clone(), log)));
        until_stop(Box::pin(lag::follow(self)));
    }

    /// The primary.
    #[must_use]
    pub fn primary(&self) -> &Watched {
        &self.primary
    }

    /// Why the primary counts as down; `None` while it is up.
    #[must_use]
    pub fn primary_down(&self) -> Option<String> {
        self.primary.health().reason().map(str::to_owned)
    }

    /// The target that answers reads in place of the primary.
    ///
    /// # Errors
    /// Why none does.
    pub fn serving(&self) -> Result<&Watched, String> {
        let mut reasons = Vec::new();
        for target in &self.targets {
            match target.health().reason() {
                None => return Ok(target),
                Some(reason) => reasons.push(format!("{}: {reason}", target.client.name())),
            }
        }
        Err(reasons.join("; "))
    }

    /// A request met a primary that does not answer: it is probed at once.
    pub fn doubt_primary(&self) {
        self.primary.doubt();
    }

    fn clusters(&self) -> impl Iterator<Item = &Watched> {
        std::iter::once(&self.primary).chain(&self.targets)
    }

    fn recorded(&self, name: &str) -> Option<String> {
        self.recorded.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Probes one cluster for ever: the primary at 0, then the targets.
    async fn watch(&self, place: usize) {
        let is_primary = place == 0;
        let watched = if is_primary { &self.primary } else { &self.targets[place - 1] };
        loop {
            let seen = self.probe(watched).await;
            if let Seen::Well(uuid) = &seen {
                *lock(&watched.uuid) = Some(uuid.clone());
            }
            let name = watched.client.name();
            let recorded = self.recorded(name);
            let look = if is_primary { health::look_at_primary } else { health::look_at_target };
            let in_doubt = self.learn(watched, look(name, seen, recorded.as_deref()));
            // Whatever many requests say.
            tokio::time::sleep(LEAST).await;
            let is_up = watched.health().reason().is_none();
            tokio::select! {
                () = tokio::time::sleep(if in_doubt { self.interval / HASTE } else { self.interval }) => {}
                () = watched.doubt.notified(), if is_up && !in_doubt => {}
            }
        }
    }

    async fn probe(&self, watched: &Watched) -> Seen {
        let answers = watched.client.ask_each(health::PROBE, self.interval, MAX_ANSWER).await;
        let seen = answers.into_iter().map(|answer| {
            answer.map_or_else(
                |error| Seen::Down(error.to_string()),
                |answer| health::read_probe(answer.status, &answer.body),
            )
        });
        health::of_nodes(seen)
    }

    /// Answers whether the next look is wanted soon.
    fn learn(&self, watched: &Watched, look: Look) -> bool {
        let mut health = watched.health();
        let changed = health.learn(look);
        let (reason, in_doubt) = (health.reason().map(str::to_owned), health.is_in_doubt());
        drop(health);
        if changed {
            self.show(watched, reason.as_deref());
            let cluster = watched.client.name();
            match &reason {
                Some(reason) => tracing::warn!(cluster, reason, "the cluster is down"),
                None => tracing::info!(cluster, "the cluster is up"),
            }
            self.changed.notify_one();
        }
        in_doubt
    }

    fn show(&self, watched: &Watched, reason: Option<&str>) {
        self.up.with_label_values(&[watched.client.name()]).set(i64::from(reason.is_none()));
    }
}

impl Watched {
    fn new(client: ClusterClient, health: Health) -> Self {
        let name = HeaderValue::from_str(client.name()).expect("the configuration checked the name");
        Self {
            client,
            name,
            health: Mutex::new(health),
            doubt: Notify::new(),
            uuid: Mutex::default(),
            lag: Mutex::default(),
        }
    }

    /// A request met a cluster that does not answer: it is probed at once.
    pub fn doubt(&self) {
        self.doubt.notify_one();
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
