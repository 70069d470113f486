//! Asks the nodes that are out, or that keep calls waiting, whether they are there.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures::future::join_all;
use hyper::Method;

use super::client::{ClusterClient, Shared};

/// Between two rounds of questions.
const PACE: Duration = Duration::from_millis(500);
/// A node that is well answers such a question at once.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two looks whether certificates were replaced.
const FILES: Duration = Duration::from_secs(2);

/// Says that nobody watches any more.
struct Watching(Weak<Shared>);

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.lock().set_watched(false);
        }
    }
}

impl ClusterClient {
    /// Looks after the nodes and the certificates: to be spawned once by whoever owns the client. It ends when the last
    /// clone of the client is gone.
    pub fn watch(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.shared().lock().set_watched(true);
        let watching = Watching(Arc::downgrade(self.shared()));
        let tls = self.shared().tls();
        async move {
            let files = async {
                match tls {
                    Some(tls) => tls.watch(FILES).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = files => {}
                () = probe_all(&watching.0) => {}
            }
        }
    }

    /// Whether a node answers at all. A status is an answer, also 401, 429 or 503: a cluster without a master is no matter of
    /// one node.
    async fn probe(&self, node: usize) {
        let Ok(request) = self.request(Method::HEAD, "/", None) else { return };
        let asked = tokio::time::timeout(PROBE_TIMEOUT, self.attempt(node, request)).await;
        if asked.is_err() {
            self.shared().failed(node, &format!("no answer within {PROBE_TIMEOUT:?}"));
        }
    }
}

async fn probe_all(shared: &Weak<Shared>) {
    loop {
        tokio::time::sleep(PACE).await;
        let Some(shared) = shared.upgrade() else { return };
        let client = ClusterClient::of(shared);
        let nodes = client.shared().lock().in_question(Instant::now());
        join_all(nodes.into_iter().map(|node| client.probe(node))).await;
    }
}
