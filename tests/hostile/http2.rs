//! HTTP/2 by TLS: cookies in pieces, limits, and the end of a gateway.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Response,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};
use understudy_common::tls::ClientFiles;
use understudy_tests::{Fake, FakeAnswer, Process, Stage, eventually};

use crate::{
    encrypted::{Authority, handshake, request, with_tls},
    wellbehaved::nothing_leaks,
};

const WITHIN: Duration = Duration::from_secs(10);

/// A client of one connection, and the end of that.
struct Client {
    requests: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    async fn of(gateway: &Process, authority: &Authority) -> Self {
        let files = ClientFiles { ca_file: Some(authority.ca_file()), identity: None };
        let stream = handshake(gateway, &files, &["h2"]).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (requests, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        Self { requests, connection: tokio::spawn(connection) }
    }

    async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.requests.send_request(request("GET", path, "")).await.expect("an answer")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_in_pieces_reaches_the_cluster_whole() {
    let stage = Stage::new("cookies");
    let authority = Authority::new(stage.folder(), "a");
    let fake = Fake::before(stage.primary(), |_| FakeAnswer::real()).await;
    let stage =
        with_tls(stage, &authority.identity("server")).set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let gateway = stage.gateway().await;
    let mut client = Client::of(&gateway, &authority).await;
    let mut get = request("GET", "/_cat/indices?h=index", "");
    for piece in ["a=1", "b=2", "c=3"] {
        get.headers_mut().append("cookie", piece.parse().expect("a value"));
    }
    let answer = client.requests.send_request(get).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let seen = fake.requests();
    let seen = seen.iter().find(|request| request.path.ends_with("h=index")).expect("it came");
    let cookies: Vec<&str> =
        seen.headers.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_much_is_told_so_and_keeps_his_connection() {
    let stage = Stage::new("too much by HTTP/2")
        .set("gateway.rate_limit.requests_per_second", 2)
        .set("gateway.rate_limit.burst", "1s");
    let authority = Authority::new(stage.folder(), "a");
    let stage = with_tls(stage, &authority.identity("server"));
    let gateway = stage.gateway().await;
    let mut client = Client::of(&gateway, &authority).await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = client.get("/").await;
        if answer.status() != 200 {
            refused = Some(answer);
            break;
        }
    }
    let (head, body) = refused.expect("a refusal").into_parts();
    let wait: u64 = head.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    let body: Value = serde_json::from_slice(&body.collect().await.expect("all of it").to_bytes()).expect("JSON");
    assert_eq!((head.status.as_u16(), &body["status"]), (429, &429.into()), "{body}");
    assert_eq!(body["error"]["type"], "es_rejected_execution_exception");
    assert!((1..=3).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(client.get("/").await.status(), 200, "who waits as he is told is served, on the same connection");
    drop(client);
    nothing_leaks(&gateway).await;
}

/// Who comes too late could not read a word before the handshake: he is closed, and others go on.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed() {
    let stage = Stage::new("too many by TLS").set("gateway.max_connections", 2);
    let authority = Authority::new(stage.folder(), "a");
    let stage = with_tls(stage, &authority.identity("server"));
    let gateway = stage.gateway().await;
    let files = ClientFiles { ca_file: Some(authority.ca_file()), identity: None };
    let (mut one, other) = (Client::of(&gateway, &authority).await, Client::of(&gateway, &authority).await);
    assert!(timeout(WITHIN, handshake(&gateway, &files, &["h2"])).await.expect("at once").is_err());
    let refused = gateway.metric("understudy_refusals_total", &[("reason", "connections")]).await;
    assert_eq!(refused, 1.0);
    assert_eq!(one.get("/").await.status(), 200);
    drop(other);
    let comes_in = async || handshake(&gateway, &files, &["h2"]).await.is_ok();
    eventually(WITHIN, "there is room again", comes_in).await;
    drop(one);
    nothing_leaks(&gateway).await;
}

/// `GOAWAY`: the connection takes nothing new, what is under way ends, and nothing is cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_drains_lets_requests_end_and_says_goodbye() {
    let stage = Stage::new("goodbye").set("gateway.drain_notice", "1s").set("gateway.drain_timeout", "20s");
    let authority = Authority::new(stage.folder(), "a");
    let fake = Fake::before(stage.primary(), |request| {
        let slow = request.path.ends_with("h=slow");
        if slow { FakeAnswer::json(200, "{\"slow\":true}").after(Duration::from_secs(4)) } else { FakeAnswer::real() }
    });
    let fake = fake.await;
    let stage =
        with_tls(stage, &authority.identity("server")).set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let mut gateway = stage.gateway().await;
    let mut resting = Client::of(&gateway, &authority).await;
    assert_eq!(resting.get("/").await.status(), 200);
    let mut busy = Client::of(&gateway, &authority).await;
    let slow = tokio::spawn(busy.requests.send_request(request("GET", "/_cat/indices?h=slow", "")));
    let arrived = async || fake.requests().iter().any(|request| request.path.ends_with("h=slow"));
    eventually(WITHIN, "it is under way", arrived).await;
    gateway.terminate();
    // Both clients hear that nothing new is taken, while what is under way goes on. The client looks at what it has heard when it
    // is given something to send.
    for requests in [&mut resting.requests, &mut busy.requests] {
        let closed = async {
            while requests.ready().await.is_ok() && requests.send_request(request("GET", "/", "")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(3), closed).await.expect("GOAWAY");
    }
    assert!(!slow.is_finished());
    timeout(WITHIN, resting.connection).await.expect("it ends").expect("no panic").expect("well");
    let answer = slow.await.expect("no panic").expect("it was not cut");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.expect("all of it").to_bytes(), "{\"slow\":true}");
    timeout(WITHIN, busy.connection).await.expect("it ends").expect("no panic").expect("well");
    assert!(gateway.ended().await.success());
}
