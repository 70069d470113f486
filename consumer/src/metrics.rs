//! What the consumer counts and measures. Labels are bounded: the target, its partitions, names of this code.

use std::{collections::BTreeMap, sync::Mutex};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use understudy_common::{log::LogMetrics, process_metrics};

use crate::{
    engine::{PartitionStatus, StopReason, Tally},
    reconciler::ReconcilerMetrics,
    verdict::BulkVerdict,
};

/// All metrics of a consumer.
pub struct Metrics {
    /// Where they are gathered.
    pub registry: Registry,
    /// What is counted of the log, which the reconciler writes.
    pub log: LogMetrics,
    /// What the reconciler counts.
    pub reconciler: ReconcilerMetrics,
    /// How long bulks take.
    pub bulk_seconds: Histogram,
    /// How many actions they have.
    pub bulk_actions: Histogram,
    /// Whether the target may be written: it answers, and is not the primary.
    pub target_up: Gauge,
    /// Whether the target has nodes of an untested version.
    pub target_untested: IntGauge,
    /// How many bytes bulks have.
    pub bulk_bytes: Histogram,
    /// Whether the target is the primary itself.
    pub target_is_primary: IntGauge,
    /// The most actions of a bulk as it is now.
    pub action_limit: IntGauge,
    target: String,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    oldest_unapplied: Gauge,
    headroom: GaugeVec,
    committed_offset: IntGaugeVec,
    end_offset: IntGaugeVec,
    effects: IntCounterVec,
    bulks: IntCounterVec,
    stopped: IntGaugeVec,
    dead_letters: IntCounter,
    dead_letters_undecided: IntGaugeVec,
    window_documents: IntGauge,
    partitions_assigned: IntGauge,
    partitions_unsettled: IntGauge,
    indices_waiting: IntGauge,
    counted: Mutex<Tally>,
}

/// Lag of one partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag {
    /// Records that are not applied.
    pub records: i64,
    /// Age of the oldest of them.
    pub seconds: f64,
    /// The end of the log.
    pub end: i64,
    /// Seconds until retention may delete something that is not applied: infinite where nothing is ever deleted; `None`
    /// where the topic's retention is not known yet.
    pub headroom: Option<f64>,
}

/// An index waits until this is dropped.
pub struct IndexWaits(IntGauge);

impl Drop for IndexWaits {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const PARTITION: [&str; 2] = ["target", "partition"];

impl Metrics {
    /// Metrics of the consumer of `target`, all at nothing.
    ///
    /// # Errors
    /// When two have one name.
    pub fn new(target: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        let constant = |opts: Opts| opts.const_label("target", target);
        let seconds =
            vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
        let bytes = prometheus::exponential_buckets(1_024.0, 4.0, 9)?;
        let actions = vec![1.0, 5.0, 20.0, 100.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 20_000.0];
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let opts = HistogramOpts::new(name, help).buckets(buckets).const_label("target", target);
            registered(r, Histogram::with_opts(opts)?)
        };
        let gauge = |name: &str, help: &str| registered(r, IntGauge::with_opts(constant(Opts::new(name, help)))?);
        let gauges =
            |name: &str, help: &str, labels: &[&str]| registered(r, IntGaugeVec::new(Opts::new(name, help), labels)?);
        process_metrics::register(r)?;
        let metrics = Self {
            log: LogMetrics::new(r),
            reconciler: ReconcilerMetrics::new(r)?,
            bulk_seconds: histogram("understudy_bulk_seconds", "Time from sending a bulk to its answer", seconds)?,
            bulk_actions: histogram("understudy_bulk_actions", "Actions of a bulk", actions)?,
            bulk_bytes: histogram("understudy_bulk_bytes", "Bytes of a bulk", bytes)?,
            target_untested: gauge(
                "understudy_target_untested_version",
                "1 while the target has nodes of a version that was not tested: it is not written, unless the configuration allows it",
            )?,
            target_up: registered(
                r,
                Gauge::with_opts(constant(Opts::new(
                    "understudy_target_up",
                    "1 while the target answers, 0 while it does not, and before the first answer",
                )))?,
            )?,
            target_is_primary: gauge(
                "understudy_target_is_primary",
                "1 when the target is the primary itself, which is never written",
            )?,
            action_limit: gauge(
                "understudy_batch_limit_actions",
                "The most actions of a bulk; falls while the target is overloaded",
            )?,
            lag_records: gauges("understudy_lag_records", "Records in the log that are not applied", &PARTITION)?,
            lag_seconds: registered(
                r,
                GaugeVec::new(
                    Opts::new(
                        "understudy_lag_seconds",
                        "Age of the oldest record that is not applied; 0 when there is none",
                    ),
                    &PARTITION,
                )?,
            )?,
            oldest_unapplied: registered(
                r,
                Gauge::with_opts(constant(Opts::new(
                    "understudy_oldest_unapplied_seconds",
                    "Age of the oldest effect that is not applied, of all partitions of this process; 0 when there is none",
                )))?,
            )?,
            headroom: registered(
                r,
                GaugeVec::new(
                    Opts::new(
                        "understudy_retention_headroom_seconds",
                        "Time until Kafka's retention may delete a record that is not applied: append time of the oldest one + retention.ms - now; +Inf where the topic keeps everything, negative when it is too late",
                    ),
                    &PARTITION,
                )?,
            )?,
            committed_offset: gauges("understudy_committed_offset", "The committed offset", &PARTITION)?,
            end_offset: gauges("understudy_end_offset", "The end of the log", &PARTITION)?,
            effects: registered(
                r,
                IntCounterVec::new(
                    Opts::new("understudy_effects_total", "Effects by what became of them"),
                    &["target", "verdict"],
                )?,
            )?,
            bulks: registered(
                r,
                IntCounterVec::new(
                    Opts::new("understudy_bulks_total", "Bulks by what the target said to them as a whole"),
                    &["target", "outcome"],
                )?,
            )?,
            stopped: gauges(
                "understudy_partition_stopped",
                "1 for a partition that does not go on until somebody acts",
                &["target", "partition", "reason"],
            )?,
            dead_letters: registered(
                r,
                IntCounter::with_opts(constant(Opts::new("understudy_dead_letters_total", "Dead letters written")))?,
            )?,
            dead_letters_undecided: gauges(
                "understudy_dead_letters_undecided",
                "Dead letters of the target upon which nobody has decided, whoever wrote them; not shown before it is known",
                &["target"],
            )?,
            window_documents: gauge("understudy_window_documents", "Documents in the windows of all partitions")?,
            partitions_assigned: gauge("understudy_partitions_assigned", "Partitions that this process has")?,
            partitions_unsettled: gauge(
                "understudy_partitions_unsettled",
                "Partitions that commit nothing for now, because a late bulk of them may still arrive in the target",
            )?,
            indices_waiting: gauge(
                "understudy_indices_waiting",
                "Indices whose effects wait: their schema is not known yet, or the target refuses it",
            )?,
            target: target.to_owned(),
            counted: Mutex::new(Tally::default()),
            registry,
        };
        metrics.count(Tally::default());
        for outcome in BulkVerdict::LABELS {
            metrics.bulks.with_label_values(&[target, outcome]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Counts a bulk.
    pub fn bulk(&self, verdict: &BulkVerdict) {
        self.bulks.with_label_values(&[self.target.as_str(), verdict.label()]).inc();
    }

    /// Takes over the counts of the engine.
    pub fn count(&self, tally: Tally) {
        let mut counted = self.counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (verdict, now, before) in [
            ("applied", tally.applied, counted.applied),
            ("superseded", tally.superseded, counted.superseded),
            ("retried", tally.retried, counted.retried),
            ("blocked", tally.blocked, counted.blocked),
            ("dead_letter", tally.dead_letter, counted.dead_letter),
            ("void", tally.void, counted.void),
            ("stale", tally.stale, counted.stale),
            ("collapsed", tally.collapsed, counted.collapsed),
            ("forced", tally.forced, counted.forced),
        ] {
            self.effects.with_label_values(&[self.target.as_str(), verdict]).inc_by(now.saturating_sub(before));
        }
        self.dead_letters.inc_by(tally.dead_letter.saturating_sub(counted.dead_letter));
        *counted = tally;
    }

    /// Shows how the partitions are doing. Those that are no longer there lose their series.
    pub fn show(&self, partitions: &[PartitionStatus], lags: &BTreeMap<i32, Lag>, gone: &[i32]) {
        for partition in gone {
            self.forget(*partition);
        }
        let target = self.target.as_str();
        for status in partitions {
            let name = status.partition.to_string();
            let labels = [target, name.as_str()];
            if let Some(committed) = status.committed {
                self.committed_offset.with_label_values(&labels).set(committed);
            }
            if let Some(lag) = lags.get(&status.partition) {
                self.lag_records.with_label_values(&labels).set(lag.records);
                self.lag_seconds.with_label_values(&labels).set(lag.seconds);
                self.end_offset.with_label_values(&labels).set(lag.end);
                if let Some(headroom) = lag.headroom {
                    self.headroom.with_label_values(&labels).set(headroom);
                }
            }
            for reason in StopReason::ALL {
                let stopped = i64::from(status.stopped == Some(reason));
                self.stopped.with_label_values(&[target, name.as_str(), reason.name()]).set(stopped);
            }
        }
        self.oldest_unapplied.set(lags.values().map(|lag| lag.seconds).fold(0.0, f64::max));
        self.window_documents.set(partitions.iter().map(|status| status.window as i64).sum());
        self.partitions_assigned.set(partitions.len() as i64);
        self.partitions_unsettled.set(partitions.iter().filter(|status| status.unsettled).count() as i64);
    }

    /// So many dead letters of the target wait for somebody's decision.
    pub fn dead_letters_wait(&self, letters: u64) {
        let letters = i64::try_from(letters).unwrap_or(i64::MAX);
        self.dead_letters_undecided.with_label_values(&[self.target.as_str()]).set(letters);
    }

    /// An index waits, for as long as the guard lives.
    #[must_use]
    pub fn index_waits(&self) -> IndexWaits {
        self.indices_waiting.inc();
        IndexWaits(self.indices_waiting.clone())
    }

    fn forget(&self, partition: i32) {
        let name = partition.to_string();
        let labels = [self.target.as_str(), name.as_str()];
        // What was never shown cannot be removed, which is as good.
        let _ = self.lag_records.remove_label_values(&labels);
        let _ = self.lag_seconds.remove_label_values(&labels);
        let _ = self.headroom.remove_label_values(&labels);
        let _ = self.committed_offset.remove_label_values(&labels);
        let _ = self.end_offset.remove_label_values(&labels);
        for reason in StopReason::ALL {
            let _ = self.stopped.remove_label_values(&[self.target.as_str(), name.as_str(), reason.name()]);
        }
    }
}

fn registered<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything has a help text and labels of a bounded number, and what is gone is shown no more.
    #[test]
    fn every_metric_is_explained_and_bounded() {
        let metrics = Metrics::new("backup").unwrap();
        let status = PartitionStatus {
            partition: 3,
            generation: 1,
            done: Some(4),
            committed: Some(4),
            oldest_ms: None,
            window: 0,
            stopped: None,
            unsettled: false,
        };
        let lag = Lag { records: 1, seconds: 2.0, end: 5, headroom: Some(f64::INFINITY) };
        metrics.show(&[status], &BTreeMap::from([(3, lag)]), &[]);
        let families = metrics.registry.gather();
        assert!(families.len() > 25, "{}", families.len());
        for family in &families {
            // What labels they have, and how else they are named, is in the manual (`tests/operating/metrics.rs`).
            assert!(family.help().len() > 5, "{}", family.name());
        }
        let shown =
            |metrics: &Metrics| prometheus::TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap();
        let text = shown(&metrics);
        for line in [
            "understudy_retention_headroom_seconds{partition=\"3\",target=\"backup\"} inf",
            "understudy_oldest_unapplied_seconds{target=\"backup\"} 2",
        ] {
            assert!(text.to_lowercase().contains(line), "{line} is not in {text}");
        }
        metrics.show(&[], &BTreeMap::new(), &[3]);
        assert!(!shown(&metrics).contains("partition=\"3\""));
    }
}
