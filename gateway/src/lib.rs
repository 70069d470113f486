//! The gateway of Understudy: speaks Elasticsearch to applications, writes to the primary, and publishes what each write
//! did.
//!
//! ```text
//! server ─► service ─► admission, route ─┬─► read
//!                                        ├─► body ─► write::{bulk, document} ─► replicate ─► log, state, observe, schema
//!                                        └─► index_admin
//! read (all that is not a write) ─┬─► forward, to the primary
//!                                 └─► standby, while health says that it is down
//! ```

pub mod admission;
pub mod answer_body;
pub mod body;
pub mod budget;
pub mod document_id;
pub mod doubt;
pub mod failpoint;
pub mod forward;
pub mod gate;
pub mod gateway;
pub mod health;
pub mod index_admin;
pub mod intent;
pub mod metrics;
pub mod read;
pub mod refusal;
pub mod replicate;
pub mod reply;
pub mod request_body;
pub mod route;
pub mod server;
pub mod service;
pub mod settle;
pub mod standby;
pub mod write;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use gateway::Gateway;
use prometheus::Registry;
use server::{FrontFiles, Stopping};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use understudy_common::{
    admin::{self, Health},
    cluster::BoxError,
    config::Config,
    tls::{Reloading, Sections, register_ends},
};

/// How often it is looked whether certificates have changed.
const CERTIFICATES: Duration = Duration::from_secs(5);

/// A gateway that has just been started says that it is ready when it takes writes, lest a restart refuse some; but no later
/// than this.
const STARTING: Duration = Duration::from_secs(5);

struct GatewayHealth {
    gateway: Arc<Gateway>,
    stop: CancellationToken,
    started: Instant,
    was_ready: AtomicBool,
}

impl GatewayHealth {
    fn has_started(&self) -> bool {
        let gateway = &self.gateway;
        self.was_ready.load(Ordering::Acquire)
            || gateway.gate.placement().is_ok()
            || gateway.log.is_down()
            || self.started.elapsed() >= STARTING
    }
}

impl Health for GatewayHealth {
    /// Ready from its start until it drains. When the primary or Kafka is down it must stay behind the load balancer, to answer
    /// reads and to refuse writes with a reason.
    fn ready(&self) -> Result<(), String> {
        if self.stop.is_cancelled() {
            return Err("draining".to_owned());
        }
        if !self.has_started() {
            return Err("starting".to_owned());
        }
        self.was_ready.store(true, Ordering::Release);
        Ok(())
    }

    fn metrics(&self) -> &Registry {
        &self.gateway.metrics.registry
    }
}

/// Reads what the port shows to clients of TLS; `None` where it is plain.
///
/// # Errors
/// With the file and what is wrong with it.
pub fn front_files(config: &Config) -> Result<Option<Reloading<FrontFiles>>, String> {
    let files = config.gateway.tls.clone().map(FrontFiles);
    files.map(Reloading::new).transpose().map_err(|error| format!("gateway.tls: {error}"))
}

/// What tells when the certificates that are used end, by section of the configuration.
fn certificates(config: &Config, tls: Option<&Reloading<FrontFiles>>) -> Sections {
    let placement = &config.placements[0];
    let clusters = std::iter::once(&placement.primary).chain(&placement.targets);
    let mut sections = config.certificates(clusters.map(String::as_str));
    if let Some(tls) = tls.cloned() {
        sections.push(("gateway.tls".to_owned(), Box::new(move || tls.ends())));
    }
    sections
}

/// Runs a gateway until `stop`, then drains it: it says that it is not ready, accepts no more connections, lets running
/// requests end, and settles.
///
/// # Errors
/// When librdkafka refuses an option, or a certificate cannot be read.
pub async fn run(
    config: Config,
    listener: TcpListener,
    admin_listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), BoxError> {
    let tls = front_files(&config)?;
    let (gateway, waiting) = Gateway::new(&config)?;
    register_ends(&gateway.metrics.registry, certificates(&config, tls.as_ref()))?;
    let gateway = Arc::new(gateway);
    let drained = CancellationToken::new();
    let settling = tokio::spawn({
        let (gateway, settle_after, drained) = (gateway.clone(), config.protocol.settle_after, drained.clone());
        async move { settle::run(&gateway, waiting, settle_after, &drained).await }
    });
    let ended = CancellationToken::new();
    let health = Arc::new(GatewayHealth {
        gateway: gateway.clone(),
        stop: stop.clone(),
        started: Instant::now(),
        was_ready: AtomicBool::new(false),
    });
    let admin = tokio::spawn(admin::serve(admin_listener, health, ended.clone().cancelled_owned()));
    let opening = tokio::spawn({
        let (gateway, config, stop) = (gateway.clone(), config.clone(), stop.clone());
        async move { gateway.open(&config, &stop).await }
    });
    gateway.standby.clone().start(gateway.log.clone(), &ended);
    let watching = tls.clone().map(|tls| tokio::spawn(tls.watch(CERTIFICATES)));
    let closing = CancellationToken::new();
    tokio::spawn({
        let (stop, closing, notice) = (stop.clone(), closing.clone(), config.gateway.drain_notice);
        async move {
            stop.cancelled().await;
            // A load balancer must have noticed that the gateway is not ready before it stops to accept.
            tokio::time::sleep(notice).await;
            closing.cancel();
        }
    });
    let stopping = Stopping { draining: stop, closing, drain_timeout: config.gateway.drain_timeout };
    let deadline = server::serve(gateway.clone(), listener, tls, stopping).await;
    gateway.tasks.close();
    // Writes whose clients are gone, and settlements.
    if tokio::time::timeout_at(deadline, gateway.tasks.wait()).await.is_err() {
        tracing::warn!("some writes did not end in time; their intents stay open");
    }
    drained.cancel();
    // What waits for its second look is settled within that time.
    if tokio::time::timeout(config.protocol.settle_after + config.gateway.drain_timeout, settling).await.is_err() {
        tracing::warn!("some intents were not settled in time; the reconciler looks after them");
    }
    gateway.log.flush().await;
    ended.cancel();
    // It may be waiting for Kafka.
    opening.abort();
    if let Some(watching) = watching {
        watching.abort();
    }
    let _ = admin.await;
    Ok(())
}
