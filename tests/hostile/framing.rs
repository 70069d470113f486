//! Requests that no client should send: each row of the README's table.

use std::time::Duration;

use understudy_tests::{Fake, FakeAnswer, Process, RawConnection, Stage};

use crate::wellbehaved::{WellBehaved, nothing_leaks};

const SOON: Duration = Duration::from_secs(15);

/// Sends bytes, and reads until the gateway closes or has nothing more to say.
async fn answer_to(gateway: &Process, bytes: impl AsRef<[u8]>) -> String {
    let mut connection = RawConnection::open(gateway.address()).await;
    // It may be answered, and closed, before its end.
    let _ = connection.send(bytes).await;
    connection.read_head(SOON).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_malformed_request_gets_what_the_table_says() {
    let stage = Stage::new("malformed requests");
    let gateway = stage.gateway().await;
    let index = stage.index("i");
    let good = WellBehaved::start(&gateway, &index).await;
    let get = |head: &str| format!("GET / HTTP/1.1\r\nhost: x\r\n{head}\r\n");
    let put = |head: &str, body: &str| {
        format!("PUT /{index}/_doc/1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}\r\n{body}")
    };
    let search = |head: &str, body: &str| {
        format!("POST /{index}/_search HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}\r\n{body}")
    };
    let chunked = "transfer-encoding: chunked\r\n";
    let extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(40_000));
    let many: String = (0..1_500).map(|n| format!("x-{n}: 1\r\n")).collect();
    let rows: Vec<(&str, String, &[&str])> = vec![
        ("two differing lengths", put("content-length: 2\r\ncontent-length: 3\r\n", "{}"), &["400"]),
        ("two equal lengths", put("content-length: 2\r\ncontent-length: 2\r\n", "{}"), &["201", "200"]),
        ("a length that is none", put("content-length: -2\r\n", "{}"), &["400"]),
        ("a length with a sign", put("content-length: +2\r\n", "{}"), &["400"]),
        (
            "chunks and a length",
            put(&format!("content-length: 3\r\n{chunked}"), "2\r\n{}\r\n0\r\n\r\n"),
            &["201", "200"],
        ),
        ("a coding other than chunks", put("transfer-encoding: gzip\r\n", "{}"), &["400"]),
        ("chunks that are not last", put("transfer-encoding: chunked, identity\r\n", "2\r\n{}\r\n0\r\n\r\n"), &["400"]),
        ("a chunk size that is none", put(chunked, "zz\r\n{}\r\n0\r\n\r\n"), &["400"]),
        ("a chunk size beyond all numbers", put(chunked, "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"), &["400"]),
        ("the same in a search", search(chunked, "zz\r\n{}\r\n0\r\n\r\n"), &["400"]),
        ("a huge chunk extension", put(chunked, &extension), &["400"]),
        ("the same in a search", search(chunked, &extension), &["400"]),
        ("trailers", put(chunked, "2\r\n{}\r\n0\r\nx-late: 1\r\n\r\n"), &["201", "200"]),
        ("headers of 1 MB", get(&format!("x-large: {}\r\n", "x".repeat(1 << 20))), &["431"]),
        ("1,500 headers", get(&many), &["431"]),
        (
            "a URL of 20 KB, which the primary refuses",
            format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "u".repeat(20_000)),
            &["400"],
        ),
        ("a URL of 80 KB", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "u".repeat(80_000)), &["414"]),
        ("a URL of 1 MB", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "u".repeat(1 << 20)), &["431"]),
        ("bare line feeds", "GET / HTTP/1.1\nhost: x\n\n".into(), &["200"]),
        ("a folded header", get("x-folded: a\r\n b\r\n"), &["400"]),
        ("a zero byte in a header", get("x-zero: a\0b\r\n"), &["400"]),
        ("a zero byte in the URL", "GET /a\0b HTTP/1.1\r\nhost: x\r\n\r\n".into(), &["400"]),
        ("a space before the colon", get("x-space : 1\r\n"), &["400"]),
        ("no HTTP at all", "\x16\x03\x01 garbage \u{1}\u{2}\r\n\r\n".into(), &["400"]),
        ("HTTP/0.9", "GET /\r\n\r\n".into(), &["400"]),
        ("a version that is none", "GET / HTTP/3.7\r\nhost: x\r\n\r\n".into(), &["400"]),
        ("an absolute URL", "GET http://example.org/ HTTP/1.1\r\nhost: example.org\r\n\r\n".into(), &["200"]),
        ("CONNECT", "CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\n\r\n".into(), &["400"]),
        ("TRACE", "TRACE / HTTP/1.1\r\nhost: x\r\n\r\n".into(), &["501"]),
        ("an upgrade to web sockets", get("connection: upgrade\r\nupgrade: websocket\r\n"), &["200"]),
        (
            "an upgrade to HTTP/2",
            get("connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"),
            &["200"],
        ),
        (
            "HTTP/2 that goes wrong",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage garbage garbage garbage".into(),
            &["closed"],
        ),
    ];
    for (row, bytes, wanted) in rows {
        let answer = answer_to(&gateway, bytes).await;
        let got = if answer.starts_with("HTTP/1.1 ") { status(&answer) } else { "closed" };
        assert!(wanted.contains(&got), "{row}: {got} where {wanted:?} was expected: {answer}");
    }
    good.end().await;
    nothing_leaks(&gateway).await;
}

/// What reaches the primary has one framing, whatever the client sent, and none of what belongs to its connection.
#[tokio::test(flavor = "multi_thread")]
async fn one_framing_is_forwarded() {
    let stage = Stage::new("one framing");
    let fake = Fake::before(stage.primary(), |request| {
        if request.path.contains("_count") { FakeAnswer::json(200, "{}") } else { FakeAnswer::real() }
    });
    let fake = fake.await;
    let stage = stage.set("clusters.primary.urls", vec![fake.address().to_owned()]);
    let gateway = stage.gateway().await;
    let head = "POST /i/_count HTTP/1.1\r\nhost: elsewhere\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\
        transfer-encoding: chunked\r\nconnection: x-private\r\nx-private: 1\r\nte: trailers\r\nupgrade: h2c\r\n\r\n";
    // With the length as framing, what follows would be another request.
    let answer = answer_to(&gateway, format!("{head}2\r\n{{}}\r\n0\r\n\r\n")).await;
    assert_eq!(status(&answer), "200", "{answer}");
    let requests = fake.requests();
    let request = requests.iter().find(|request| request.path.contains("_count")).expect("it was forwarded");
    assert_eq!(request.text(), "{}");
    assert!(
        request.header("transfer-encoding").is_empty() != request.header("content-length").is_empty(),
        "{request:?}"
    );
    for name in ["x-private", "te", "upgrade", "connection"] {
        assert_eq!(request.header(name), "", "{name}");
    }
    assert_ne!(request.header("host"), "elsewhere");
}

/// Requests that come without waiting are answered one after the other; what is garbage after them reaches nobody.
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let stage = Stage::new("pipelining");
    let gateway = stage.gateway().await;
    let mut connection = RawConnection::open(gateway.address()).await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let all = format!("{}{}{}garbage\r\n\r\n", request("/_nothing_a"), request("/_nothing_b"), request("/_nothing_c"));
    connection.send(all).await.expect("it is taken");
    let answers = connection.read_to_end(SOON).await;
    let place = |text: &str| answers.find(text).unwrap_or_else(|| panic!("{text} is not in {answers}"));
    assert!(place("_nothing_a") < place("_nothing_b") && place("_nothing_b") < place("_nothing_c"), "{answers}");
    assert!(answers.rfind("HTTP/1.1 400").is_some_and(|at| at > place("_nothing_c")), "{answers}");
    nothing_leaks(&gateway).await;
}

/// Who asks first is told to go on, or hears the refusal without sending anything.
#[tokio::test(flavor = "multi_thread")]
async fn expect_100_continue() {
    let stage = Stage::new("expect continue");
    let gateway = stage.gateway().await;
    let index = stage.index("i");
    let head = |path: &str| {
        format!(
            "PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    let mut connection = RawConnection::open(gateway.address()).await;
    connection.send(head(&format!("/{index}/_doc/1"))).await.expect("it is taken");
    assert_eq!(status(&connection.read_head(SOON).await), "100");
    connection.send("{}").await.expect("it is taken");
    assert_eq!(status(&connection.read_head(SOON).await), "201");
    drop(connection);
    let refused = answer_to(&gateway, head("/_cluster/settings")).await;
    assert_eq!(status(&refused), "501", "{refused}");
    nothing_leaks(&gateway).await;
}
