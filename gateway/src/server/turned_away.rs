//! What clients are told that never come to speak to a gateway.

use std::time::Duration;

use hyper::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::refusal::Refusal;

/// How long a client may take to hear it.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is read of what it sends meanwhile.
const MAX_READ: usize = 256 << 10;

/// Tells a client why it is turned away, and reads a little of what it sends: a connection that is closed over unread bytes
/// is reset, and its client would not see the answer.
pub async fn turn_away(mut stream: TcpStream, refusal: &Refusal) {
    let body = refusal.body().to_string();
    let retry = if refusal.status == StatusCode::TOO_MANY_REQUESTS { "retry-after: 1\r\n" } else { "" };
    let answer = format!(
        "HTTP/1.1 {}\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: {}\r\n{retry}connection: close\r\n\r\n{body}",
        refusal.status,
        body.len()
    );
    let telling = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let (mut buffer, mut read) = ([0; 4096], 0);
        while read < MAX_READ {
            match stream.read(&mut buffer).await? {
                0 => break,
                more => read += more,
            }
        }
        std::io::Result::Ok(())
    };
    // Who does not listen is cut off.
    let _ = tokio::time::timeout(PATIENCE, telling).await;
}
