//! How long the target's topic keeps its records: an operator may have changed it.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::watch;
use understudy_common::kafka::topic_settings;

use super::SourceConfig;

/// How long a topic keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// For so many milliseconds.
    Millis(i64),
    /// Whatever their age.
    Forever,
}

const EVERY: Duration = Duration::from_secs(60);
/// While it is not known.
const AGAIN: Duration = Duration::from_secs(2);

/// Asks for it every now and then, until nobody listens.
pub async fn watch(config: SourceConfig, found: watch::Sender<Option<Retention>>) {
    let mut told = false;
    while !found.is_closed() {
        let settings = topic_settings(&config.kafka, &config.topic).await;
        let (known, by_size) = match &settings {
            Ok(settings) => (retention(settings), is_bounded(settings, "retention.bytes")),
            Err(error) => {
                tracing::debug!(%error, topic = config.topic, "the retention of the topic is not known");
                (None, false)
            }
        };
        if by_size && !told {
            tracing::warn!(
                topic = config.topic,
                "the topic has retention.bytes: Kafka may delete records that are not applied sooner than understudy_retention_headroom_seconds says"
            );
        }
        told |= by_size;
        if known.is_some() {
            found.send_replace(known);
        }
        tokio::time::sleep(if known.is_some() { EVERY } else { AGAIN }).await;
    }
}

fn is_bounded(settings: &BTreeMap<String, String>, name: &str) -> bool {
    settings.get(name).and_then(|value| value.parse::<i64>().ok()).is_some_and(|value| value >= 0)
}

fn retention(settings: &BTreeMap<String, String>) -> Option<Retention> {
    let millis: i64 = settings.get("retention.ms")?.parse().ok()?;
    Some(if millis < 0 { Retention::Forever } else { Retention::Millis(millis) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_nothing_is_for_ever() {
        let of = |value: &str| retention(&BTreeMap::from([("retention.ms".to_owned(), value.to_owned())]));
        assert_eq!(of("604800000"), Some(Retention::Millis(604_800_000)));
        assert_eq!(of("-1"), Some(Retention::Forever));
        assert_eq!(of("?"), None);
        assert_eq!(retention(&BTreeMap::new()), None);
    }
}
