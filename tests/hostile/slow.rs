//! Clients that are slow, half open, silent, or do not read.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use understudy_tests::{Http, Process, RawConnection, Stage, eventually};

use crate::wellbehaved::{WellBehaved, nothing_leaks};

const SOON: Duration = Duration::from_secs(15);

fn impatient(name: &str) -> Stage {
    Stage::new(name)
        .set("gateway.header_timeout", "1s")
        .set("gateway.body_timeout", "1s")
        .set("gateway.send_timeout", "1s")
        .set("gateway.idle_timeout", "3s")
}

async fn cut(gateway: &Process, reason: &str) -> f64 {
    gateway.metric("understudy_connections_cut_total", &[("reason", reason)]).await
}

/// Sends a byte now and then until the gateway has enough of it.
async fn dribble(mut connection: RawConnection, first: String) -> String {
    let _ = connection.send(first).await;
    let mut said = String::new();
    while said.is_empty() && connection.send("x").await.is_ok() {
        said = connection.read_head(Duration::from_millis(100)).await;
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_that_do_not_come_are_given_up() {
    let stage = impatient("slow heads and bodies");
    let gateway = stage.gateway().await;
    let index = stage.index("i");
    let good = WellBehaved::start(&gateway, &index).await;
    let open = async || RawConnection::open(gateway.address()).await;
    let with_body = |start: String| {
        format!("{start} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{{")
    };
    let write = with_body(format!("PUT /{index}/_doc/1"));
    let search = with_body(format!("POST /{index}/_search"));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        for (first, wanted) in [
            ("GET / HTTP/1.1\r\nx-slow: ".to_owned(), ""),
            (write.clone(), "HTTP/1.1 408"),
            (search.clone(), "HTTP/1.1 408"),
        ] {
            let connection = open().await;
            clients.spawn(async move {
                let said = tokio::time::timeout(SOON, dribble(connection, first)).await.expect("it is given up");
                assert!(said.starts_with(wanted) && said.is_empty() == wanted.is_empty(), "{wanted}: {said}");
            });
        }
    }
    while let Some(client) = clients.join_next().await {
        client.expect("each gets what the table says");
    }
    assert!(cut(&gateway, "header_timeout").await >= 20.0);
    good.end().await;
    nothing_leaks(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_rest_are_closed_and_broken_ones_forgotten() {
    let stage = impatient("resting connections");
    let gateway = stage.gateway().await;
    let index = stage.index("i");
    let good = WellBehaved::start(&gateway, &index).await;
    let mut resting = Vec::new();
    for n in 0..60 {
        let mut connection = RawConnection::open(gateway.address()).await;
        match n % 3 {
            // Says nothing; or something, and then nothing.
            0 => {}
            1 => {
                connection.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is taken");
                assert!(connection.read_head(SOON).await.starts_with("HTTP/1.1 200"));
            }
            // Goes in the middle of a request.
            _ => {
                let part = format!(
                    "PUT /{index}/_doc/1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
                );
                connection.send(part).await.expect("it is taken");
                connection.reset();
                continue;
            }
        }
        resting.push(connection);
    }
    for mut connection in resting {
        let begun = std::time::Instant::now();
        connection.read_to_end(SOON).await;
        assert!(begun.elapsed() < SOON, "it was not closed");
    }
    assert!(cut(&gateway, "idle").await >= 40.0);
    good.end().await;
    nothing_leaks(&gateway).await;
}

/// An index whose documents make a large answer, and the request for it.
async fn large_answer(stage: &Stage) -> String {
    let (direct, index) = (stage.primary(), stage.index("large"));
    direct.put(&format!("/{index}"), json!({"mappings": {"enabled": false}}).to_string()).await.expect(200);
    let source = json!({"text": "x".repeat(8 << 20)}).to_string();
    for id in 0..6 {
        direct.put(&format!("/{index}/_doc/{id}?refresh=true"), source.clone()).await.expect(201);
    }
    format!("/{index}/_search?size=6")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_cut_off() {
    let stage = impatient("clients that do not read");
    let gateway = stage.gateway().await;
    let path = large_answer(&stage).await;
    let good = WellBehaved::start(&gateway, &stage.index("i")).await;
    let mut deaf = Vec::new();
    for _ in 0..3 {
        let mut connection = RawConnection::open(gateway.address()).await;
        connection.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await.expect("it is taken");
        deaf.push(connection);
    }
    // By HTTP/2 a single answer is stuck, while the connection is alive.
    let stream = TcpStream::connect(gateway.address().trim_start_matches("http://")).await.expect("it listens");
    let (mut client, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1_000)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .expect("HTTP/2 without TLS");
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("{}{path}", gateway.address())).body(Empty::new()).expect("a request");
    let unread = client.send_request(request).await.expect("an answer begins");
    assert_eq!(unread.status(), 200);
    eventually(SOON, "each is cut off", async || cut(&gateway, "send_timeout").await >= 4.0).await;
    let _ = connection.await.expect("it ends");
    drop((unread, client, deaf));
    // Who reads gets all of it.
    let reply = Http::new(gateway.address()).get(&path).await.expect(200);
    assert!(reply.body.len() > 48 << 20);
    good.end().await;
    nothing_leaks(&gateway).await;
}
