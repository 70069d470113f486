//! One of the two clusters: calls with bounded answers, and errors that say which cluster, and where.

use std::{sync::Mutex, time::Duration};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use understudy_common::{
    cluster::{CallError, ClusterClient},
    config::ClusterConfig,
};

/// Why something could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing more can be learned from this cluster.
    #[error("{0}")]
    Cluster(String),
    /// This index cannot be compared; others may.
    #[error("{0}")]
    Index(String),
}

/// A whole answer.
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
}

/// A cluster.
pub struct Side {
    client: ClusterClient,
    address: String,
    open_scroll: Mutex<Option<String>>,
}

const TIMEOUT: Duration = Duration::from_secs(120);
/// Clearing a scroll is a courtesy; the server would close it by itself in the end.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer where the caller has no smaller limit: documents of 100 MiB are the largest that servers take.
pub const MAX_ANSWER: usize = 256 << 20;

impl Side {
    /// The cluster `name`.
    pub fn new(name: &str, config: &ClusterConfig) -> Self {
        let client = ClusterClient::new(name, config);
        tokio::spawn(client.watch());
        Self { client, address: config.urls.join(", "), open_scroll: Mutex::default() }
    }

    /// Name of the cluster.
    pub fn name(&self) -> &str {
        self.client.name()
    }

    /// Calls an API. `None`: the answer is larger than `limit`.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: usize,
    ) -> Result<Option<Answer>, Failure> {
        let answer = match self.client.call_within(method, path, body, TIMEOUT, limit).await {
            Ok(answer) => Some(Answer { status: answer.status, body: answer.body }),
            Err(CallError::TooLarge { .. }) => None,
            Err(error) => return Err(self.unreachable(error)),
        };
        match answer {
            Some(answer) if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status) => {
                Err(self.failure(format!("{path}: {} {}", answer.status, excerpt(&answer.body))))
            }
            answer => Ok(answer),
        }
    }

    /// Calls an API about an index that is there.
    pub async fn call_index(
        &self,
        index: &str,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, Failure> {
        let answer = self.call(method, path, body, MAX_ANSWER).await?;
        let Some(answer) = answer else { return Err(self.index_failure(index, "the answer is too large")) };
        if !answer.status.is_success() {
            return Err(self.index_failure(index, format!("{} {}", answer.status, excerpt(&answer.body))));
        }
        Ok(answer)
    }

    /// Asks for JSON about the cluster.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.call(Method::GET, path, None, MAX_ANSWER).await?;
        let Some(answer) = answer else { return Err(self.failure(format!("{path}: the answer is too large"))) };
        if !answer.status.is_success() {
            return Err(self.failure(format!("{path}: {} {}", answer.status, excerpt(&answer.body))));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| self.failure(format!("{path}: {error} in {}", excerpt(&answer.body))))
    }

    /// Its `cluster_uuid`.
    pub async fn cluster_uuid(&self) -> Result<String, Failure> {
        #[derive(serde::Deserialize)]
        struct State {
            cluster_uuid: String,
        }
        let state: State = self.get_json("/_cluster/state/version").await?;
        // What a cluster says before it was formed.
        if state.cluster_uuid == "_na_" {
            return Err(self.failure("it was not formed yet"));
        }
        Ok(state.cluster_uuid)
    }

    /// Notes the scroll that is open; there is one at a time.
    pub fn note_scroll(&self, id: Option<String>) {
        *self.open_scroll.lock().expect("nobody panics while holding it") = id;
    }

    /// Closes the scroll that is open, if there is one.
    pub async fn clear_scroll(&self) {
        let open = self.open_scroll.lock().expect("nobody panics while holding it").take();
        if let Some(id) = open {
            let body = serde_json::json!({ "scroll_id": [id] }).to_string();
            let clear = self.call(Method::DELETE, "/_search/scroll", Some(body.into()), MAX_ANSWER);
            let _ = tokio::time::timeout(CLEAR_TIMEOUT, clear).await;
        }
    }

    /// An error of this cluster.
    pub fn failure(&self, reason: impl std::fmt::Display) -> Failure {
        Failure::Cluster(format!("cluster {} at {}: {reason}", self.name(), self.address))
    }

    /// An error of an index on this cluster.
    pub fn index_failure(&self, index: &str, reason: impl std::fmt::Display) -> Failure {
        Failure::Index(format!("index {index} on cluster {} at {}: {reason}", self.name(), self.address))
    }

    fn unreachable(&self, error: CallError) -> Failure {
        match error {
            CallError::NotSent { reason, .. } => self.failure(format!("cannot connect: {reason}")),
            CallError::Unanswered { reason, .. } => self.failure(format!("no whole answer: {reason}")),
            CallError::TooLarge { limit, .. } => self.failure(format!("the answer is larger than {limit} bytes")),
        }
    }
}

/// The beginning of an answer, for errors.
pub fn excerpt(body: &[u8]) -> String {
    const SHOWN: usize = 300;
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    if body.len() > SHOWN { format!("{text}…") } else { text.into_owned() }
}
