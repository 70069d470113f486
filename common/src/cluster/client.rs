//! Calls to a cluster.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, Uri,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    http::uri::PathAndQuery,
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{
    Answer, Body, BoxError, CallError,
    connect::Connector,
    empty, full,
    lent::lend,
    nodes::{Change, Nodes},
};
use crate::{
    config::ClusterConfig,
    tls::{ClientFiles, Reloading},
};

/// A client of one cluster. Cheap to clone; its clones know the same of the nodes.
///
/// Whoever owns it spawns [`ClusterClient::watch`] once.
#[derive(Clone)]
pub struct ClusterClient {
    shared: Arc<Shared>,
}

/// What clones share.
pub(super) struct Shared {
    name: String,
    authorization: Option<HeaderValue>,
    http: Client<Connector, Body>,
    /// By node.
    addresses: Vec<Uri>,
    nodes: Mutex<Nodes>,
    /// Told when a node goes out or comes back.
    changes: watch::Sender<()>,
    tls: Option<Reloading<ClientFiles>>,
}

/// A call that is under way at a node.
struct Busy {
    shared: Arc<Shared>,
    node: usize,
}

/// Where a call has been, and what became of it there.
#[derive(Default)]
struct Tried {
    nodes: Vec<usize>,
    reasons: Vec<String>,
    /// Somewhere it may have been sent.
    sent: bool,
}

/// Headers of an answer; Elasticsearch sets no limit to their number, only to their bytes.
const MAX_HEADERS: usize = 1_000;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is held in memory.
const MAX_ANSWER: usize = 512 << 20;

impl ClusterClient {
    /// A client of the cluster `name`.
    ///
    /// # Panics
    /// When an address is none; the configuration has checked them.
    #[must_use]
    pub fn new(name: &str, config: &ClusterConfig) -> Self {
        let http = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .http1_max_headers(MAX_HEADERS)
            .build(Connector::new(config.tls.clone()));
        let authorization = config.credentials.as_ref().map(|credentials| {
            let pair = format!("{}:{}", credentials.username, credentials.password.expose());
            let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
                .expect("base64 is a header value");
            value.set_sensitive(true);
            value
        });
        let addresses: Vec<Uri> =
            config.urls.iter().map(|url| url.parse().expect("the configuration checked the address")).collect();
        Self::of(Arc::new(Shared {
            name: name.to_owned(),
            authorization,
            http,
            nodes: Mutex::new(Nodes::new(addresses.len(), Instant::now())),
            addresses,
            changes: watch::Sender::new(()),
            tls: config.tls.clone(),
        }))
    }

    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Name of the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How many nodes it knows.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.shared.addresses.len()
    }

    /// Sends a request as it is (its URI may be a path alone), without the service account, and hands out the answer as
    /// it comes.
    ///
    /// Nothing is ever sent twice: it goes on to another node only where no connection could be made, and a connection that
    /// broke before anything was sent on it is replaced by another.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, CallError> {
        let (head, mut body) = request.into_parts();
        let mut tried = Tried::default();
        while let Some(busy) = self.begin(&mut tried) {
            let (owner, lent) = lend(body);
            let request = Request::from_parts(head.clone(), lent.boxed_unsync());
            match self.attempt(busy.node, request).await {
                Ok(answer) => return Ok(busy.hold(answer)),
                Err(error) => {
                    let sent = !matches!(error, CallError::NotSent { .. });
                    tried.note(error);
                    body = match owner.take_back() {
                        Some(body) if !sent => body,
                        _ => break,
                    };
                }
            }
        }
        Err(self.failure(tried))
    }

    /// As [`ClusterClient::send`], for what may be sent more than once: it goes on to the next node when one fails before its
    /// answer begins, or is found to be out while it is waited for. It meets no node twice.
    ///
    /// # Errors
    /// When there is no answer, from no node.
    pub async fn send_safe(&self, request: Request<Bytes>) -> Result<Response<Body>, CallError> {
        let mut tried = Tried::default();
        match self.next_answer(&request, &mut tried).await {
            Some((_, answer)) => Ok(answer),
            None => Err(self.failure(tried)),
        }
    }

    /// Sends a request as it is and waits for the whole answer.
    ///
    /// # Errors
    /// When there is no whole answer within `timeout`.
    pub async fn exchange(&self, request: Request<Body>, timeout: Duration) -> Result<Answer, CallError> {
        self.exchange_within(request, timeout, MAX_ANSWER).await
    }

    /// As [`ClusterClient::exchange`], for what may be sent more than once: it goes on to the next node when one fails before
    /// its answer is whole. `timeout` is for all of it.
    ///
    /// # Errors
    /// When there is no whole answer within `timeout`.
    pub async fn exchange_safe(&self, request: Request<Bytes>, timeout: Duration) -> Result<Answer, CallError> {
        self.ask_within(request, timeout, MAX_ANSWER).await
    }

    async fn exchange_within(
        &self,
        request: Request<Body>,
        timeout: Duration,
        limit: usize,
    ) -> Result<Answer, CallError> {
        let exchange = async { self.whole(self.send(request).await?, limit).await };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(done) => done,
            Err(_) => Err(self.silent(timeout)),
        }
    }

    async fn ask_within(&self, request: Request<Bytes>, timeout: Duration, limit: usize) -> Result<Answer, CallError> {
        let ask = async {
            let mut tried = Tried::default();
            while let Some((node, answer)) = self.next_answer(&request, &mut tried).await {
                match self.unless_out(node, &tried, self.whole(answer, limit)).await {
                    Err(CallError::Unanswered { cluster, reason }) => {
                        tried.note(CallError::Unanswered { cluster, reason });
                    }
                    answer => return answer,
                }
            }
            Err(self.failure(tried))
        };
        match tokio::time::timeout(timeout, ask).await {
            Ok(done) => done,
            Err(_) => Err(self.silent(timeout)),
        }
    }

    /// Calls an API with the service account; a body is JSON (or lines of it). `GET` and `HEAD` are questions, and go on to
    /// the next node as [`ClusterClient::exchange_safe`] does; everything else is sent at most once.
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
        self.call_within(method, path, body, timeout, MAX_ANSWER).await
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
        if matches!(method, Method::GET | Method::HEAD) {
            return self.ask(method, path, body, timeout, max_answer).await;
        }
        self.exchange_within(self.request(method, path, body)?, timeout, max_answer.min(MAX_ANSWER)).await
    }

    /// As [`ClusterClient::call_within`], for a question whatever its method: it may be asked of one node after the other.
    ///
    /// # Errors
    /// When there is no whole answer within `timeout`, or it is larger.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        timeout: Duration,
        max_answer: usize,
    ) -> Result<Answer, CallError> {
        let request = self.request_of(method, path, body.is_some(), body.unwrap_or_default())?;
        self.ask_within(request, timeout, max_answer.min(MAX_ANSWER)).await
    }

    /// Asks every node at once with the service account, and hands out what each said: for what one node may see differently
    /// than the others.
    pub async fn ask_each(&self, path: &str, timeout: Duration, max_answer: usize) -> Vec<Result<Answer, CallError>> {
        let asks = (0..self.shared.addresses.len()).map(async |node| {
            let request = self.request(Method::GET, path, None)?;
            let ask = async {
                let answer = self.attempt(node, request).await?;
                self.whole(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()), max_answer).await
            };
            tokio::time::timeout(timeout, ask).await.unwrap_or_else(|_| Err(self.silent(timeout)))
        });
        futures::future::join_all(asks).await
    }

    /// The request that [`ClusterClient::call`] sends, for whoever reads the answer in a way of his own.
    ///
    /// # Errors
    /// When `path` is none.
    pub fn request(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Request<Body>, CallError> {
        self.request_of(method, path, body.is_some(), body.map_or_else(empty, full))
    }

    fn request_of<B>(&self, method: Method, path: &str, has_body: bool, body: B) -> Result<Request<B>, CallError> {
        // An index may be named `my_bulk`.
        let is_bulk = path.split('?').next().is_some_and(|path| path.ends_with("/_bulk"));
        let content_type = if is_bulk { "application/x-ndjson" } else { "application/json" };
        let mut request = Request::builder().method(method).uri(path);
        if let Some(authorization) = &self.shared.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if has_body {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(body).map_err(|error| self.not_sent(error))
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

    /// Chooses a node that was not tried, and counts the call there.
    fn begin(&self, tried: &mut Tried) -> Option<Busy> {
        let node = self.shared.lock().begin(&tried.nodes, Instant::now())?;
        tried.nodes.push(node);
        Some(Busy { shared: self.shared.clone(), node })
    }

    /// Sends to one node, and notes how that node is.
    pub(super) async fn attempt(
        &self,
        node: usize,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, CallError> {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let address = &self.shared.addresses[node];
        let mut parts = address.clone().into_parts();
        parts.path_and_query = Some(path);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| self.not_sent(error))?;
        match self.shared.http.request(request).await {
            Ok(answer) => {
                self.shared.answered(node);
                Ok(answer)
            }
            Err(error) => {
                let reason = format!("{address}: {}", describe(&error));
                // A body that breaks off is its sender's fault.
                let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<hyper::Error>());
                if !cause.is_some_and(hyper::Error::is_user) {
                    self.shared.failed(node, &reason);
                }
                Err(if error.is_connect() { self.not_sent(reason) } else { self.unanswered(reason) })
            }
        }
    }

    /// The beginning of the answer of the first node that gives one, of those that were not tried.
    async fn next_answer(&self, request: &Request<Bytes>, tried: &mut Tried) -> Option<(usize, Response<Body>)> {
        while let Some(busy) = self.begin(tried) {
            let node = busy.node;
            let again = request.clone().map(|body| if body.is_empty() { empty() } else { full(body) });
            match self.unless_out(node, tried, self.attempt(node, again)).await {
                Ok(answer) => return Some((node, busy.hold(answer))),
                Err(error) => tried.note(error),
            }
        }
        None
    }

    /// Waits for a node as long as it is worth it.
    async fn unless_out<T>(
        &self,
        node: usize,
        tried: &Tried,
        waiting: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let mut changes = self.shared.changes.subscribe();
        let left = async {
            while !self.shared.lock().should_leave(node, &tried.nodes, Instant::now()) {
                // The sender lives as long as we do.
                let _ = changes.changed().await;
            }
        };
        tokio::select! {
            biased;
            done = waiting => done,
            () = left => Err(self.unanswered(format!("{}: the node is out", self.shared.addresses[node]))),
        }
    }

    /// The whole of an answer.
    async fn whole(&self, answer: Response<Body>, limit: usize) -> Result<Answer, CallError> {
        let (head, mut body) = answer.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.unanswered(describe(&*error)))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > limit {
                return Err(CallError::TooLarge { cluster: self.shared.name.clone(), limit });
            }
            whole.extend_from_slice(&data);
        }
        Ok(Answer { status: head.status, headers: head.headers, body: whole.freeze() })
    }

    fn silent(&self, timeout: Duration) -> CallError {
        self.unanswered(format!("nothing for {timeout:?}"))
    }

    fn failure(&self, tried: Tried) -> CallError {
        let reason = tried.reasons.join("; ");
        if tried.sent { self.unanswered(reason) } else { self.not_sent(reason) }
    }

    fn not_sent(&self, reason: impl std::fmt::Display) -> CallError {
        CallError::NotSent { cluster: self.shared.name.clone(), reason: reason.to_string() }
    }

    fn unanswered(&self, reason: String) -> CallError {
        CallError::Unanswered { cluster: self.shared.name.clone(), reason }
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tls(&self) -> Option<Reloading<ClientFiles>> {
        self.tls.clone()
    }

    fn answered(&self, node: usize) {
        let change = self.lock().answered(node, Instant::now());
        if change == Change::Back {
            tracing::info!(cluster = self.name, node = %self.addresses[node], "a node is back");
            self.changes.send_replace(());
        }
    }

    /// Notes that a node could not be reached or broke off.
    pub(super) fn failed(&self, node: usize, reason: &str) {
        let change = self.lock().failed(node, Instant::now());
        if change == Change::Out {
            tracing::warn!(cluster = self.name, node = %self.addresses[node], reason, "a node is out");
            self.changes.send_replace(());
        }
    }
}

impl Busy {
    /// Counts the call until the end of its answer.
    fn hold(self, answer: Response<Incoming>) -> Response<Body> {
        answer.map(|body| body.map_err(move |error| self.broke(error)).boxed_unsync())
    }

    fn broke(&self, error: hyper::Error) -> BoxError {
        self.shared.failed(self.node, &describe(&error));
        error.into()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.lock().end(self.node);
    }
}

impl Tried {
    fn note(&mut self, error: CallError) {
        match error {
            CallError::NotSent { reason, .. } => self.reasons.push(reason),
            CallError::Unanswered { reason, .. } => {
                self.sent = true;
                self.reasons.push(reason);
            }
            CallError::TooLarge { .. } => self.sent = true,
        }
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

#[cfg(test)]
mod tests;
