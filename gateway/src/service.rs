//! One request: what it is, who serves it, and how its answer looks. Errors become HTTP here and nowhere else.

use std::{io::Write, net::IpAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::Incoming,
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HeaderValue, RETRY_AFTER,
    },
    http::request::Parts,
};
use understudy_common::{
    cluster::{Body, empty, full},
    config::Unplaced,
    process::random_id,
};

use crate::{
    admission::{Kind, Slot},
    answer_body::AnswerBody,
    body::{self, Admitted},
    gateway::Gateway,
    index_admin::{self, IndexChange},
    read,
    refusal::Refusal,
    replicate::{self, Reply},
    reply::ReplyShape,
    request_body::RequestBody,
    route::{self, Query, Route},
    write::{bulk, document, plan::PlannedWrite},
};

/// Header under which a client learns the id of its request.
const REQUEST_ID: &str = "understudy-request-id";

/// Answers one request of the client at `address`.
pub async fn answer(gateway: Arc<Gateway>, address: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let begun = Instant::now();
    let (mut head, body) = request.into_parts();
    let http2 = head.version == Version::HTTP_2;
    speak_http_1_1(&mut head);
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    let route = route::classify(&method, &path);
    let class = class(&route);
    let id: Arc<str> = random_id().into();
    // What the client wants errors to look like; what is wrong with its query is said by whoever reads all of it.
    let shape = Query::parse(head.uri.query().unwrap_or_default())
        .and_then(|mut query| ReplyShape::take(&mut query))
        .unwrap_or_default();
    let accepts_gzip = accepts_gzip(&head.headers);
    let client = gateway.admission.client(address, &head.headers);
    let payer = (gateway.admission.clone(), client);
    let mut body = RequestBody::new(body, http2, gateway.config.patience.body_timeout, payer);
    // Who waits for `100 Continue` sends nothing before the answer.
    let waits = head.headers.contains_key(EXPECT);
    let answered = match gateway.admission.admit(client).and(route) {
        Ok(Route::Pass) => match gateway.admission.slot(Kind::Read) {
            Ok(slot) => pass(&gateway, Request::from_parts(head, body), slot).await,
            Err(refusal) => Err(refuse_sender(&gateway, refusal, &mut body, waits).await),
        },
        Ok(route) => match serve_write(gateway.clone(), id.clone(), route, head, &mut body).await {
            Ok(reply) => Ok(respond(&gateway, reply, &id, accepts_gzip)),
            Err(refusal) => Err(refuse_sender(&gateway, refusal, &mut body, waits).await),
        },
        Err(refusal) => Err(refuse_sender(&gateway, refusal, &mut body, waits).await),
    };
    let response = answered.unwrap_or_else(|refusal| {
        if refusal.kind == Refusal::PRIMARY_UNAVAILABLE {
            gateway.standby.doubt_primary();
        }
        gateway.metrics.refusals.with_label_values(&[refusal.label()]).inc();
        refuse(&refusal, &shape, &id, &method)
    });
    let status = response.status();
    let took = begun.elapsed();
    gateway.metrics.requests.with_label_values(&[class, status_label(&status)]).inc();
    gateway.metrics.request_seconds.with_label_values(&[class, status_class(status)]).observe(took.as_secs_f64());
    tracing::debug!(request = &*id, %method, path, status = status.as_u16(), ?took, "request");
    response
}

/// Clusters are spoken to in HTTP/1.1, whatever the client speaks.
fn speak_http_1_1(head: &mut Parts) {
    if head.version == Version::HTTP_2 {
        // HTTP/2 may send a cookie in pieces (RFC 9113, 8.2.3).
        let pieces: Vec<&[u8]> = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if pieces.len() > 1
            && let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..]))
        {
            head.headers.insert(COOKIE, whole);
        }
    }
    head.version = Version::HTTP_11;
}

/// A status that nobody has registered is a server's whim, of which there may be hundreds.
fn status_label(status: &StatusCode) -> &str {
    if status.canonical_reason().is_some() { status.as_str() } else { "other" }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// Forwards what is no write. Its place is free again when the answer has left.
async fn pass(gateway: &Gateway, request: Request<RequestBody>, slot: Slot) -> Result<Response<Body>, Refusal> {
    let fault = request.body().fault();
    let answered = read::answer(gateway, request).await;
    let response = answered.map_err(|refusal| fault.refusal().unwrap_or(refusal))?;
    Ok(response.map(|body| AnswerBody::stream(body, slot).boxed_unsync()))
}

/// Reads on for a while, so that the refusal reaches a client that sends everything before it reads.
async fn refuse_sender(gateway: &Gateway, refusal: Refusal, body: &mut RequestBody, waits: bool) -> Refusal {
    // For who is still sending when the time of the gateway is over, there is none.
    if !waits && !gateway.over.is_cancelled() {
        body::discard(body, gateway.config.max_body_bytes).await;
    }
    refusal
}

fn class(route: &Result<Route, Refusal>) -> &'static str {
    match route {
        Ok(Route::Pass) => "pass",
        Ok(Route::Bulk(_)) => "bulk",
        Ok(Route::Document(_)) => "document",
        Ok(Route::CreateIndex(_) | Route::PutMapping(_)) => "index",
        Err(_) => "refused",
    }
}

async fn serve_write(
    gateway: Arc<Gateway>,
    id: Arc<str>,
    route: Route,
    head: Parts,
    body: &mut RequestBody,
) -> Result<Reply, Refusal> {
    body::check_accept(&head.headers)?;
    // Refused at once, before a large body is read for nothing. (Writes that may pass without the log are not.)
    if gateway.log.is_down() && gateway.unplaced == Unplaced::Refuse {
        // While the gate is closed, it is known better why.
        let reason = gateway.gate.placement().err().unwrap_or_else(|| "no Kafka broker can be reached".to_owned());
        return Err(Refusal::log_unavailable(format!("nothing was written, because {reason}")));
    }
    // So is what would get no place. It takes its place when its body is here: who sends slowly holds no place.
    gateway.admission.check_room(Kind::Write)?;
    let mut admitted = tokio::select! {
        biased;
        read = body::read(body, &head.headers, gateway.config.max_body_bytes, &gateway.budget) => read,
        () = gateway.over.cancelled() => {
            let reason = "nothing was written: this gateway ends (gateway.drain_timeout), and the body is not here in full";
            return Err(Refusal::log_unavailable(reason));
        }
    }
    .map_err(|refusal| body.fault().refusal().unwrap_or(refusal))?;
    let planned = {
        let query = || {
            let mut query = Query::parse(head.uri.query().unwrap_or_default())?;
            query.bound_timeout(gateway.longest_wait)?;
            Ok(query)
        };
        match route {
            Route::Bulk(index) => {
                let bytes = admitted.bytes.clone();
                let take = |more| admitted.grow(more);
                Work::Write(bulk::plan(index.as_deref(), query()?, &bytes, &gateway.ids, gateway.limits, take)?)
            }
            Route::Document(route) => {
                Work::Write(document::plan(&route, query()?, &admitted.bytes, &gateway.ids, gateway.limits)?)
            }
            Route::CreateIndex(index) | Route::PutMapping(index) => Work::Change(IndexChange {
                index: index.into(),
                creates: head.method == Method::PUT && !head.uri.path().contains("/_mapping"),
                method: head.method,
                uri: head.uri,
                body: admitted.bytes.clone(),
            }),
            Route::Pass => unreachable!("answered by the caller"),
        }
    };
    run(gateway, id, planned, head.headers, admitted).await
}

/// About as much of a bulk's answer tells of an item.
const ANSWER_OF_ITEM: usize = 256;

enum Work {
    Write(PlannedWrite),
    Change(IndexChange),
}

/// Runs a write in a task that goes on when the client goes away.
async fn run(
    gateway: Arc<Gateway>,
    id: Arc<str>,
    work: Work,
    headers: HeaderMap,
    mut admitted: Admitted,
) -> Result<Reply, Refusal> {
    let slot = gateway.admission.slot(Kind::Write)?;
    // Until Kafka has them; and the primary's answer, as far as its size can be told.
    let items = if let Work::Write(plan) = &work { plan.items.len() } else { 1 };
    admitted.grow(gateway.copies * admitted.bytes.len() + ANSWER_OF_ITEM * items)?;
    let (tasks, over) = (gateway.tasks.clone(), gateway.over.clone());
    let task = tasks.spawn(async move {
        let _held = (admitted, slot);
        match work {
            Work::Write(plan) => replicate::write(gateway, id, plan, headers).await,
            Work::Change(change) => index_admin::change(&gateway, change, &headers).await,
        }
    });
    let ended = tokio::select! {
        biased;
        ended = task => ended,
        () = over.cancelled() => {
            let reason = "this gateway ends (gateway.drain_timeout) in the middle of the write: read what became of it";
            return Err(Refusal::outcome_unknown(reason));
        }
    };
    ended.unwrap_or_else(|error| {
        tracing::error!(%error, "a write ended in a panic; its intent stays open");
        Err(Refusal::outcome_unknown("the gateway failed in the middle of the write"))
    })
}

fn respond(gateway: &Gateway, reply: Reply, id: &str, accepts_gzip: bool) -> Response<Body> {
    // Below this a compressed body is no shorter.
    const WORTH_COMPRESSING: usize = 256;
    let mut headers = reply.headers;
    let mut body = reply.body;
    if accepts_gzip && body.len() >= WORTH_COMPRESSING && !headers.contains_key(CONTENT_ENCODING) {
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        if encoder.write_all(&body).is_ok()
            && let Ok(compressed) = encoder.finish()
        {
            body = Bytes::from(compressed);
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    insert_id(&mut headers, id);
    // It is held until its client has taken it.
    let held = gateway.budget.count(body.len());
    let mut response = Response::new(AnswerBody::whole(body, held).boxed_unsync());
    *response.status_mut() = reply.status;
    *response.headers_mut() = headers;
    response
}

fn refuse(refusal: &Refusal, shape: &ReplyShape, id: &str, method: &Method) -> Response<Body> {
    let body = shape.print(&refusal.body());
    let mut response = Response::new(empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    insert_id(headers, id);
    if refusal.status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(RETRY_AFTER, HeaderValue::from(refusal.retry_after));
    }
    *response.status_mut() = refusal.status;
    if *method != Method::HEAD {
        *response.body_mut() = full(body);
    }
    response
}

fn insert_id(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| {
            let mut parts = one.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(|part| part == "q=0")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_statuses_are_few() {
        let labels: std::collections::BTreeSet<String> = (100..1_000)
            .map(|status| status_label(&StatusCode::from_u16(status).expect("three digits")).to_owned())
            .collect();
        assert!(labels.len() < 80 && labels.contains("429") && labels.contains("other"), "{labels:?}");
    }
}
