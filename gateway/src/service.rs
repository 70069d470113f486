//! One request: what it is, who serves it, and how its answer looks. Errors become HTTP here and nowhere else.

use std::{io::Write, sync::Arc, time::Instant};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue, RETRY_AFTER},
    http::request::Parts,
};
use understudy_common::{
    cluster::{Body, empty, full},
    config::Unplaced,
    process::random_id,
};

use crate::{
    body::{self, Admitted},
    forward,
    gateway::Gateway,
    index_admin::{self, IndexChange},
    refusal::Refusal,
    replicate::{self, Reply},
    reply::ReplyShape,
    route::{self, Query, Route},
    write::{bulk, document, plan::PlannedWrite},
};

/// Header under which a client learns the id of its request.
const REQUEST_ID: &str = "understudy-request-id";

/// Answers one request.
pub async fn answer(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<Body> {
    let begun = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = route::classify(&method, &path);
    let class = class(&route);
    let id: Arc<str> = random_id().into();
    // What the client wants errors to look like; what is wrong with its query is said by whoever reads all of it.
    let shape = Query::parse(request.uri().query().unwrap_or_default())
        .and_then(|mut query| ReplyShape::take(&mut query))
        .unwrap_or_default();
    let accepts_gzip = accepts_gzip(request.headers());
    let answered = if route == Ok(Route::Pass) {
        forward::pass(&gateway.primary, request).await
    } else {
        let (head, mut body) = request.into_parts();
        let waits = head.headers.contains_key(EXPECT);
        let served = match route {
            Ok(route) => serve_write(gateway.clone(), id.clone(), route, head, &mut body).await,
            Err(refusal) => Err(refusal),
        };
        // Who waits for `100 Continue` sends nothing before the answer.
        if served.is_err() && !waits {
            body::discard(&mut body, gateway.config.max_body_bytes).await;
        }
        served.map(|reply| respond(reply, &id, accepts_gzip))
    };
    let response = answered.unwrap_or_else(|refusal| {
        gateway.metrics.refusals.with_label_values(&[refusal.kind]).inc();
        refuse(&refusal, &shape, &id, &method)
    });
    let status = response.status();
    gateway.metrics.requests.with_label_values(&[class, status.as_str()]).inc();
    tracing::debug!(request = &*id, %method, path, status = status.as_u16(), took = ?begun.elapsed(), "request");
    response
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
    body: &mut Incoming,
) -> Result<Reply, Refusal> {
    body::check_accept(&head.headers)?;
    // Refused at once, before a large body is read for nothing. (Writes that may pass without the log are not.)
    if gateway.log.is_down() && gateway.unplaced == Unplaced::Refuse {
        // While the gate is closed, it is known better why.
        let reason = gateway.gate.placement().err().unwrap_or_else(|| "no Kafka broker can be reached".to_owned());
        return Err(Refusal::log_unavailable(format!("nothing was written, because {reason}")));
    }
    let mut admitted = body::read(body, &head.headers, gateway.config.max_body_bytes, &gateway.budget).await?;
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
    // Records hold another copy of the sources until Kafka has them.
    admitted.grow(admitted.bytes.len())?;
    let tasks = gateway.tasks.clone();
    let task = tasks.spawn(async move {
        let _admitted = admitted;
        match work {
            Work::Write(plan) => replicate::write(&gateway, &id, &plan, &headers).await,
            Work::Change(change) => index_admin::change(&gateway, change, &headers).await,
        }
    });
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a write ended in a panic; its intent stays open");
        Err(Refusal::outcome_unknown("the gateway failed in the middle of the write"))
    })
}

fn respond(reply: Reply, id: &str, accepts_gzip: bool) -> Response<Body> {
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
    let mut response = Response::new(full(body));
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
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
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
