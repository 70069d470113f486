//! Gateways as a Deployment has them: they come one more at a time, and go as kubelet ends a pod.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};
use understudy_tests::{Process, Stage, eventually};

use crate::{Fault, balancer::Balancer, figures::Figures};

/// The gateways of a stage, behind a balancer.
pub struct Gateways<'a> {
    stage: &'a Stage,
    balancer: &'a Balancer,
    figures: Figures,
    pods: Vec<Process>,
}

/// How long it takes until all nodes know that an endpoint is gone.
const PROPAGATION: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(20);

impl<'a> Gateways<'a> {
    /// So many from the beginning.
    pub async fn start(stage: &'a Stage, balancer: &'a Balancer, figures: Figures, pods: usize) -> Self {
        let mut gateways = Self { stage, balancer, figures, pods: Vec::new() };
        gateways.more(pods).await;
        gateways
    }

    /// Those that run.
    pub fn pods(&self) -> &[Process] {
        &self.pods
    }

    /// So many more; they are ready and behind the balancer when this returns.
    pub async fn more(&mut self, pods: usize) {
        let started = join_all((0..pods).map(|_| self.stage.gateway())).await;
        for pod in &started {
            self.balancer.add(pod).await;
            if Fault::planted() == Some(Fault::NoChecks) {
                self.balancer.without_checks(pod).await;
            }
        }
        self.pods.extend(started);
    }

    /// Waits until each of them serves.
    pub async fn all_serve(&self) {
        for pod in &self.pods {
            let served = async || pod.metric("understudy_requests_total", &[]).await > 20.0;
            eventually(SOON, &format!("{} serves", pod.name()), served).await;
        }
        let known = async || {
            let ready = self.balancer.ready().await;
            if ready == self.pods.len() { Ok(()) } else { Err(format!("the balancer has {ready}")) }
        };
        eventually(SOON, "the balancer has all of them", known).await;
    }

    /// The rolling update of the chart: one more comes, is watched, and then the oldest goes. How long it took to go.
    pub async fn replace_oldest(&mut self) -> Duration {
        self.more(1).await;
        sleep(self.figures.min_ready).await;
        self.all_serve().await;
        let oldest = self.pods.remove(0);
        self.delete(oldest).await
    }

    /// The oldest go, all at once. How long the last one took.
    pub async fn fewer(&mut self, pods: usize) -> Duration {
        let gone: Vec<Process> = self.pods.drain(..pods).collect();
        let took = join_all(gone.into_iter().map(|pod| self.delete(pod))).await;
        took.into_iter().max().unwrap_or_default()
    }

    /// Takes one away, for whoever does something else with it.
    pub fn take(&mut self, name: &str) -> Process {
        let place = self.pods.iter().position(|pod| pod.name() == name).expect("it runs");
        self.pods.remove(place)
    }

    /// What follows the deletion of a pod: its endpoint ends, and everybody hears of it while `preStop` waits; then SIGTERM,
    /// and when the grace is over, kubelet would kill it. How long it took from SIGTERM to its end.
    ///
    /// # Panics
    /// When it does not end by itself, with 0, in time.
    pub async fn delete(&self, mut pod: Process) -> Duration {
        let by = Instant::now() + self.figures.gateway_grace;
        self.before_the_signal(&pod).await;
        let signalled = Instant::now();
        if Fault::planted() == Some(Fault::GatewayKilled) {
            pod.kill();
            return signalled.elapsed();
        }
        pod.terminate();
        let name = pod.name().to_owned();
        let ended = timeout_at(by, pod.ended()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{name} would have been killed after {:?}", self.figures));
        assert_eq!(ended.code(), Some(0), "{name} drains and ends well");
        self.balancer.remove(&pod).await;
        signalled.elapsed()
    }

    /// What comes before SIGTERM.
    async fn before_the_signal(&self, pod: &Process) {
        let signal = Instant::now() + self.figures.pre_stop;
        sleep(PROPAGATION).await;
        if Fault::planted() != Some(Fault::StillEndpoint) {
            self.balancer.forget(pod).await;
        }
        tokio::time::sleep_until(signal).await;
    }
}
