//! Speaking HTTP to a cluster. What was sent and what not are two things.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
    http::uri::PathAndQuery,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::config::ClusterConfig;

/// What bodies fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of a request to a cluster.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection could be made: nothing was sent.
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

/// A client of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct ClusterClient {
    name: String,
    base: Uri,
    authorization: Option<HeaderValue>,
    http: Client<HttpConnector, Body>,
}

/// Headers of an answer; Elasticsearch sets no limit to their number, only to their bytes.
const MAX_HEADERS: usize = 1_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is held in memory.
const MAX_ANSWER: usize = 512 << 20;

impl ClusterClient {
    /// A client of the cluster `name`.
    ///
    /// # Panics
    /// When the address is none; the configuration has checked it.
    #[must_use]
    pub fn new(name: &str, config: &ClusterConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        let authorization = config.credentials.as_ref().map(|credentials| {
            let pair = format!("{}:{}", credentials.username, credentials.password.expose());
            let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
                .expect("base64 is a header value");
            value.set_sensitive(true);
            value
        });
        let base = config.urls[0].parse().expect("the configuration checked the address");
        Self { name: name.to_owned(), base, authorization, http }
    }

    /// Name of the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a request as it is (its URI may be a path alone), without the service account, and hands out the answer as
    /// it comes.
    ///
    /// A connection that broke before anything was sent on it is replaced by another; nothing is ever sent twice.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, CallError> {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(path);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| self.not_sent(error))?;
        self.http.request(request).await.map_err(|error| {
            if error.is_connect() { self.not_sent(describe(&error)) } else { self.unanswered(describe(&error)) }
        })
    }

    /// Sends a request as it is and waits for the whole answer.
    ///
    /// # Errors
    /// When there is no whole answer within `timeout`.
    pub async fn exchange(&self, request: Request<Body>, timeout: Duration) -> Result<Answer, CallError> {
        self.exchange_within(request, timeout, MAX_ANSWER).await
    }

    async fn exchange_within(
        &self,
        request: Request<Body>,
        timeout: Duration,
        max_answer: usize,
    ) -> Result<Answer, CallError> {
        let exchange = async {
            let (head, body) = self.send(request).await?.into_parts();
            let body = Limited::new(body, max_answer).collect().await.map_err(|error| {
                let large = error.downcast_ref::<LengthLimitError>().is_some();
                self.unanswered(if large { "the answer is too large".to_owned() } else { error.to_string() })
            })?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(self.unanswered(format!("nothing for {timeout:?}"))))
    }

    /// Calls an API with the service account; a body is JSON (or lines of it).
    ///
    /// # Errors
    /// When there is no whole answer within `timeout`.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        self.exchange(self.request(method, path, body)?, timeout).await
    }

    /// As [`ClusterClient::call`], for an answer of at most `max_answer` bytes.
    ///
    /// # Errors
    /// When there is no whole answer within `timeout`, or it is larger.
    pub async fn call_within(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        timeout: Duration,
        max_answer: usize,
    ) -> Result<Answer, CallError> {
        self.exchange_within(self.request(method, path, body)?, timeout, max_answer.min(MAX_ANSWER)).await
    }

    /// The request that [`ClusterClient::call`] sends, for whoever reads the answer in a way of his own.
    ///
    /// # Errors
    /// When `path` is none.
    pub fn request(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Request<Body>, CallError> {
        // An index may be named `my_bulk`.
        let is_bulk = path.split('?').next().is_some_and(|path| path.ends_with("/_bulk"));
        let content_type = if is_bulk { "application/x-ndjson" } else { "application/json" };
        let mut request = Request::builder().method(method).uri(path);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(body.map_or_else(empty, full)).map_err(|error| self.not_sent(error))
    }

    /// Asks for JSON with the service account.
    ///
    /// # Errors
    /// When there is no whole answer within `timeout`, its status is no success, or its body is of another shape.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str, timeout: Duration) -> Result<T, CallError> {
        let answer = self.call(Method::GET, path, None, timeout).await?;
        if !answer.status.is_success() {
            return Err(self.unanswered(format!("GET {path}: {} {}", answer.status, answer.excerpt())));
        }
        answer.json().map_err(|error| self.unanswered(format!("GET {path}: {error}")))
    }

    /// Its `cluster_uuid`. Not from `GET /`, which distributions without the main module answer with 405.
    ///
    /// # Errors
    /// When there is no such answer within `timeout`, or the cluster has no master yet.
    pub async fn cluster_uuid(&self, timeout: Duration) -> Result<String, CallError> {
        #[derive(serde::Deserialize)]
        struct State {
            cluster_uuid: String,
        }
        let state: State = self.get_json("/_cluster/state/version", timeout).await?;
        // What a cluster says before it was formed (`Metadata.UNKNOWN_CLUSTER_UUID`).
        if state.cluster_uuid == "_na_" {
            return Err(self.unanswered("it was not formed yet".to_owned()));
        }
        Ok(state.cluster_uuid)
    }

    fn not_sent(&self, reason: impl std::fmt::Display) -> CallError {
        CallError::NotSent { cluster: self.name.clone(), reason: reason.to_string() }
    }

    fn unanswered(&self, reason: String) -> CallError {
        CallError::Unanswered { cluster: self.name.clone(), reason }
    }
}

/// An error with what caused it.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What stays as it is in a part of a path. A dot does not: a proxy would take `..` for a step up. An underscore does not:
/// Elasticsearch compares the words of its API undecoded, so that an id `_bulk` stays an id as `%5Fbulk`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');

/// A part of a path or of a query, so that nothing in it is read as a separator or as a word of the API.
#[must_use]
pub fn path_part(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}
