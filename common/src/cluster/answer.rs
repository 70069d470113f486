//! What became of a call.

use bytes::Bytes;
use hyper::{StatusCode, header::HeaderMap};
use serde::de::DeserializeOwned;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection could be made, to no node: nothing was sent.
    #[error("cannot connect to cluster {cluster}: {reason}")]
    NotSent {
        /// Name of the cluster.
        cluster: String,
        /// What went wrong.
        reason: String,
    },
    /// It was sent, at least in part, and no whole answer came: what it did is unknown.
    #[error("no whole answer from cluster {cluster}: {reason}")]
    Unanswered {
        /// Name of the cluster.
        cluster: String,
        /// What went wrong.
        reason: String,
    },
    /// It was answered, with more than the caller wants to hold: what it did is unknown.
    #[error("no whole answer from cluster {cluster}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// Name of the cluster.
        cluster: String,
        /// What the caller takes, in bytes.
        limit: usize,
    },
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// When it is none of that shape; the text says what stands there instead.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("{error} in {}", self.excerpt()))
    }

    /// The beginning of the body, for logs and errors.
    #[must_use]
    pub fn excerpt(&self) -> String {
        const SHOWN: usize = 300;
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(SHOWN)]);
        if self.body.len() > SHOWN { format!("{text}…") } else { text.into_owned() }
    }
}
