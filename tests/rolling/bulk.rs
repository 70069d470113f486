//! A bulk as large as Elasticsearch takes, sent in two halves.

use std::{fmt::Write, sync::Arc, time::Duration};

use serde_json::{Value, json};
use understudy_tests::RawConnection;

use crate::ledger::Ledger;

/// A bulk of which the first half was sent.
pub struct Upload {
    connection: RawConnection,
    rest: String,
    documents: Vec<(String, Value)>,
}

/// What came of it.
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Its body as JSON; null where it is none.
    pub body: Value,
    /// Everything as it came, or the beginning of it.
    pub text: String,
}

/// Bytes of text in each document.
const TEXT: usize = 4_000;
/// Longer than a gateway may take to go.
const PATIENCE: Duration = Duration::from_secs(120);

impl Upload {
    /// Sends the head and the first half of a bulk that is just not larger than so many bytes.
    pub async fn begin(address: &str, index: &str, ids: &str, bytes: usize) -> Self {
        let (body, documents) = bulk(ids, bytes);
        let mut connection = RawConnection::open(address).await;
        let host = address.trim_start_matches("http://");
        let head = format!(
            "POST /{index}/_bulk HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.send(head).await.expect("it is read");
        let (half, rest) = body.split_at(body.len() / 2);
        connection.send(half).await.expect("it is read");
        Self { connection, rest: rest.to_owned(), documents }
    }

    /// Bytes that a gateway holds of it at least.
    pub fn held(&self) -> usize {
        self.rest.len() / 2
    }

    /// How many documents it has.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Waits for the answer without the second half.
    pub async fn answer(mut self) -> Answer {
        read(&mut self.connection).await
    }

    /// Sends all but the last byte; what follows is not waited for.
    pub async fn finish(mut self, ledger: &Arc<Ledger>) -> Answer {
        // Who cuts it off may have answered before.
        let _ = self.connection.send(&self.rest).await;
        let answer = read(&mut self.connection).await;
        if answer.status == 200 && answer.body["errors"] == false {
            self.documents.into_iter().for_each(|(id, source)| ledger.note(id, source));
        }
        answer
    }
}

impl Answer {
    /// How many documents it acknowledges.
    pub fn acknowledged(&self) -> usize {
        let items = self.body["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter(|item| item["index"]["status"] == 201).count()
    }
}

/// Documents of ids that begin so, as many as fit.
fn bulk(ids: &str, bytes: usize) -> (String, Vec<(String, Value)>) {
    let (mut body, mut documents) = (String::with_capacity(bytes), Vec::new());
    // Not all alike, and not quite random: what a log compresses to a third or so.
    let words: String = (0..TEXT / 8).fold(String::new(), |mut text, n: usize| {
        let _ = write!(text, "{:07x} ", n.wrapping_mul(0x009e_3779) & 0x0fff_ffff);
        text
    });
    for number in 0.. {
        let id = format!("{ids}-{number}");
        let source = json!({"n": number, "text": words});
        let lines = format!("{}\n{source}\n", json!({"index": {"_id": id}}));
        if body.len() + lines.len() > bytes {
            break;
        }
        body.push_str(&lines);
        documents.push((id, source));
    }
    (body, documents)
}

async fn read(connection: &mut RawConnection) -> Answer {
    let read = connection.read_until(PATIENCE, |read| whole(read).is_some()).await;
    let text = String::from_utf8_lossy(&read);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = whole(&read).and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    Answer { status, body, text: text.chars().take(1_000).collect() }
}

/// The body of an answer that came in full.
fn whole(read: &[u8]) -> Option<&[u8]> {
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&read[..head]).ok()?, &read[head + 4..]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    body.get(..length)
}
