//! The look at the cluster state: one tiny call in flight for all writes that wait.

use std::{sync::Arc, time::Duration};

use crate::cluster::{CallError, ClusterClient};
use tokio::sync::{mpsc, oneshot};

use super::StateId;

/// Asks which cluster state is the current one. Cheap to clone.
#[derive(Clone)]
pub struct Looks {
    requests: mpsc::Sender<oneshot::Sender<Result<StateId, Arc<CallError>>>>,
}

/// Writes that may wait for a look; more wait for a place here.
const WAITING: usize = 1024;

impl Looks {
    /// Begins to look at `cluster` on request.
    #[must_use]
    pub fn new(cluster: ClusterClient, timeout: Duration) -> Self {
        let (requests, mut receiver) = mpsc::channel::<oneshot::Sender<_>>(WAITING);
        tokio::spawn(async move {
            while let Some(first) = receiver.recv().await {
                // Everyone who asked before the call begins is served by it; who asks later waits for the next one
                // (`look_later`): a look that is under way may have been answered before a write was.
                let mut waiting = vec![first];
                while let Ok(another) = receiver.try_recv() {
                    waiting.push(another);
                }
                let seen = cluster.get_json::<StateId>("/_cluster/state/version", timeout).await.map_err(Arc::new);
                for waiter in waiting {
                    // A writer that went away needs no answer.
                    let _ = waiter.send(seen.clone());
                }
            }
        });
        Self { requests }
    }

    /// The current cluster state, by a look that begins after this call.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub async fn look(&self) -> Result<StateId, Arc<CallError>> {
        let gone = || {
            Arc::new(CallError::NotSent { cluster: "primary".into(), reason: "the gateway is shutting down".into() })
        };
        let (sender, receiver) = oneshot::channel();
        self.requests.send(sender).await.map_err(|_| gone())?;
        receiver.await.unwrap_or_else(|_| Err(gone()))
    }
}
