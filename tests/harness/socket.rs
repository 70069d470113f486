//! A connection by hand: half a request, or one that no client would send.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A TCP connection.
pub struct RawConnection {
    stream: TcpStream,
}

/// The most that is read.
const MAX_READ: usize = 64 << 20;

impl RawConnection {
    /// Connects to an address such as `http://127.0.0.1:9200` or `127.0.0.1:9200`.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn open(address: &str) -> Self {
        let address = address.trim_start_matches("http://").trim_end_matches('/');
        let stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a socket");
        Self { stream }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the other side has closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// When the other side has closed.
    pub async fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// What has come until `enough` says so, the other side closes, or the time is over.
    pub async fn read_until(&mut self, within: Duration, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut read = Vec::new();
        let reading = async {
            while !enough(&read) && read.len() < MAX_READ {
                match self.stream.read_buf(&mut read).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        // What came in time counts.
        let _ = tokio::time::timeout(within, reading).await;
        read
    }

    /// What comes until the other side closes or the time is over, as text.
    pub async fn read_to_end(&mut self, within: Duration) -> String {
        String::from_utf8_lossy(&self.read_until(within, |_| false).await).into_owned()
    }

    /// The head of the answer (status line and headers), as text, with what of the body came along.
    pub async fn read_head(&mut self, within: Duration) -> String {
        let read = self.read_until(within, |read| read.windows(4).any(|four| four == b"\r\n\r\n")).await;
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Closes with a reset instead of an end.
    ///
    /// # Panics
    /// When it is no socket.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }
}
