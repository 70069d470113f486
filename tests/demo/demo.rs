//! What all acts share: the ways to the system, and the figures that are read from it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use understudy_tests::{Http, Kafka, Metrics, try_eventually};

use crate::{
    flights::INDEX,
    screen::{Screen, number, seconds},
    system::System,
    verify::{Verified, verify},
    writers::{Writers, is_refusal},
};

/// The ways to the system.
pub struct Demo<'a> {
    pub system: &'a System,
    pub screen: Screen,
    pub lb: Http,
    pub primary: Http,
    pub backup: Http,
    kafka: Kafka,
    consumers: Vec<Http>,
}

/// How far the backup is behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag {
    pub records: u64,
    pub seconds: f64,
}

/// A document that is written before all others and then left alone.
pub const FIRST: &str = "first";

const TOPIC: &str = "understudy.target.backup";
/// How long the backup may take to follow.
const FOLLOW: Duration = Duration::from_secs(120);
/// Within this a write is refused.
const REFUSE: Duration = Duration::from_secs(3);
/// Within this writes are taken again once everything is back.
const RECOVER: Duration = Duration::from_secs(60);
/// Documents that the writers must have written to be called at work.
const AT_WORK: u64 = 300;

impl<'a> Demo<'a> {
    pub fn new(system: &'a System, screen: Screen) -> anyhow::Result<Self> {
        let http = |part: &str| anyhow::Ok(Http::new(&system.address(part)?));
        let admin = |part: &str| {
            let admin = system.part(part)?.admin.with_context(|| format!("{part} has no admin address"))?;
            anyhow::Ok(Http::new(&admin))
        };
        Ok(Self {
            system,
            screen,
            lb: http("lb")?,
            primary: http("primary")?,
            backup: http("backup")?,
            kafka: Kafka::new(&system.address("kafka")?),
            consumers: vec![admin("consumer-1")?, admin("consumer-2")?],
        })
    }

    /// Kafka itself.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Waits until the writers have written for about a second.
    pub async fn writers_go_on(&self, writers: &Writers) -> anyhow::Result<()> {
        let goal = writers.tally()?.acknowledged() + AT_WORK;
        let _waiting = self.screen.wait("writers at work");
        let at_work = try_eventually(RECOVER, async || {
            let written = writers.tally()?;
            ensure!(written.acknowledged() >= goal, "{written}");
            anyhow::Ok(())
        });
        at_work.await.map_err(|last| anyhow::anyhow!("the writers do not get on within {RECOVER:?}: {last}"))
    }

    /// The lag as the consumers tell it.
    pub async fn lag(&self) -> anyhow::Result<Lag> {
        let mut lag = Lag::default();
        for consumer in &self.consumers {
            let reply = consumer.request("GET", "/metrics").within(Duration::from_secs(5)).send().await;
            let metrics = Metrics::parse(&reply.map_err(anyhow::Error::msg)?.text());
            lag.records += metrics.sum("understudy_lag_records", &[("target", "backup")]) as u64;
            lag.seconds = lag.seconds.max(metrics.max("understudy_lag_seconds", &[("target", "backup")]));
        }
        Ok(lag)
    }

    /// Records that the consumers have not committed, by Kafka's own account.
    pub async fn lag_in_kafka(&self) -> anyhow::Result<u64> {
        self.kafka.lag(TOPIC, TOPIC).await
    }

    /// Waits until nothing is left to be done, and answers how long that took.
    pub async fn drained(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let waiting = self.screen.wait("the backup catches up");
        let drained = try_eventually(FOLLOW, async || {
            let lag = self.lag_in_kafka().await?;
            waiting.say(format!("the backup catches up: {} records to go", number(lag)));
            ensure!(lag == 0, "{lag} records are not applied");
            anyhow::Ok(())
        });
        drained.await.map_err(|last| anyhow::anyhow!("the backup did not catch up within {FOLLOW:?}: {last}"))?;
        Ok(began.elapsed())
    }

    /// Compares both sides, document by document.
    pub async fn verify(&self) -> anyhow::Result<Verified> {
        verify(self.system, self.screen).await
    }

    /// Sends single writes and bulks that must be refused, twice each, so that both gateways are asked.
    pub async fn writes_are_refused(&self, ids: &RefusedIds) -> anyhow::Result<()> {
        let mut slowest = Duration::ZERO;
        let mut reason = String::new();
        for id in &ids.0 {
            let call = if id.contains("bulk") {
                let body = format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"delay\":1}}\n");
                self.lb.request("POST", &format!("/{INDEX}/_bulk")).body(body)
            } else {
                self.lb.request("PUT", &format!("/{INDEX}/_doc/{id}")).body(r#"{"delay":1}"#)
            };
            let began = Instant::now();
            let reply = call.send().await.map_err(anyhow::Error::msg)?;
            slowest = slowest.max(began.elapsed());
            ensure!(is_refusal(&reply), "a write was not refused with 503: {reply}");
            reason = reply.error_type();
        }
        ensure!(slowest <= REFUSE, "a refusal took {}, longer than {REFUSE:?}", seconds(slowest));
        self.screen.seen(&format!(
            "{} writes, single and bulk, each refused with 503 {reason}, the slowest in {}",
            ids.0.len(),
            seconds(slowest)
        ));
        Ok(())
    }

    /// Makes sure that nothing of what was refused is on a side.
    pub async fn are_absent(&self, ids: &RefusedIds, name: &str, side: &Http) -> anyhow::Result<()> {
        for id in &ids.0 {
            let reply = side.request("GET", &format!("/{INDEX}/_doc/{id}")).send().await.map_err(anyhow::Error::msg)?;
            ensure!(reply.status == 404, "a refused write is on the {name}: {reply}");
        }
        Ok(())
    }

    /// Waits until a write through the load balancer is acknowledged, and answers how long that took.
    pub async fn writes_again(&self, id: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let waiting = self.screen.wait("until writes are taken again");
        let path = format!("/{INDEX}/_doc/{id}");
        let mut unexpected = None;
        let taken = try_eventually(RECOVER, async || {
            let reply = self.lb.request("PUT", &path).body(r#"{"delay":2}"#).send().await;
            match reply {
                Ok(reply) if reply.status < 300 => Ok(()),
                Ok(reply) if reply.status >= 500 => Err(reply.to_string()),
                // Whatever else comes will not get better.
                Ok(reply) => {
                    unexpected = Some(reply.to_string());
                    Ok(())
                }
                Err(error) => Err(error),
            }
        });
        let taken = taken.await;
        drop(waiting);
        if let Some(answer) = unexpected {
            bail!("a write got an unexpected answer: {answer}");
        }
        taken.map_err(|last| anyhow::anyhow!("no write was taken within {RECOVER:?}: {last}"))?;
        Ok(began.elapsed())
    }
}

/// Documents whose writes must be refused.
pub struct RefusedIds(Vec<String>);

impl RefusedIds {
    pub fn new(act: &str) -> Self {
        Self(["1", "2", "bulk-1", "bulk-2"].iter().map(|name| format!("refused-{act}-{name}")).collect())
    }
}
