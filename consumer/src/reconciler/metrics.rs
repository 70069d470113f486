//! What the reconciler counts and measures.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::open::Counts;

/// Metrics of the reconciler. Cheap to clone.
#[derive(Clone)]
pub struct ReconcilerMetrics {
    open_intents: IntGauge,
    oldest_open_seconds: Gauge,
    unreadable_intents: IntGauge,
    /// Looks at documents: a ticket, and what was read under it.
    pub looks: IntCounter,
    /// Looks and settlements that ended without an answer: of the primary, or of Kafka.
    pub failed_looks: IntCounter,
    /// Intents that were settled.
    pub settled: IntCounter,
    documents: IntCounterVec,
}

/// What was found of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its state, which was published.
    Effect,
    /// Nothing ever happened to it.
    Nothing,
    /// It cannot be told yet, or was not published.
    Unknown,
}

impl Found {
    const ALL: [Self; 3] = [Self::Effect, Self::Nothing, Self::Unknown];

    fn name(self) -> &'static str {
        match self {
            Self::Effect => "effect",
            Self::Nothing => "nothing",
            Self::Unknown => "unknown",
        }
    }
}

impl ReconcilerMetrics {
    /// Registers them, all at nothing.
    ///
    /// # Errors
    /// When two have one name.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        macro_rules! registered {
            ($metric:expr) => {{
                let metric = $metric?;
                registry.register(Box::new(metric.clone()))?;
                metric
            }};
        }
        let metrics = Self {
            open_intents: registered!(IntGauge::new(
                "understudy_reconciler_open_intents",
                "Open intents in the partitions that this process looks after"
            )),
            oldest_open_seconds: registered!(Gauge::new(
                "understudy_reconciler_oldest_open_seconds",
                "Age of the oldest of them; 0 when there is none"
            )),
            unreadable_intents: registered!(IntGauge::new(
                "understudy_reconciler_unreadable_intents",
                "Open intents that stay open until somebody acts: of another format, epoch or primary"
            )),
            looks: registered!(IntCounter::new(
                "understudy_reconciler_looks_total",
                "Looks at documents of open intents"
            )),
            failed_looks: registered!(IntCounter::new(
                "understudy_reconciler_failed_looks_total",
                "Looks and settlements that wait because the primary or Kafka did not answer"
            )),
            settled: registered!(IntCounter::new("understudy_reconciler_settled_total", "Intents that were settled")),
            documents: registered!(IntCounterVec::new(
                Opts::new("understudy_reconciler_documents_total", "Documents that were looked at, by what was found"),
                &["found"],
            )),
        };
        for found in Found::ALL {
            metrics.found(found, 0);
        }
        Ok(metrics)
    }

    /// Counts documents.
    pub fn found(&self, found: Found, documents: u64) {
        self.documents.with_label_values(&[found.name()]).inc_by(documents);
    }

    /// Shows what is open.
    pub fn show(&self, counts: Counts) {
        self.open_intents.set(counts.open as i64);
        self.unreadable_intents.set(counts.set_aside as i64);
        self.oldest_open_seconds.set(counts.oldest.as_secs_f64());
    }
}
