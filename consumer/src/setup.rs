//! Puts the parts together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus::Registry;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;
use understudy_common::{
    admin::{self, Health},
    cluster::ClusterClient,
    config::{Config, PlacementConfig},
    kafka::{Publisher, TopicError, ensure_topics},
    log::{Log, LogTimes},
    observe::{Observer, Terms},
    servers::{Part, Versions},
    tls::register_ends,
    topics::Topics,
};

use crate::{
    begun::Begun,
    dead_letter::DeadLetters,
    driver::{self, Parts, PollEnded},
    engine::{Engine, Limits},
    identity,
    metrics::Metrics,
    reconciler::Reconciler,
    reference::{Recorded, References},
    report::Reports,
    schema::{SchemaStore, follow, prepare::Preparer},
    service::BulkService,
    source::{self, Source, SourceConfig},
    undecided,
    window::DocumentHasher,
};

/// Why a consumer cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Its configuration is wrong.
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    /// librdkafka refuses its options.
    #[error("Kafka client: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// Metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A thread cannot be started.
    #[error("thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Kafka is not polled any more.
    #[error(transparent)]
    PollEnded(#[from] PollEnded),
    /// Nobody looks after open intents any more.
    #[error("the reconciler ended: {0}")]
    ReconcilerEnded(String),
}

/// Records on their way from the poll thread. Their bytes are bounded by the engine, which pauses partitions.
const EVENTS: usize = 64;
/// How long the dead-letter producer keeps a record.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(9);

/// Whether a consumer of `target` can run by this configuration.
///
/// # Errors
/// Everything that is wrong.
pub fn check(config: &Config, target: &str) -> Result<(), Vec<String>> {
    let mut errors = Vec::new();
    if placement(config, target).is_none() {
        let targets: Vec<&str> =
            config.placements.iter().flat_map(|placement| &placement.targets).map(String::as_str).collect();
        errors.push(format!("--target: must be a target of a placement ({}), not {target:?}", targets.join(", ")));
    }
    if let Err(error) = source::check(&config.kafka) {
        errors.push(format!("kafka.options: {error}"));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn placement<'a>(config: &'a Config, target: &str) -> Option<&'a PlacementConfig> {
    config.placements.iter().find(|placement| placement.targets.iter().any(|name| name == target))
}

struct Admin {
    metrics: Arc<Metrics>,
    leaving: AtomicBool,
}

impl Health for Admin {
    fn ready(&self) -> Result<(), String> {
        if self.leaving.load(Ordering::Acquire) { Err("stopping".into()) } else { Ok(()) }
    }

    fn metrics(&self) -> &Registry {
        &self.metrics.registry
    }
}

/// Applies the topic of `target` until `shutdown`, then ends what is under way, commits and leaves the group. Needs a
/// runtime of several threads. It starts while Kafka and the target are down, and waits for them.
///
/// # Errors
/// When it cannot go on, or could not begin.
pub async fn run(
    config: Config,
    target: String,
    admin_listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ConsumerError> {
    check(&config, &target).map_err(ConsumerError::Config)?;
    let metrics = Arc::new(Metrics::new(&target)?);
    let admin = Arc::new(Admin { metrics: metrics.clone(), leaving: AtomicBool::new(false) });
    let ended = CancellationToken::new();
    let served = tokio::spawn(admin::serve(admin_listener, admin.clone(), ended.clone().cancelled_owned()));
    let watched = {
        let (admin, shutdown) = (admin.clone(), shutdown.clone());
        tokio::spawn(async move {
            shutdown.cancelled().await;
            admin.leaving.store(true, Ordering::Release);
        })
    };
    let result = consume(&config, &target, metrics, shutdown).await;
    watched.abort();
    ended.cancel();
    let _ = served.await;
    result
}

async fn consume(
    config: &Config,
    target: &str,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<(), ConsumerError> {
    let Some(placement) = placement(config, target) else { return Ok(()) };
    register_ends(&metrics.registry, config.certificates([placement.primary.as_str(), target]))?;
    metrics.log.show_targets(placement.targets.iter().map(String::as_str));
    let topics = Topics::new(&config.kafka.topic_prefix);
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = topics_ready(config, placement, &topics) => {}
    }
    let consumer = &config.consumer;
    let publisher = Publisher::new(&config.kafka, &consumer.name, MESSAGE_TIMEOUT)?;
    let log = Log::new(publisher.clone(), &config.kafka, log_times(config), metrics.log.clone());
    let mut reconciler = Reconciler::start(config, placement, log, metrics.reconciler.clone(), shutdown.child_token());
    let client = ClusterClient::new(target, &config.clusters[target]);
    tokio::spawn(client.watch());
    let store = SchemaStore::default();
    let overtaken = follow::follow(&config.kafka, &topics.schema(), store.clone())?;
    let appending = tokio::spawn(follow::append_again(publisher.clone(), topics.schema(), overtaken));

    let source_config = SourceConfig {
        kafka: config.kafka.clone(),
        topic: topics.target(target),
        group: topics.group(target),
        control: topics.control(),
        schema: topics.schema(),
        name: consumer.name.clone(),
        revoke_timeout: consumer.revoke_timeout,
    };
    let (assigned, assigned_now) = watch::channel(Vec::new());
    let (spans, watermarks) = mpsc::channel(1);
    let watching = tokio::spawn(source::watch(source_config.clone(), assigned_now, spans));
    let (retentions, retention) = watch::channel(None);
    let keeping = tokio::spawn(source::watch_retention(source_config.clone(), retentions));
    let counting =
        tokio::spawn(undecided::watch(config.kafka.clone(), topics.clone(), target.to_owned(), metrics.clone()));
    let (identities, identity) = mpsc::channel(1);
    let watched = identity::Watched {
        client: client.clone(),
        versions: Versions::new(client.clone(), &config.clusters[target], Part::Target),
        untested: metrics.target_untested.clone(),
    };
    let (kafka, control, primary) = (config.kafka.clone(), topics.control(), placement.primary.clone());
    let identifying = tokio::spawn(identity::watch(kafka, control, primary, watched, identities));

    let (event_sender, events) = mpsc::channel(EVENTS);
    let source = Source::start(&source_config, event_sender)?;
    let hasher = DocumentHasher::new(random_key());
    let reports = Reports {
        kafka: config.kafka.clone(),
        publisher: publisher.clone(),
        topic: topics.target(target),
        intents: topics.intents(),
        name: consumer.name.as_str().into(),
        primary: placement.primary.as_str().into(),
        targets: placement.targets.iter().map(|target| target.as_str().into()).collect(),
        max_backoff: consumer.max_backoff,
    };
    let (primary_observer, primary_versions) = primary_reader(config, placement);
    let parts = Parts {
        source,
        events,
        watermarks,
        retention,
        assigned,
        identity,
        service: Arc::new(BulkService::new(
            client.clone(),
            consumer.target_timeout,
            config.protocol.linger,
            metrics.clone(),
        )),
        preparer: Arc::new(Preparer {
            client,
            store,
            overrides: config.clusters[target].index_settings.clone(),
            timeout: consumer.target_timeout,
            max_backoff: consumer.max_backoff,
            metrics: metrics.clone(),
            made: std::sync::Mutex::default(),
        }),
        begun: Begun::new(publisher.clone(), topics.control(), topics.target(target)),
        letters: Arc::new(DeadLetters::new(
            publisher,
            topics.target(target),
            topics.dead(target),
            consumer.max_backoff,
        )),
        references: References::new(
            primary_observer,
            primary_versions,
            Recorded::new(config.kafka.clone(), topics.control(), placement.primary.clone()),
            consumer.max_backoff,
        ),
        reports,
        metrics,
        hasher,
        protocol: config.protocol,
        target: target.to_owned(),
        source_config,
    };
    let stop = shutdown.child_token();
    let drive = driver::drive(parts, Engine::new(limits(config), hasher), stop.clone());
    tokio::pin!(drive);
    let result = tokio::select! {
        result = &mut drive => {
            reconciler.end().await;
            result.map_err(ConsumerError::from)
        }
        reason = reconciler.ended() => {
            tracing::error!(reason, "the reconciler ended; the process ends, too");
            stop.cancel();
            let _ = tokio::time::timeout(consumer.revoke_timeout, drive).await;
            Err(ConsumerError::ReconcilerEnded(reason))
        }
    };
    for task in [watching, keeping, counting, identifying, appending] {
        task.abort();
    }
    result
}

/// Reads documents of the primary, however large they are, and its versions.
fn primary_reader(config: &Config, placement: &PlacementConfig) -> (Observer, Versions) {
    let cluster = &config.clusters[&placement.primary];
    let primary = ClusterClient::new(&placement.primary, cluster);
    tokio::spawn(primary.watch());
    let terms = Arc::new(Terms::new(config.protocol.stale_primary));
    let versions = Versions::new(primary.clone(), cluster, Part::Primary);
    (Observer::new(primary, terms, config.consumer.target_timeout, usize::MAX), versions)
}

/// How long the log is waited for: as long as gateways do.
fn log_times(config: &Config) -> LogTimes {
    LogTimes {
        intent_timeout: config.gateway.intent_timeout,
        publish_timeout: config.gateway.publish_timeout,
        ticket_lifetime: config.protocol.ticket_lifetime,
        clock_skew: config.protocol.clock_skew,
    }
}

/// Waits until the topics are there and as they must be.
async fn topics_ready(config: &Config, placement: &PlacementConfig, topics: &Topics) {
    let specs = topics.specs(&config.kafka, &placement.targets);
    let mut said = String::new();
    loop {
        let pause = match ensure_topics(&config.kafka, &specs).await {
            Ok(()) => return,
            Err(error) => {
                let text = error.to_string();
                let wrong = matches!(error, TopicError::Wrong(_));
                if text != said {
                    if wrong {
                        tracing::error!(%error, "the topics are not as they must be; nothing is applied");
                    } else {
                        tracing::warn!(%error, "waiting for Kafka");
                    }
                    said = text;
                }
                Duration::from_secs(if wrong { 5 } else { 1 })
            }
        };
        tokio::time::sleep(pause).await;
    }
}

fn limits(config: &Config) -> Limits {
    let consumer = &config.consumer;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        batch_bytes: size(consumer.batch_bytes),
        batch_actions: size(consumer.batch_actions),
        linger: consumer.linger,
        max_backoff: consumer.max_backoff,
        max_buffered_bytes: size(consumer.max_buffered_bytes),
        ticket_lifetime: config.protocol.ticket_lifetime,
        window: config.protocol.window(),
        lingers: config.protocol.linger,
    }
}

/// 128 random bits.
fn random_key() -> [u8; 16] {
    let id = understudy_common::process::random_id();
    u128::from_str_radix(&id, 16).unwrap_or_default().to_be_bytes()
}
