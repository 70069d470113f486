//! Over a limit: 429 with `Retry-After`, and others go on.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use understudy_tests::{Fake, FakeAnswer, Http, Process, RawConnection, Reply, Stage, eventually};

use crate::wellbehaved::nothing_leaks;

fn is_429(reply: &Reply) {
    assert_eq!(reply.error_type(), "es_rejected_execution_exception", "{reply}");
    assert!(reply.status == 429 && reply.header("retry-after").parse::<u64>().is_ok_and(|wait| wait > 0), "{reply}");
}

async fn refused(gateway: &Process, reason: &str) -> f64 {
    gateway.metric("understudy_refusals_total", &[("reason", reason)]).await
}

/// A flood of connections: who comes too late hears so; those that rest make room.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections() {
    let stage = Stage::new("too many connections").set("gateway.max_connections", 12);
    let gateway = stage.gateway().await;
    let through = stage.through(&gateway);
    through.get("/").await.expect(200);
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(RawConnection::open(gateway.address()).await);
    }
    eventually(Duration::from_secs(10), "some are refused", async || refused(&gateway, "connections").await >= 29.0)
        .await;
    assert_eq!(gateway.metric("understudy_connections", &[]).await, 12.0);
    let late = flood.last_mut().expect("there are some").read_to_end(Duration::from_secs(5)).await;
    assert!(late.starts_with("HTTP/1.1 429") && late.contains("retry-after: 1"), "{late}");
    assert!(late.contains("es_rejected_execution_exception") && late.contains("gateway.max_connections"), "{late}");
    // Who was there goes on, and others come in again although none of the flood goes by itself.
    through.get("/").await.expect(200);
    let comes_in = async || {
        let reply = Http::new(gateway.address()).request("GET", "/").within(Duration::from_secs(3)).send().await?;
        let open = gateway.metric("understudy_connections", &[]).await;
        if reply.status == 200 { Ok(()) } else { Err(format!("{open} are open: {reply}")) }
    };
    eventually(Duration::from_secs(20), "somebody else comes in", comes_in).await;
    drop((flood, through));
    nothing_leaks(&gateway).await;
}

/// A slow primary: reads fill their places, and a write gets one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_at_once() {
    let stage = Stage::new("too many requests").set("gateway.max_concurrent_requests", 8);
    let fake = Fake::before(stage.primary(), |request| {
        let slow = request.path.contains("_slow");
        if slow { FakeAnswer::json(200, "{}").after(Duration::from_secs(4)) } else { FakeAnswer::real() }
    });
    let fake = fake.await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let slow: Vec<_> = (0..7).map(|_| tokio::spawn(through.request("GET", "/_slow").reply())).collect();
    let full = async || gateway.metric("understudy_requests_in_flight", &[]).await == 7.0;
    eventually(Duration::from_secs(3), "seven are under way", full).await;
    is_429(&through.get("/").await);
    through.put(&format!("/{index}/_doc/1"), "{}").await.expect(201);
    assert_eq!(refused(&gateway, "concurrent_requests").await, 1.0);
    for reply in join_all(slow).await {
        reply.expect("it ends").expect(200);
    }
    through.get("/").await.expect(200);
    drop(through);
    nothing_leaks(&gateway).await;
}

/// Each client has its own rate, by the credentials that it shows.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_of_one_client() {
    let stage = Stage::new("rate limits")
        .set("gateway.rate_limit.requests_per_second", 10)
        .set("gateway.rate_limit.burst", "1s")
        .set("gateway.rate_limit.key", "user");
    let gateway = stage.gateway().await;
    let through = stage.through(&gateway);
    let as_user = |user: &str| through.request("GET", "/").header("authorization", user);
    let replies = join_all((0..60).map(|_| as_user("Basic Z3JlZWR5OjE=").reply())).await;
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    assert!((10..=40).contains(&served), "{served} of 60 were served");
    replies.iter().filter(|reply| reply.status != 200).for_each(is_429);
    as_user("Basic bW9kZXN0OjE=").reply().await.expect(200);
    // Who waits as he is told is served.
    let wait: u64 = replies.iter().find_map(|reply| reply.header("retry-after").parse().ok()).expect("a refusal");
    let told = Instant::now() + Duration::from_secs(wait);
    eventually(Duration::from_secs(5), "he is served again", async || {
        as_user("Basic Z3JlZWR5OjE=").reply().await.status == 200
    })
    .await;
    assert!(Instant::now() < told + Duration::from_secs(3));
    drop(through);
    nothing_leaks(&gateway).await;
}

/// A body is let in as a whole, and paid by waiting.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_bytes_of_one_client() {
    let stage = Stage::new("rates of bytes").set("gateway.rate_limit.bytes_per_second", "100KiB");
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    let body = json!({"text": "x".repeat(600 << 10)}).to_string();
    through.put(&format!("/{index}/_doc/1"), body).await.expect(201);
    // Six seconds' worth, of which two are given in advance.
    let reply = through.get("/").await;
    is_429(&reply);
    assert!((2..=4).contains(&reply.header("retry-after").parse::<u64>().expect("a number")), "{reply}");
    eventually(Duration::from_secs(10), "it is paid", async || through.get("/").await.status == 200).await;
    drop(through);
    nothing_leaks(&gateway).await;
}

/// Writes that together take more than the budget: some are refused, none is lost, and in the end all is given back.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_bytes_at_once() {
    let stage =
        Stage::new("too many bytes").set("gateway.max_body_bytes", "4MiB").set("gateway.max_bytes_in_flight", "16MiB");
    let gateway = stage.gateway().await;
    let (through, index) = (stage.through(&gateway), stage.index("i"));
    through.put(&format!("/{index}"), json!({"mappings": {"enabled": false}}).to_string()).await.expect(200);
    let body = json!({"text": "x".repeat(3 << 20)}).to_string();
    let paths: Vec<String> = (0..12).map(|n| format!("/{index}/_doc/{n}")).collect();
    let replies = join_all(paths.iter().map(|path| through.put(path, body.clone()))).await;
    for (reply, path) in replies.iter().zip(&paths) {
        if reply.status == 201 {
            stage.primary().get(path).await.expect(200);
        } else {
            is_429(reply);
            stage.primary().get(path).await.expect(404);
        }
    }
    let done = replies.iter().filter(|reply| reply.status == 201).count();
    assert!((1..12).contains(&done), "{done} of 12 were written");
    assert_eq!(refused(&gateway, "bytes_in_flight").await, (12 - done) as f64);
    drop(through);
    nothing_leaks(&gateway).await;
}
