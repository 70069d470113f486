//! The gateway's metrics.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, exponential_buckets,
};
use understudy_common::log::LogMetrics;

/// Everything the gateway counts.
pub struct Metrics {
    /// Where it is registered.
    pub registry: Registry,
    /// Requests by class (`pass`, `bulk`, `document`, `index`, `refused`) and status.
    pub requests: IntCounterVec,
    /// Refusals by reason.
    pub refusals: IntCounterVec,
    /// What is counted of the log.
    pub log: LogMetrics,
    /// Intents that this gateway left open for good.
    pub intents_left_open: IntCounter,
    /// Intents that were opened again, because their writes ended late.
    pub intents_reopened: IntCounter,
    /// Documents that were read back, because their writes' answers did not tell what was stored.
    pub observed: IntCounter,
    /// Effects that were published, by kind (`put`, `delete`, `reference`).
    pub effects: IntCounterVec,
    /// Waiting for the primary's answer to a write.
    pub primary_seconds: Histogram,
    /// Waiting for the guard.
    pub guard_seconds: Histogram,
    /// Bytes of writes under way.
    pub bytes_in_flight: IntGauge,
    /// Whether the gateway takes writes.
    pub writes_open: IntGauge,
    /// Whether each cluster is up.
    pub cluster_up: IntGaugeVec,
    /// Reads that targets answered while the primary was down, by cluster.
    pub standby_reads: IntCounterVec,
    /// Whether the primary has nodes of an untested version.
    pub untested_version: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Panics
    /// When two metrics have one name, which a test would show.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        macro_rules! register {
            ($metric:expr) => {{
                let metric = $metric.expect("a valid metric");
                registry.register(Box::new(metric.clone())).expect("names are unique");
                metric
            }};
        }
        let by = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let seconds = |name: &str, help: &str| {
            let buckets = exponential_buckets(0.000_25, 2.0, 18).expect("valid buckets");
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
        };
        Self {
            requests: register!(by(
                "understudy_requests_total",
                "Requests of clients by class and status",
                &["class", "status"]
            )),
            refusals: register!(by(
                "understudy_refusals_total",
                "Requests that the gateway itself refused, by error type",
                &["reason"]
            )),
            log: LogMetrics::new(&registry),
            intents_left_open: register!(IntCounter::new(
                "understudy_intents_left_open_total",
                "Writes whose intent was left to the reconciler: their outcome is unknown or not in the log, or the cluster state moved"
            )),
            intents_reopened: register!(IntCounter::new(
                "understudy_intents_reopened_total",
                "Intents that were opened again, because their writes ended late: the gateway was frozen or slow"
            )),
            observed: register!(IntCounter::new(
                "understudy_observed_documents_total",
                "Documents that were read back from the primary, because the answer to their write did not tell what was stored"
            )),
            effects: register!(by(
                "understudy_effects_published_total",
                "Effects that are in the log of every target, by kind",
                &["kind"]
            )),
            primary_seconds: register!(seconds(
                "understudy_primary_seconds",
                "Waiting for the primary's answer to a write"
            )),
            guard_seconds: register!(seconds(
                "understudy_guard_seconds",
                "Looking at the cluster state after an answer"
            )),
            bytes_in_flight: register!(IntGauge::new(
                "understudy_bytes_in_flight",
                "Bodies of writes under way, in bytes"
            )),
            writes_open: register!(IntGauge::new(
                "understudy_writes_open",
                "1 when the gateway takes writes, 0 while Kafka or its topics are not ready, or the primary is of an untested version"
            )),
            untested_version: register!(IntGauge::new(
                "understudy_primary_untested_version",
                "1 while the primary has nodes of a version that was not tested: writes are refused, unless the configuration allows it"
            )),
            cluster_up: register!(IntGaugeVec::new(
                Opts::new(
                    "understudy_cluster_up",
                    "1 when the cluster answers, has a master and is the one that was recorded, 0 when not"
                ),
                &["cluster"]
            )),
            standby_reads: register!(by(
                "understudy_standby_reads_total",
                "Reads that a target answered while the primary was down, by cluster",
                &["cluster"]
            )),
            registry,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
