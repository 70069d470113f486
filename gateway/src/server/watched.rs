//! A connection whose comings and goings are noted, so that somebody else can say when it is to be ended.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::patience::Seen;

/// What is seen of a connection. Cheap to clone.
#[derive(Clone)]
pub struct Sight(Arc<(Instant, Mutex<State>)>);

#[derive(Default)]
struct State {
    seen: Seen,
    http2: bool,
    read: bool,
    // Of HTTP/2: answers that gave a piece which their clients leave where it is, and since when.
    given: BTreeMap<u64, Duration>,
    requests: u64,
}

/// A request that runs on a connection, until this is dropped.
pub struct Running {
    sight: Sight,
    number: u64,
}

impl Sight {
    /// Of a connection that was just opened.
    pub fn new() -> Self {
        Self(Arc::new((Instant::now(), Mutex::default())))
    }

    /// How long the connection is open.
    pub fn now(&self) -> Duration {
        self.0.0.elapsed()
    }

    /// What was seen of it.
    pub fn seen(&self) -> Seen {
        let state = self.state();
        Seen { untaken: state.given.values().min().copied(), ..state.seen }
    }

    /// A request runs: its head has come to its end.
    pub fn run(&self) -> Running {
        let mut state = self.state();
        state.seen.running += 1;
        state.seen.head = None;
        state.requests += 1;
        Running { sight: self.clone(), number: state.requests }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, bytes: &[u8]) {
        let now = self.now();
        let mut state = self.state();
        if !std::mem::replace(&mut state.read, true) {
            // The words that HTTP/2 begins with. Its frames come at any time: only requests count there.
            state.http2 = bytes.starts_with(b"PRI");
        }
        if state.seen.running == 0 && !state.http2 {
            state.seen.head.get_or_insert(now);
        }
    }

    fn unblock(&self) {
        self.state().seen.blocked = None;
    }

    fn wrote(&self, progress: bool) {
        let now = self.now();
        let mut state = self.state();
        if progress {
            state.seen.blocked = None;
            // By HTTP/2 pings are answered also while nothing is asked.
            if !state.http2 {
                state.seen.resting = now;
            }
        } else {
            state.seen.blocked.get_or_insert(now);
        }
    }
}

impl Running {
    /// The answer gave a piece, or has none to give: then nobody waits for its client.
    pub fn gave(&self, piece: bool) {
        let now = self.sight.now();
        let mut state = self.sight.state();
        if piece && state.http2 {
            state.given.insert(self.number, now);
        } else {
            state.given.remove(&self.number);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let now = self.sight.now();
        let mut state = self.sight.state();
        state.given.remove(&self.number);
        state.seen.running -= 1;
        state.seen.resting = now;
    }
}

/// A connection that is watched.
pub struct Watched<S> {
    stream: S,
    sight: Sight,
    // After our last word, until the client's.
    farewell: Option<Farewell>,
}

struct Farewell {
    over: Pin<Box<Sleep>>,
    left: usize,
}

/// How long a client may go on sending after our last word, and how much. A connection that is closed over unread bytes is
/// reset, and a client that has not read its answer yet would not see it.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: usize = 2 << 20;

impl<S> Watched<S> {
    /// Notes what happens on `stream`.
    pub fn new(stream: S, sight: Sight) -> Self {
        Self { stream, sight, farewell: None }
    }

    fn note<T>(&self, polled: Poll<io::Result<T>>, progress: impl FnOnce(&T) -> bool) -> Poll<io::Result<T>> {
        match &polled {
            Poll::Pending => self.sight.wrote(false),
            Poll::Ready(Ok(value)) if progress(value) => self.sight.wrote(true),
            Poll::Ready(_) => {}
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.sight.read(&into.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(polled, |written| *written > 0)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(polled, |written| *written > 0)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        // Nothing may have been there to flush; but nothing is stuck either.
        if polled.is_ready() {
            self.sight.unblock();
        }
        self.note(polled, |()| false)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.farewell.is_none() {
            let polled = Pin::new(&mut this.stream).poll_shutdown(context);
            ready!(this.note(polled, |()| false))?;
            this.farewell = Some(Farewell { over: Box::pin(tokio::time::sleep(FAREWELL)), left: FAREWELL_BYTES });
        }
        this.poll_farewell(context).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Reads until the client has said its last word too, or has said enough.
    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(farewell) = &mut self.farewell else { return Poll::Ready(()) };
        let mut bytes = [0; 8192];
        loop {
            let mut into = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(context, &mut into) {
                Poll::Pending => return farewell.over.as_mut().poll(context),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => match (into.filled().len(), farewell.left.checked_sub(into.filled().len())) {
                    (0, _) | (_, None) => return Poll::Ready(()),
                    (_, Some(left)) => farewell.left = left,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_happens_is_seen() {
        let (client, server) = tokio::io::duplex(16);
        let (mut client, sight) = (client, Sight::new());
        let mut server = Watched::new(server, sight.clone());
        assert_eq!(sight.seen(), Seen::default());
        client.write_all(b"GET").await.unwrap();
        server.read_exact(&mut [0; 3]).await.unwrap();
        let head = sight.seen().head.expect("a head has begun");
        let request = sight.run();
        assert_eq!((sight.seen().running, sight.seen().head), (1, None));
        // The client does not read: the second write does not fit.
        server.write_all(&[0; 16]).await.unwrap();
        let stuck = tokio::time::timeout(Duration::from_millis(20), server.write_all(&[0; 16])).await;
        assert!(stuck.is_err() && sight.seen().blocked.is_some());
        client.read_exact(&mut [0; 16]).await.unwrap();
        server.write_all(&[0; 16]).await.unwrap();
        assert_eq!(sight.seen().blocked, None);
        drop(request);
        assert!(sight.seen().running == 0 && sight.seen().resting >= head);
    }

    #[tokio::test]
    async fn frames_of_http_2_are_no_heads() {
        let (mut client, server) = tokio::io::duplex(64);
        let sight = Sight::new();
        let mut server = Watched::new(server, sight.clone());
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        server.read_exact(&mut [0; 24]).await.unwrap();
        assert_eq!(sight.seen().head, None);
    }
}
