//! Requests and answers on their way through: what belongs to a connection stays behind, everything else passes.

use std::fmt::Display;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Body as HttpBody, Frame},
    header::{
        ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName,
        HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
    http::request::Parts,
};
use understudy_common::cluster::{Body, BoxError, CallError, ClusterClient, full};

use crate::{body, budget::Budget, refusal::Refusal, route, write::plan::PlannedWrite};

/// Headers that belong to one connection (RFC 9110, 7.6.1).
const OF_A_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes out what belongs to a connection, also what its `Connection` header names.
fn leave_connection_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_A_CONNECTION.iter().chain(&named) {
        headers.remove(name);
    }
}

/// A body up to this size is held, so that a request that may be sent again can be.
const REPEATABLE: u64 = 1 << 20;

/// Forwards a request as it is and hands the answer out as it comes. No body is held, but for small ones of requests that
/// only ask: these go on to the next node when one fails before it answers.
///
/// # Errors
/// When there is no answer, or a body that is to be held does not come.
pub async fn pass<B>(cluster: &ClusterClient, budget: &Budget, request: Request<B>) -> Result<Response<Body>, Unpassed>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError> + Display> + Send + Unpin + 'static,
{
    let (mut head, mut body) = request.into_parts();
    leave_request_headers(&mut head.headers);
    // Of a `GET` without either, hyper would send no body at all, and a search would find everything.
    if !body.is_end_stream() && !head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let size = body.size_hint().exact().filter(|size| *size <= REPEATABLE);
    let answer = if let Some(size) = size.filter(|_| route::may_be_repeated(&head.method, head.uri.path()))
        && budget.has(size)
    {
        let held = body::read_as_it_is(&mut body, size, budget).await.map_err(Unpassed::Refused)?;
        ask(cluster, Request::from_parts(head, held.bytes.clone())).await
    } else {
        cluster.send(Request::from_parts(head, body.map_err(Into::into).boxed_unsync())).await
    };
    answer.map(without_connection).map_err(Unpassed::Unanswered)
}

/// Why a request was not passed.
#[derive(Debug)]
pub enum Unpassed {
    /// Its body was not read here; nothing was sent.
    Refused(Refusal),
    /// The cluster gave no answer.
    Unanswered(CallError),
}

/// Sends a request with the client's own headers and credentials, whose body was read here: [`of_read_body`] has made its
/// headers right.
///
/// # Errors
/// When there is no answer.
pub async fn send(cluster: &ClusterClient, mut head: Parts, body: Bytes) -> Result<Response<Body>, CallError> {
    leave_request_headers(&mut head.headers);
    let answer = if route::may_be_repeated(&head.method, head.uri.path()) {
        ask(cluster, Request::from_parts(head, body)).await
    } else {
        cluster.send(Request::from_parts(head, full(body))).await
    };
    answer.map(without_connection)
}

fn leave_request_headers(headers: &mut HeaderMap) {
    leave_connection_headers(headers);
    headers.remove(HOST);
    // The server answered it when it began to read the body.
    headers.remove(EXPECT);
}

fn without_connection(mut answer: Response<Body>) -> Response<Body> {
    leave_connection_headers(answer.headers_mut());
    answer
}

/// What a client is told when there is no answer to a request that writes nothing.
#[must_use]
pub fn refusal(error: &CallError) -> Refusal {
    match error {
        CallError::NotSent { .. } => Refusal::primary_unavailable(error.to_string()),
        CallError::Unanswered { .. } | CallError::TooLarge { .. } => Refusal::bad_gateway(error.to_string()),
    }
}

/// The headers of a request whose body was read and decompressed here.
pub fn of_read_body(headers: &mut HeaderMap, length: usize) {
    headers.remove(CONTENT_ENCODING);
    headers.remove(TRANSFER_ENCODING);
    if length > 0 || headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Asks what may be asked again. Once more where the cluster itself failed: a search whose node goes away between its two
/// phases ends with 500 (`node_not_connected_exception`) although other nodes have copies, and succeeds when it begins anew.
async fn ask(cluster: &ClusterClient, request: Request<Bytes>) -> Result<Response<Body>, CallError> {
    const FAILED: [StatusCode; 4] = [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    if cluster.nodes() == 1 {
        return cluster.send_safe(request).await;
    }
    let first = cluster.send_safe(request.clone()).await?;
    if !FAILED.contains(&first.status()) {
        return Ok(first);
    }
    Ok(cluster.send_safe(request).await.unwrap_or(first))
}

/// The request of a write to the primary: the client's own headers and credentials, the planned body.
///
/// # Errors
/// When the planned path is none.
pub fn write_request(plan: &PlannedWrite, headers: &HeaderMap) -> Result<Request<Body>, Refusal> {
    let length: usize = plan.body.iter().map(Bytes::len).sum();
    let pieces: Vec<Result<Frame<Bytes>, BoxError>> =
        plan.body.iter().map(|piece| Ok(Frame::data(piece.clone()))).collect();
    let body = StreamBody::new(stream::iter(pieces)).boxed_unsync();
    let request = Request::builder()
        .method(plan.method.clone())
        .uri(&plan.path)
        .body(body)
        .map_err(|error| Refusal::malformed(format!("[{}] is no path: {error}", plan.path)))?;
    Ok(with_headers(request, headers, length))
}

/// A request whose body was read here, with the client's own headers and credentials.
#[must_use]
pub fn with_headers(mut request: Request<Body>, headers: &HeaderMap, length: usize) -> Request<Body> {
    let mut headers = headers.clone();
    leave_connection_headers(&mut headers);
    // The body was decompressed, and the answer is read here.
    for name in [HOST, EXPECT, CONTENT_ENCODING, ACCEPT_ENCODING] {
        headers.remove(name);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    *request.headers_mut() = headers;
    request
}

/// The headers of an answer that was read here, for the client.
#[must_use]
pub fn answer_headers(mut headers: HeaderMap) -> HeaderMap {
    leave_connection_headers(&mut headers);
    headers.remove(CONTENT_LENGTH);
    headers
}
