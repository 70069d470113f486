//! Many small requests over connections that stay: all are answered, each with its own answer, in order.

use std::time::Duration;

use understudy_tests::{Process, RawConnection, Stage};

use crate::{full, table::Table};

const CONNECTIONS: usize = 100;
/// Requests that a client sends without waiting for answers.
const AT_ONCE: usize = 10;
const ANSWER: Duration = Duration::from_secs(60);

/// 10,000 requests over 100 connections; in the short form 2,000.
pub async fn compare(stage: &Stage, gateway: &Process, table: &mut Table) {
    let index = stage.index("connections");
    stage.through(gateway).put(&format!("/{index}/_doc/seed"), "{}").await.expect(201);
    let each = if full() { 100 } else { 20 };
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let (address, index) = (gateway.address().to_owned(), index.clone());
            tokio::spawn(async move { converse(&address, &index, client, each).await })
        })
        .collect();
    let mut wrong = Vec::new();
    for client in clients {
        wrong.extend(client.await.expect("a client does not panic"));
    }
    table.add_many("connections", CONNECTIONS * each, wrong);
    stage.assert_converges(&index).await;
}

/// Writes, and reads what was written, over one connection.
async fn converse(address: &str, index: &str, client: usize, requests: usize) -> Vec<String> {
    let mut connection = RawConnection::open(address).await;
    let mut wrong = Vec::new();
    for first in (0..requests).step_by(AT_ONCE) {
        let numbers = first..(first + AT_ONCE).min(requests);
        let count = numbers.len();
        let asked: String = numbers.clone().map(|number| ask(index, client, number)).collect();
        if let Err(error) = connection.send(asked).await {
            return vec![format!("connection {client}: {error}")];
        }
        let answers = connection.read_until(ANSWER, |read| complete(read) >= count).await;
        let answers = String::from_utf8_lossy(&answers).into_owned();
        let answers: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).collect();
        for (place, number) in numbers.enumerate() {
            let answer = answers.get(place).copied().unwrap_or_default();
            let id = format!("\"_id\":\"{client}-{}\"", number / 2);
            let status = if number % 2 == 0 { "201" } else { "200" };
            if !answer.starts_with(status) || !answer.contains(&id) {
                wrong.push(format!("connection {client}, request {number}: {status} for {id}, but {answer:?}"));
            }
        }
    }
    wrong
}

/// Even ones write a document, odd ones read it.
fn ask(index: &str, client: usize, number: usize) -> String {
    let path = format!("/{index}/_doc/{client}-{}", number / 2);
    if number % 2 == 1 {
        return format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n");
    }
    let body = format!("{{\"n\":{number}}}");
    let length = body.len();
    format!(
        "PUT {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Whole answers: each body here ends with `}` where its length says.
fn complete(read: &[u8]) -> usize {
    let (mut rest, mut count) = (read, 0);
    while let Some(head) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
        let text = String::from_utf8_lossy(&rest[..head]).to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|after| after.lines().next()?.trim().parse().ok());
        let Some(end) = length.map(|length: usize| head + 4 + length).filter(|end| *end <= rest.len()) else { break };
        rest = &rest[end..];
        count += 1;
    }
    count
}
