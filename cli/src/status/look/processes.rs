//! What gateways and consumers say of themselves, at their admin ports.

use std::{collections::BTreeMap, time::Duration};

use hyper::Method;
use tokio::time::Instant;
use understudy_common::{
    cluster::{Answer, ClusterClient},
    config::ClusterConfig,
    exposition::Metrics,
};

use crate::status::picture::{Part, ProcessSeen, ProcessState};

const ASK: Duration = Duration::from_millis(3_500);
/// The largest `/metrics` that is read.
const MOST: usize = 16 << 20;

/// Looks at one process.
pub async fn look(address: &str, deadline: Instant) -> ProcessSeen {
    let config = ClusterConfig {
        urls: vec![format!("http://{address}")],
        tls: None,
        credentials: None,
        index_settings: BTreeMap::new(),
        allow_untested_version: false,
    };
    // An admin port is spoken to as a cluster is.
    let client = ClusterClient::new(address, &config);
    let get = |path: &'static str| client.ask(Method::GET, path, None, ASK, MOST);
    let asked = async { tokio::try_join!(get("/readyz"), get("/metrics")) };
    let seen = match tokio::time::timeout_at(deadline, asked).await {
        Err(_) => Part::unknown("it did not answer in time"),
        Ok(Err(error)) => Part::unknown(error.to_string().replace("cluster ", "")),
        Ok(Ok((ready, metrics))) => read(&ready, &metrics).into(),
    };
    ProcessSeen { address: address.to_owned(), seen }
}

fn read(ready: &Answer, metrics: &Answer) -> Result<ProcessState, String> {
    if !metrics.status.is_success() {
        return Err(format!("it answers {} to GET /metrics: is it the admin port?", metrics.status));
    }
    let not_ready = (!ready.status.is_success()).then(|| String::from_utf8_lossy(&ready.body).trim().to_owned());
    let metrics = Metrics::parse(&String::from_utf8_lossy(&metrics.body));
    Ok(ProcessState { not_ready, ..state(&metrics) })
}

/// What metrics say.
fn state(metrics: &Metrics) -> ProcessState {
    let number = |name: &str| metrics.has(name).then(|| metrics.sum(name, &[]) as u64);
    if metrics.has("understudy_writes_open") {
        return ProcessState {
            kind: "gateway",
            takes_writes: number("understudy_writes_open").map(|open| open > 0),
            requests_in_flight: number("understudy_requests_in_flight"),
            ..ProcessState::default()
        };
    }
    if !metrics.has("understudy_target_up") {
        return ProcessState { kind: "other", ..ProcessState::default() };
    }
    let stopped = |reason: &&str| metrics.sum("understudy_partition_stopped", &[("reason", reason)]) as u64;
    ProcessState {
        kind: "consumer",
        target: metrics.label("understudy_target_up", "target").map(str::to_owned),
        partitions: number("understudy_partitions_assigned"),
        stopped: metrics
            .labels("understudy_partition_stopped", "reason")
            .into_iter()
            .map(|reason| (reason.to_owned(), stopped(&reason)))
            .filter(|(_, partitions)| *partitions > 0)
            .collect(),
        unsettled: number("understudy_partitions_unsettled"),
        indices_waiting: number("understudy_indices_waiting"),
        target_is_primary: metrics.sum("understudy_target_is_primary", &[]) > 0.0,
        target_up: number("understudy_target_up").map(|up| up > 0),
        blocked: metrics
            .has("understudy_effects_total")
            .then(|| metrics.sum("understudy_effects_total", &[("verdict", "blocked")]) as u64),
        unreadable_intents: number("understudy_reconciler_unreadable_intents").unwrap_or_default(),
        ..ProcessState::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart_by_their_metrics() {
        let of = |text: &str| state(&Metrics::parse(text));
        let gateway = of("understudy_writes_open 0\nunderstudy_requests_in_flight 3\n");
        assert_eq!((gateway.kind, gateway.takes_writes, gateway.requests_in_flight), ("gateway", Some(false), Some(3)));
        let consumer = of("understudy_target_up{target=\"b\"} 1\nunderstudy_partitions_assigned{target=\"b\"} 6\n\
             understudy_partition_stopped{target=\"b\",partition=\"1\",reason=\"gap\"} 1\n\
             understudy_partition_stopped{target=\"b\",partition=\"2\",reason=\"gap\"} 1\n\
             understudy_partition_stopped{target=\"b\",partition=\"2\",reason=\"newer\"} 0\n\
             understudy_target_is_primary{target=\"b\"} 0\n");
        assert_eq!((consumer.kind, consumer.target.as_deref(), consumer.partitions), ("consumer", Some("b"), Some(6)));
        assert_eq!(consumer.stopped, BTreeMap::from([("gap".to_owned(), 2)]));
        assert!(!consumer.target_is_primary && consumer.target_up == Some(true));
        assert_eq!(of("up 1\n").kind, "other");
    }
}
