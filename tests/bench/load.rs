//! Clients that wait for each answer before they send the next request.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};
use understudy_tests::Call;

/// What came of it.
pub struct Load {
    /// Requests that were answered with success.
    pub requests: u64,
    /// How long it took.
    pub took: Duration,
}

impl Load {
    /// Requests a second.
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }
}

/// Has `clients` send what `call` makes for as long as `within`.
///
/// # Panics
/// When something is not answered with success: a benchmark of refusals says nothing.
pub async fn closed(clients: usize, within: Duration, call: impl Fn() -> Call + Send + Sync + 'static) -> Load {
    let call = Arc::new(call);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let call = call.clone();
        tasks.spawn(async move {
            let mut requests = 0;
            while begun.elapsed() < within {
                let reply = call().reply().await;
                assert!((200..300).contains(&reply.status), "{reply}");
                requests += 1;
            }
            requests
        });
    }
    let requests = tasks.join_all().await.into_iter().sum();
    Load { requests, took: begun.elapsed() }
}
