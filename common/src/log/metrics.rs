//! What is counted of the log.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    exponential_buckets,
};

use crate::{kafka::PublishError, on_look};

/// What is counted of the log. Cheap to clone.
#[derive(Clone)]
pub struct LogMetrics {
    /// Intents that this process opened and looks after.
    pub open_intents: OpenIntents,
    /// Schema records that were published.
    pub schemas: IntCounter,
    /// Waiting for tickets.
    pub ticket_seconds: Histogram,
    void_effects: IntCounterVec,
    publish_seconds: HistogramVec,
    failures: IntCounterVec,
    brokers: Arc<OnceLock<Weak<AtomicBool>>>,
}

/// What is appended to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The intent of a write, or another one in its place.
    Ticket,
    /// The record that dates a look at documents.
    Look,
    /// What a write did, for a target.
    Effects,
    /// What an index is like.
    Schema,
    /// The end of an intent.
    Settlement,
    /// A fact that all processes share.
    Control,
}

impl Entry {
    /// Every one.
    pub const ALL: [Self; 6] = [Self::Ticket, Self::Look, Self::Effects, Self::Schema, Self::Settlement, Self::Control];

    fn label(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Look => "look",
            Self::Effects => "effects",
            Self::Schema => "schema",
            Self::Settlement => "settlement",
            Self::Control => "control",
        }
    }
}

fn why(error: &PublishError) -> &'static str {
    match error {
        PublishError::Down => "unreachable",
        PublishError::TimedOut(_) => "timeout",
        PublishError::TooLarge => "too_large",
        PublishError::Failed(_) => "failed",
    }
}

const WHY: [&str; 4] = ["unreachable", "timeout", "too_large", "failed"];

impl LogMetrics {
    /// Registers them. Those of open intents are for who opens some ([`OpenIntents::register`]).
    ///
    /// # Panics
    /// When two metrics have one name, which a test would show.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        macro_rules! register {
            ($metric:expr) => {{
                let metric = $metric.expect("a valid metric");
                registry.register(Box::new(metric.clone())).expect("names are unique");
                metric
            }};
        }
        let seconds = |name: &str, help: &str| {
            HistogramOpts::new(name, help).buckets(exponential_buckets(0.000_25, 2.0, 18).expect("valid buckets"))
        };
        let metrics = Self {
            open_intents: OpenIntents::default(),
            void_effects: register!(IntCounterVec::new(
                Opts::new(
                    "understudy_void_effects_total",
                    "Records of effects that came too late after their ticket and count as not published, by target"
                ),
                &["target"]
            )),
            schemas: register!(IntCounter::new(
                "understudy_schemas_published_total",
                "Records of what an index is like"
            )),
            ticket_seconds: register!(Histogram::with_opts(seconds(
                "understudy_ticket_seconds",
                "Waiting for the acknowledgement of a ticket"
            ))),
            publish_seconds: register!(HistogramVec::new(
                seconds("understudy_publish_seconds", "Waiting for the acknowledgements of effects, by target"),
                &["target"]
            )),
            failures: register!(IntCounterVec::new(
                Opts::new(
                    "understudy_publish_failures_total",
                    "Records that Kafka did not acknowledge, by what they were and why"
                ),
                &["record", "reason"]
            )),
            brokers: Arc::default(),
        };
        for entry in Entry::ALL {
            for why in WHY {
                metrics.failures.with_label_values(&[entry.label(), why]).inc_by(0);
            }
        }
        let up = IntGauge::new(
            "understudy_kafka_up",
            "1 while a broker of Kafka can be reached, as far as is known; 0 while none can, and before the first try",
        );
        let (up, brokers) = (up.expect("a valid metric"), metrics.brokers.clone());
        on_look::register(registry, vec![Box::new(up.clone())], move || {
            let down = brokers.get().and_then(Weak::upgrade);
            up.set(i64::from(down.is_some_and(|down| !down.load(Ordering::Acquire))));
        })
        .expect("names are unique");
        metrics
    }

    /// Shows the targets of the placement, also before anything is published to them.
    pub fn show_targets<'a>(&self, targets: impl IntoIterator<Item = &'a str>) {
        for target in targets {
            self.void_effects.with_label_values(&[target]).inc_by(0);
            let _ = self.publish_seconds.with_label_values(&[target]);
        }
    }

    /// From now on it is shown whether this producer reaches Kafka.
    pub(super) fn watch(&self, down: Weak<AtomicBool>) {
        // A process has one log.
        let _ = self.brokers.set(down);
    }

    /// Counts what was not acknowledged.
    pub(super) fn counted<T>(&self, entry: Entry, appended: Result<T, PublishError>) -> Result<T, PublishError> {
        if let Err(error) = &appended {
            self.failures.with_label_values(&[entry.label(), why(error)]).inc();
        }
        appended
    }

    pub(super) fn published(&self, target: &str, begun: Instant) {
        self.publish_seconds.with_label_values(&[target]).observe(begun.elapsed().as_secs_f64());
    }

    pub(super) fn void(&self, target: &str, records: usize) {
        self.void_effects.with_label_values(&[target]).inc_by(records as u64);
    }
}

/// Intents that this process opened and looks after. Cheap to clone.
#[derive(Clone, Default)]
pub struct OpenIntents(Arc<Open>);

#[derive(Default)]
struct Open {
    since: Mutex<BTreeSet<(Instant, u64)>>,
    next: AtomicU64,
}

impl Open {
    fn since(&self) -> MutexGuard<'_, BTreeSet<(Instant, u64)>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenIntents {
    /// Registers what is shown of them.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let open = IntGauge::new(
            "understudy_open_intents",
            "Open intents that this gateway looks after: its writes under way, and those that wait for their second look",
        )?;
        let oldest =
            Gauge::new("understudy_oldest_open_intent_seconds", "Age of the oldest of them; 0 when there is none")?;
        let intents = self.clone();
        on_look::register(registry, vec![Box::new(open.clone()), Box::new(oldest.clone())], move || {
            let (count, age) = intents.seen(Instant::now());
            open.set(count);
            oldest.set(age);
        })
    }

    /// One was opened.
    pub(super) fn opened(&self, begun: Instant) -> OpenIntent {
        let place = (begun, self.0.next.fetch_add(1, Ordering::Relaxed));
        self.0.since().insert(place);
        OpenIntent { open: self.clone(), place }
    }

    /// How many there are, and the age of the oldest in seconds.
    fn seen(&self, now: Instant) -> (i64, f64) {
        let since = self.0.since();
        let oldest = since.first().map_or(0.0, |(begun, _)| now.saturating_duration_since(*begun).as_secs_f64());
        (since.len() as i64, oldest)
    }
}

/// An intent that is looked after until this is dropped: it was settled, or is left to others.
pub struct OpenIntent {
    open: OpenIntents,
    place: (Instant, u64),
}

impl std::fmt::Debug for OpenIntent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OpenIntent").field(&self.place.1).finish()
    }
}

impl Drop for OpenIntent {
    fn drop(&mut self) {
        self.open.0.since().remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_intent_counts_until_it_is_dropped() {
        let intents = OpenIntents::default();
        let now = Instant::now();
        assert_eq!(intents.seen(now), (0, 0.0));
        // Two may begin in one moment, and acknowledgements come in another order.
        let young = intents.opened(now);
        let (old, twin) = (intents.opened(now - Duration::from_secs(3)), intents.opened(now));
        assert_eq!(intents.seen(now), (3, 3.0));
        drop(old);
        assert_eq!(intents.seen(now + Duration::from_secs(1)), (2, 1.0));
        drop((young, twin));
        assert_eq!(intents.seen(now), (0, 0.0));
    }

    #[test]
    fn failures_are_counted_by_what_and_why() {
        let registry = Registry::new();
        let metrics = LogMetrics::new(&registry);
        for error in [PublishError::Down, PublishError::TimedOut(Duration::ZERO), PublishError::TooLarge] {
            assert!(WHY.contains(&why(&error)));
            metrics.counted::<()>(Entry::Ticket, Err(error)).unwrap_err();
        }
        metrics.counted(Entry::Effects, Ok(())).unwrap();
        let down = Arc::new(AtomicBool::new(true));
        let shown = || prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(shown().contains("understudy_kafka_up 0"), "nobody has tried");
        metrics.watch(Arc::downgrade(&down));
        assert!(shown().contains("understudy_kafka_up 0"));
        down.store(false, Ordering::Release);
        let text = shown();
        for line in [
            "understudy_kafka_up 1",
            "understudy_publish_failures_total{reason=\"timeout\",record=\"ticket\"} 1",
            "understudy_publish_failures_total{reason=\"failed\",record=\"ticket\"} 0",
            "understudy_publish_failures_total{reason=\"timeout\",record=\"effects\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
