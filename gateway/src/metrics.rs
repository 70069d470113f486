//! The gateway's metrics.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};
use understudy_common::{log::LogMetrics, process_metrics};

use crate::refusal::Refusal;

/// Everything the gateway counts.
pub struct Metrics {
    /// Where it is registered.
    pub registry: Registry,
    /// Requests by class (`pass`, `bulk`, `document`, `index`; `refused` where it is none of them) and status.
    pub requests: IntCounterVec,
    /// From the head of a request to the head of its answer, by class and class of status (`2xx`, …).
    pub request_seconds: HistogramVec,
    /// Requests whose answers have not left yet.
    pub requests_in_flight: IntGauge,
    /// Refusals by reason: the limit that was met, or the type of the error.
    pub refusals: IntCounterVec,
    /// Connections of clients.
    pub connections: IntGauge,
    /// Connections that the gateway itself ended, by reason.
    pub connections_cut: IntCounterVec,
    /// TLS handshakes that came to nothing, by reason.
    pub handshakes_failed: IntCounterVec,
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
    /// Looks of the guard that came to nothing.
    pub guard_failures: IntCounter,
    /// Bytes that writes under way take, every copy counted.
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

/// Why the gateway ends connections.
const CUTS: [&str; 4] = ["idle", "header_timeout", "send_timeout", "drain_timeout"];
/// Why handshakes come to nothing.
const NO_HANDSHAKE: [&str; 3] = ["timeout", "plain_http", "failed"];
/// What effects are.
const KINDS: [&str; 3] = ["put", "delete", "reference"];

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
            let buckets = exponential_buckets(0.000_25, 2.0, 19).expect("valid buckets");
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
        };
        process_metrics::register(&registry).expect("names are unique");
        let log = LogMetrics::new(&registry);
        log.open_intents.register(&registry).expect("names are unique");
        let metrics = Self {
            requests: register!(by(
                "understudy_requests_total",
                "Requests of clients by class and status",
                &["class", "status"]
            )),
            request_seconds: register!(HistogramVec::new(
                HistogramOpts::new(
                    "understudy_request_seconds",
                    "From the head of a request to the head of its answer, by class and class of status"
                )
                .buckets(exponential_buckets(0.001, 2.0, 17).expect("valid buckets")),
                &["class", "status"]
            )),
            requests_in_flight: register!(IntGauge::new(
                "understudy_requests_in_flight",
                "Requests of clients whose answers have not left yet"
            )),
            refusals: register!(by(
                "understudy_refusals_total",
                "Requests and connections that the gateway itself refused, by the limit that was met or the type of the error",
                &["reason"]
            )),
            connections: register!(IntGauge::new("understudy_connections", "Open connections of clients")),
            connections_cut: register!(by(
                "understudy_connections_cut_total",
                "Connections of clients that the gateway ended, by reason: idle, header_timeout, send_timeout, drain_timeout",
                &["reason"]
            )),
            handshakes_failed: register!(by(
                "understudy_tls_handshakes_failed_total",
                "Connections that never came to speak TLS, by reason: timeout, plain_http, failed",
                &["reason"]
            )),
            log,
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
            guard_failures: register!(IntCounter::new(
                "understudy_guard_failures_total",
                "Looks at the cluster state after an answer that came to nothing: such a write is read back, or left open"
            )),
            bytes_in_flight: register!(IntGauge::new(
                "understudy_bytes_in_flight",
                "Bytes that writes under way take, every copy counted"
            )),
            writes_open: register!(IntGauge::new(
                "understudy_writes_open",
                "1 when the gateway takes writes, 0 until it has found Kafka and its topics as they must be, and while the primary is of an untested version; whether Kafka and the primary answer is in understudy_kafka_up and understudy_cluster_up"
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
        };
        metrics.begin();
        metrics
    }

    /// Everything whose labels are known is there from the beginning: a counter that comes with its first event hides it
    /// from `rate()`.
    fn begin(&self) {
        for (counters, values) in [
            (&self.refusals, &Refusal::LABELS[..]),
            (&self.connections_cut, &CUTS[..]),
            (&self.handshakes_failed, &NO_HANDSHAKE[..]),
            (&self.effects, &KINDS[..]),
        ] {
            for value in values {
                counters.with_label_values(&[*value]).inc_by(0);
            }
        }
    }

    /// Shows the targets of the placement.
    pub fn show_targets(&self, targets: &[String]) {
        self.log.show_targets(targets.iter().map(String::as_str));
        for target in targets {
            self.standby_reads.with_label_values(&[target.as_str()]).inc_by(0);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
