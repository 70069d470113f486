//! The reconciler: finishes the writes that nobody else does.
//!
//! An intent that stays open is a write whose gateway died, or whose outcome it did not know. Its documents are read back
//! from the primary and published, early once for freshness, and once more after nothing of the write can be under way any
//! more; then it is settled.
//!
//! ```text
//!             own thread               task
//! intents ─► member (group) ─ events ─► open (who is due) ─► look (ticket, primary, effects) ─► second look ─► tombstone
//!                ▲                        │     ▲                      │                             │
//!                └──── what to commit ◄───┘     └────── what was seen ◄┴─────────────────────────────┘
//! ```
//!
//! Pure decisions: [`open`], `progress`, [`turn`], `clock`, `resolve`, `chunk`. [`work`] is the sequence of a turn. I/O:
//! `member` (Kafka's group), `look` (the primary and the log), and `task`, which brings all of them together.

mod chunk;
mod clock;
mod look;
mod member;
mod metrics;
pub mod open;
mod progress;
mod resolve;
mod task;
pub mod turn;
pub mod work;

use std::time::Duration;

use open::{Open, Times};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use understudy_common::{
    config::{Config, PlacementConfig},
    log::Log,
};

use look::Looker;
pub use metrics::{Found, ReconcilerMetrics};

/// The reconciler of a process.
pub struct Reconciler {
    stop: CancellationToken,
    task: JoinHandle<()>,
    over: Option<Result<(), JoinError>>,
}

impl Reconciler {
    /// Starts it, once the topics are there. It needs neither the primary nor, from then on, Kafka, and waits for both. At
    /// `stop` it leaves the group; what is under way is left to others.
    pub fn start(
        config: &Config,
        placement: &PlacementConfig,
        log: Log,
        metrics: ReconcilerMetrics,
        stop: CancellationToken,
    ) -> Self {
        let looker = Looker::new(config, placement, log.clone(), metrics.clone());
        let task = task::Task::new(config, Open::new(times(config)), looker, log, metrics);
        Self { task: tokio::spawn(task.run(stop.clone())), over: None, stop }
    }

    /// Stops it where it was not stopped yet, and waits until it has left.
    pub async fn end(mut self) {
        self.stop.cancel();
        self.join().await;
        if let Some(Err(error)) = self.over
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    /// Why it ended although nobody stopped it; never done otherwise.
    pub async fn ended(&mut self) -> String {
        self.join().await;
        if self.stop.is_cancelled() {
            return std::future::pending().await;
        }
        match &self.over {
            Some(Err(error)) => error.to_string(),
            _ => "nobody stopped it".to_owned(),
        }
    }

    async fn join(&mut self) {
        if self.over.is_none() {
            self.over = Some((&mut self.task).await);
        }
    }
}

/// The longest pause before what was not known is looked at again.
const PAUSE: Duration = Duration::from_secs(5);

fn times(config: &Config) -> Times {
    let protocol = &config.protocol;
    // A request is sent within `intent_timeout` after its ticket, or never (`linger`).
    let last = protocol.linger + config.gateway.intent_timeout + protocol.clock_skew;
    Times {
        early: config.consumer.reconcile_after,
        last,
        settle_after: protocol.settle_after,
        max_pause: config.consumer.max_backoff.min(PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reconciler(task: impl Future<Output = ()> + Send + 'static) -> Reconciler {
        Reconciler { stop: CancellationToken::new(), task: tokio::spawn(task), over: None }
    }

    #[tokio::test]
    async fn that_it_ended_by_itself_is_told() {
        assert_eq!(reconciler(async {}).ended().await, "nobody stopped it");
        assert!(reconciler(async { panic!("p") }).ended().await.contains("panicked"));
        let mut stopped = reconciler(async {});
        stopped.stop.cancel();
        assert!(tokio::time::timeout(Duration::from_millis(50), stopped.ended()).await.is_err());
        stopped.end().await;
    }
}
