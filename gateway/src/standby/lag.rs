//! How far the target that answers reads is behind, while it does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::header::HeaderValue;
use understudy_common::{
    lag::{LagMeter, TargetLag},
    topics::Topics,
};

use super::{Standby, Watched, lock};

const EVERY: Duration = Duration::from_secs(1);
/// What was measured longer ago is no longer told.
const WORTH: Duration = Duration::from_secs(10);

/// Measures again and again while the primary is down.
pub(super) async fn follow(standby: Arc<Standby>) {
    let mut meter: Option<(String, LagMeter)> = None;
    loop {
        let serving = standby.primary_down().and_then(|_| standby.serving().ok());
        match serving {
            None => {
                meter = None;
                // What was true in this outage says nothing in the next.
                standby.targets.iter().for_each(|target| *lock(&target.lag) = None);
                standby.changed.notified().await;
            }
            Some(target) => {
                meter = measure(&standby, target, meter.take()).await;
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = standby.changed.notified() => {}
                }
            }
        }
    }
}

async fn measure(standby: &Standby, target: &Watched, meter: Option<(String, LagMeter)>) -> Option<(String, LagMeter)> {
    let name = target.client.name().to_owned();
    let kafka = standby.kafka.clone();
    let measured = tokio::task::spawn_blocking(move || {
        let mut meter = match meter.filter(|(of, _)| *of == name) {
            Some((_, meter)) => meter,
            None => {
                let topics = Topics::new(&kafka.topic_prefix);
                LagMeter::new(&kafka, &topics.target(&name), &topics.group(&name))?
            }
        };
        let lag = meter.measure()?;
        Ok::<_, understudy_common::kafka::ReadError>(((name, meter), lag))
    });
    match measured.await {
        Ok(Ok((meter, lag))) => {
            *lock(&target.lag) = Some((Instant::now(), lag));
            Some(meter)
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, cluster = target.client.name(), "its lag is not known");
            None
        }
        Err(_) => None,
    }
}

impl Watched {
    /// Its lag in seconds for a header, or `unknown`.
    pub fn lag_header(&self) -> HeaderValue {
        let text = match &*lock(&self.lag) {
            Some((measured, lag)) => seconds(lag, measured.elapsed()),
            None => None,
        };
        let value = text.and_then(|text| HeaderValue::from_str(&text).ok());
        value.unwrap_or_else(|| HeaderValue::from_static("unknown"))
    }
}

/// The lag of now, from one that was measured `ago`.
fn seconds(lag: &TargetLag, ago: Duration) -> Option<String> {
    if ago > WORTH || !lag.is_certain() {
        return None;
    }
    let seconds = if lag.records == 0 { 0.0 } else { lag.seconds + ago.as_secs_f64() };
    Some(format!("{seconds:.1}"))
}

#[cfg(test)]
mod tests {
    use understudy_common::lag::PartitionLag;

    use super::*;

    #[test]
    fn a_lag_grows_until_it_is_measured_again_and_is_not_told_for_ever() {
        let lag = |records, seconds| TargetLag { records, seconds, ..TargetLag::default() };
        let after = |lag: &TargetLag, millis| seconds(lag, Duration::from_millis(millis));
        assert_eq!(after(&lag(0, 0.0), 900).as_deref(), Some("0.0"));
        assert_eq!(after(&lag(3, 1.4), 500).as_deref(), Some("1.9"));
        assert_eq!(after(&lag(3, 1.4), 10_001), None);
        let of = |low, high, committed| {
            let partition = PartitionLag::new(low, high, Some(committed));
            TargetLag { partitions: [(0, partition)].into(), ..TargetLag::default() }
        };
        assert_eq!(after(&of(0, 10, 10), 0).as_deref(), Some("0.0"));
        assert_eq!(after(&of(10, 10, 3), 0), None, "records are gone that were never applied");
        assert_eq!(after(&of(0, 2, 7), 0), None, "the topic was made anew");
        assert_eq!(after(&of(0, 9, 7), 0), None, "since when is not known");
    }
}
