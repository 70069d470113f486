//! The figures of the Helm chart: how long a pod is given for what, before it goes and until it has gone.

use std::{collections::HashMap, time::Duration};

use understudy_common::config::Config;
use understudy_tests::{Stage, repository};

/// What stands in the chart, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Between the end of a gateway's endpoint and SIGTERM.
    pub pre_stop: Duration,
    /// How long a new pod is watched before an old one goes.
    pub min_ready: Duration,
    /// From its deletion until kubelet kills a gateway.
    pub gateway_grace: Duration,
    /// From its deletion until kubelet kills a consumer.
    pub consumer_grace: Duration,
}

/// What the chart adds to what drain and hand-over may take together (`templates/gateway.yaml`, `templates/consumer.yaml`).
const MARGIN: Duration = Duration::from_secs(10);
/// A consumer gives up so long after `revoke_timeout` (`consumer/src/main.rs`).
const CONSUMER_LEAVES: Duration = Duration::from_secs(10);

/// `config.gateway.drain_notice` of the chart, as it is written there.
pub fn drain_notice() -> String {
    value_of("values.yaml", "drain_notice:")
}

impl Figures {
    /// Those of the chart as it stands, with what the configuration of a stage says of the rest.
    pub fn of(stage: &Stage) -> Self {
        let config = Config::load_with(&stage.config(), HashMap::new()).unwrap_or_else(|errors| panic!("{errors}"));
        let pre_stop = seconds(&value_of("values.yaml", "preStopSeconds:"));
        let gateway = &config.gateway;
        let drain = gateway.drain_notice + 2 * gateway.drain_timeout + config.protocol.settle_after;
        Self {
            pre_stop,
            min_ready: seconds(&value_of("templates/gateway.yaml", "minReadySeconds:")),
            gateway_grace: pre_stop + drain + MARGIN,
            consumer_grace: config.consumer.revoke_timeout + CONSUMER_LEAVES + MARGIN,
        }
    }
}

/// What stands behind a key that a file of the chart has once.
fn value_of(file: &str, key: &str) -> String {
    let path = repository().join("deploy/helm/understudy").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut found = text.lines().filter_map(|line| line.trim().strip_prefix(key));
    let value = found.next().unwrap_or_else(|| panic!("{} has no {key}", path.display()));
    assert!(found.next().is_none(), "{} has {key} more than once", path.display());
    value.trim().trim_matches('"').to_owned()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
}
