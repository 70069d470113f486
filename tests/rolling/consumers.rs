//! Consumers as a Deployment has them: they come, and leave their group when they go.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout_at};
use understudy_tests::{Process, Stage, eventually};

use crate::{figures::Figures, pause::Meter, pause::Pauses};

/// The consumers of a stage's backup.
pub struct Consumers<'a> {
    stage: &'a Stage,
    figures: Figures,
    partitions: usize,
    members: Vec<Process>,
}

/// Longer than a session that nobody ends.
const SOON: Duration = Duration::from_secs(60);
/// How long is looked at a group that has found its balance.
const AFTERWARDS: Duration = Duration::from_secs(2);

impl<'a> Consumers<'a> {
    /// One, which has all partitions.
    pub async fn start(stage: &'a Stage, figures: Figures, partitions: usize) -> Self {
        let members = vec![stage.consumer().await];
        let consumers = Self { stage, figures, partitions, members };
        consumers.balanced().await;
        consumers
    }

    /// Those that run.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// So many come or go at once, as when a Deployment is scaled. What the backup showed meanwhile.
    pub async fn scale(&mut self, to: usize, meter: &Meter) -> Pauses {
        meter.reset();
        if to > self.members.len() {
            let more = join_all((self.members.len()..to).map(|_| self.stage.consumer())).await;
            self.members.extend(more);
        } else {
            let gone: Vec<Process> = self.members.drain(..self.members.len() - to).collect();
            join_all(gone.into_iter().map(|member| leave(member, self.figures))).await;
        }
        self.measured(meter).await
    }

    /// The rolling update of the chart, of one: another one comes, then it goes.
    pub async fn replace_oldest(&mut self, meter: &Meter) -> Pauses {
        meter.reset();
        self.members.push(self.stage.consumer().await);
        self.balanced().await;
        leave(self.members.remove(0), self.figures).await;
        self.measured(meter).await
    }

    /// A fault: one dies with `kill -9`, and tells nobody.
    pub async fn kill_oldest(&mut self, meter: &Meter) -> Pauses {
        meter.reset();
        self.members.remove(0).kill();
        self.measured(meter).await
    }

    async fn measured(&self, meter: &Meter) -> Pauses {
        self.balanced().await;
        meter.all_move(SOON).await;
        tokio::time::sleep(AFTERWARDS).await;
        meter.pauses()
    }

    /// Waits until the partitions are shared out among all of them.
    async fn balanced(&self) {
        let balanced = async || {
            let assigned = self.members.iter().map(|member| member.metric("understudy_partitions_assigned", &[]));
            let assigned = join_all(assigned).await;
            let whole = assigned.iter().sum::<f64>() == self.partitions as f64;
            if whole && assigned.iter().all(|partitions| *partitions > 0.0) {
                Ok(())
            } else {
                Err(format!("{assigned:?}"))
            }
        };
        eventually(SOON, "the partitions are shared out", balanced).await;
    }
}

/// SIGTERM, and the grace of the chart.
async fn leave(mut member: Process, figures: Figures) {
    let by = Instant::now() + figures.consumer_grace;
    member.terminate();
    let name = member.name().to_owned();
    let ended = timeout_at(by, member.ended()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{name} would have been killed after {:?}", figures.consumer_grace));
    assert_eq!(ended.code(), Some(0), "{name} leaves and ends well");
}
