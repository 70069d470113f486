//! Requests and answers on their way through: what belongs to a connection stays behind, everything else passes.

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Request, Response,
    body::Frame,
    header::{
        ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName,
        HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use understudy_common::cluster::{Body, BoxError, CallError, ClusterClient};

use crate::{refusal::Refusal, write::plan::PlannedWrite};

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

/// Forwards a request as it is and hands the answer out as it comes; neither body is held.
///
/// # Errors
/// When there is no answer.
pub async fn pass(cluster: &ClusterClient, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (mut head, body) = request.into_parts();
    leave_connection_headers(&mut head.headers);
    head.headers.remove(HOST);
    // The server answered it when it began to read the body.
    head.headers.remove(EXPECT);
    let answer = cluster.send(Request::from_parts(head, body)).await.map_err(|error| match error {
        CallError::NotSent { .. } => Refusal::primary_unavailable(error.to_string()),
        CallError::Unanswered { .. } => Refusal::bad_gateway(error.to_string()),
    })?;
    let (mut head, body) = answer.into_parts();
    leave_connection_headers(&mut head.headers);
    Ok(Response::from_parts(head, body.map_err(BoxError::from).boxed_unsync()))
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
