//! A request that writes nothing: the primary answers it as it is, or the first healthy target while the primary is down.

use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Body as _,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue},
    http::request::Parts,
};
use understudy_common::cluster::{Body, CallError, empty, full};

use crate::{
    body::{self, Admitted},
    forward::{self, Unpassed},
    gateway::Gateway,
    refusal::Refusal,
    reply::without_positions,
    request_body::RequestBody,
    route::{Query, ReadKind, failover_read},
    standby::{Watched, allow},
};

/// Header that names the cluster that answered.
const CLUSTER: HeaderName = HeaderName::from_static("understudy-cluster");
/// Header of what a target answers in place of the primary: seconds since the oldest write that it does not have, or
/// `unknown`.
const LAG: HeaderName = HeaderName::from_static("understudy-lag-seconds");

/// Answers a request that passes.
///
/// # Errors
/// When nobody answers it.
pub async fn answer(gateway: &Gateway, request: Request<RequestBody>) -> Result<Response<Body>, Refusal> {
    if let Some(down) = gateway.standby.primary_down() {
        let (head, mut body) = request.into_parts();
        // Who waits for `100 Continue` sends nothing before the answer.
        let waits = head.headers.contains_key(EXPECT);
        let answered = instead(gateway, head, Some(&mut body), &down).await;
        if answered.is_err() && !waits {
            body::discard(&mut body, gateway.config.max_body_bytes).await;
        }
        return answered;
    }
    // What has no body can be asked of another cluster when the primary is found to be down.
    let again = request.body().is_end_stream().then(|| copy_of(&request));
    match forward::pass(&gateway.primary, &gateway.budget, request).await {
        Ok(mut response) => {
            response.headers_mut().insert(CLUSTER, gateway.standby.primary().name.clone());
            Ok(response)
        }
        Err(Unpassed::Refused(refusal)) => Err(refusal),
        Err(Unpassed::Unanswered(error)) => {
            gateway.standby.doubt_primary();
            match (again, gateway.standby.primary_down()) {
                (Some(head), Some(down)) => instead(gateway, head, None, &down).await,
                _ => Err(forward::refusal(&error)),
            }
        }
    }
}

fn copy_of(request: &Request<RequestBody>) -> Parts {
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy.into_parts().0
}

/// Answers in place of the primary, which is down.
async fn instead(
    gateway: &Gateway,
    mut head: Parts,
    body: Option<&mut RequestBody>,
    down: &str,
) -> Result<Response<Body>, Refusal> {
    let what = format!("{} {}", head.method, head.uri.path());
    let refuse = |why: String| {
        let primary = gateway.primary.name();
        Refusal::primary_unavailable(format!("cluster {primary} is down ({down}), and {what} was not answered: {why}"))
    };
    let read = failover_read(&head.method, head.uri.path()).map_err(|why| refuse(why.to_owned()))?;
    let query = Query::parse(head.uri.query().unwrap_or_default())?;
    allow::check_url(&gateway.pattern, &read, &query).map_err(refuse)?;
    let target = gateway
        .standby
        .serving()
        .map_err(|reasons| refuse(format!("no other cluster is there to answer ({reasons})")))?;

    let admitted = match body {
        Some(body) => read_body(gateway, &head, body).await?,
        None => None,
    };
    let bytes = admitted.as_ref().map(|admitted| admitted.bytes.clone()).unwrap_or_default();
    allow::check_body(&gateway.pattern, &read, &bytes).map_err(refuse)?;
    forward::of_read_body(&mut head.headers, bytes.len());
    let is_edited = head.method != Method::HEAD && matches!(read.kind, ReadKind::Document | ReadKind::Mget);
    if is_edited {
        head.headers.remove(ACCEPT_ENCODING);
    }
    let answered = forward::send(&target.client, head, bytes).await;
    drop(admitted);
    let response = answered.map_err(|error| {
        target.doubt();
        let refusal = refuse(error.to_string());
        match error {
            CallError::NotSent { .. } => refusal,
            CallError::Unanswered { .. } | CallError::TooLarge { .. } => {
                Refusal { status: StatusCode::BAD_GATEWAY, ..refusal }
            }
        }
    })?;
    let mut response = match read.kind {
        ReadKind::Scroll => of_scroll(target, response).map_err(refuse)?,
        _ if is_edited => without_its_positions(gateway, response).await?,
        _ => response,
    };
    gateway.metrics.standby_reads.with_label_values(&[target.client.name()]).inc();
    response.headers_mut().insert(CLUSTER, target.name.clone());
    response.headers_mut().insert(LAG, target.lag_header());
    Ok(response)
}

/// Reads the body of a read: what it asks for is looked at.
async fn read_body(gateway: &Gateway, head: &Parts, body: &mut RequestBody) -> Result<Option<Admitted>, Refusal> {
    if body.is_end_stream() {
        return Ok(None);
    }
    let read = body::read(body, &head.headers, gateway.config.max_body_bytes, &gateway.budget).await;
    read.map(Some).map_err(|refusal| match refusal.status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Refusal {
            reason: "while the primary is down, the body of a read must be JSON by its Content-Type, plain or as gzip"
                .to_owned(),
            ..refusal
        },
        _ => refusal,
    })
}

/// What a client gets of a target's answer to the next page of a scroll. The primary's cursors mean nothing to a target: it
/// knows no such search, or none of the nodes that they name.
fn of_scroll(target: &Watched, response: Response<Body>) -> Result<Response<Body>, String> {
    const TOLD: [StatusCode; 3] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
    let status = response.status();
    if status.is_success() || TOLD.contains(&status) {
        return Ok(response);
    }
    Err(format!("its cursor lives there; cluster {} does not know it ({status})", target.client.name()))
}

/// A get's answer without what holds on the target alone.
async fn without_its_positions(gateway: &Gateway, response: Response<Body>) -> Result<Response<Body>, Refusal> {
    let (mut head, mut body) = response.into_parts();
    let read = body::read(&mut body, &head.headers, gateway.config.max_body_bytes, &gateway.budget).await;
    let admitted = read.map_err(|refusal| match refusal.status {
        StatusCode::TOO_MANY_REQUESTS => refusal,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Refusal::not_acceptable("while the primary is down, documents are answered in JSON only")
        }
        _ => Refusal::bad_gateway(format!("the answer cannot be read: {}", refusal.reason)),
    })?;
    if admitted.bytes.is_empty() {
        return Ok(Response::from_parts(head, empty()));
    }
    let Some(left) = without_positions(&admitted.bytes) else {
        return Err(Refusal::bad_gateway("the answer is not the JSON that it says it is"));
    };
    head.headers.remove(CONTENT_ENCODING);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(left.len()));
    // It takes its part of the budget until it is sent.
    let held = full(left).map_frame(move |frame| {
        let _ = &admitted;
        frame
    });
    Ok(Response::from_parts(head, held.boxed_unsync()))
}
