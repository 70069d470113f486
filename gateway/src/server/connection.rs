//! One connection: its handshake, its requests, its end.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Request, Version,
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    header::{CONNECTION, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Duration, Instant},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use understudy_common::{
    cluster::{Body, BoxError},
    tls::Reloading,
};

use super::{
    FrontFiles, Server,
    patience::{self, End},
    turned_away::turn_away,
    watched::{Running, Sight, Watched},
};
use crate::{refusal::Refusal, service};

/// Headers of a request; Elasticsearch sets no limit to their number, only to their bytes.
const MAX_HEADERS: usize = 1_000;
/// What a connection of HTTP/1.1 holds in each direction, and so the longest line and headers of a request. (Elasticsearch
/// takes 4 KiB and 8 to 16 KiB by default.)
const BUFFER: usize = 128 << 10;
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 100;
/// What a client of HTTP/2 may send that nobody has read yet: of one request, and of all on its connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// What is buffered of each answer of HTTP/2.
const SEND_BUFFER: usize = 64 << 10;
/// A client of HTTP/2 is asked whether it is still there, and must say so.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// How long a connection that was asked to end may take for its last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long it may take to tell clients that the time of a gateway is over.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How long a new connection may take to send its first request while the gateway closes.
const GRACE: Duration = Duration::from_millis(500);

/// How HTTP is spoken.
pub fn http() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Whoever watches the connection tells a head that does not end from a connection that rests.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(BUFFER)
        // The primary sends no Date header either.
        .auto_date_header(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(BUFFER as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .auto_date_header(false);
    builder
}

/// Serves a connection to its end.
pub async fn serve(server: Arc<Server>, stream: TcpStream, address: IpAddr) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = &server.tls else {
        return speak(&server, stream, address).await;
    };
    let limit = Instant::now() + server.gateway.config.patience.header_timeout;
    let secured = tokio::select! {
        secured = tokio::time::timeout_at(limit, secure(tls, stream)) => secured.unwrap_or(Err(Insecure::Not("timeout"))),
        () = server.gateway.over.cancelled() => return,
    };
    match secured {
        Ok(stream) => speak(&server, stream, address).await,
        Err(insecure) => {
            let (reason, plain) = match insecure {
                Insecure::Plain(stream) => ("plain_http", Some(stream)),
                Insecure::Not(reason) => (reason, None),
            };
            tracing::debug!(%address, reason, "a connection never came to speak TLS");
            server.gateway.metrics.handshakes_failed.with_label_values(&[reason]).inc();
            // That takes a time of its own, also where handshakes have little.
            if let Some(stream) = plain {
                let reason = "this port speaks HTTPS (gateway.tls), and the request came as plain HTTP";
                turn_away(stream, &Refusal::malformed(reason)).await;
            }
        }
    }
}

/// Why nobody speaks TLS on a connection.
enum Insecure {
    /// Its client speaks plain HTTP.
    Plain(TcpStream),
    /// The handshake did not succeed: why, as metrics name it.
    Not(&'static str),
}

async fn secure(tls: &Reloading<FrontFiles>, stream: TcpStream) -> Result<TlsStream<TcpStream>, Insecure> {
    let mut first = [0];
    let seen = stream.peek(&mut first).await.map_err(|_| Insecure::Not("failed"))?;
    // No record of TLS begins so.
    if seen > 0 && first[0].is_ascii_uppercase() {
        return Err(Insecure::Plain(stream));
    }
    TlsAcceptor::from(tls.current()).accept(stream).await.map_err(|error| {
        tracing::debug!(%error, "a TLS handshake failed");
        Insecure::Not("failed")
    })
}

async fn speak<S>(server: &Arc<Server>, stream: S, address: IpAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let sight = Sight::new();
    let service = service_fn(|request: Request<Incoming>| {
        let (server, running) = (server.clone(), InFlight::new(server, sight.run()));
        async move {
            let version = request.version();
            let mut response = service::answer(server.gateway.clone(), address, request).await;
            // A primary answers some malformed requests in HTTP/1.0.
            *response.version_mut() = Version::HTTP_11;
            // Who is told so goes elsewhere before the connection is closed.
            if server.draining.is_cancelled() && version < Version::HTTP_2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Outgoing { body, running }))
        }
    });
    let stream = TokioIo::new(Watched::new(stream, sight.clone()));
    let mut connection = pin!(server.http.serve_connection(stream, service));
    let patience = &server.gateway.config.patience;
    let cut = |reason| server.gateway.metrics.connections_cut.with_label_values(&[reason]).inc();
    // Until when it may stay after it was asked to end.
    let mut leave_by: Option<Instant> = None;
    let mut closing = false;
    // Who has just connected may have sent a request that was not read yet.
    let opened = Instant::now();
    let to_close = async {
        server.closing.cancelled().await;
        tokio::time::sleep_until(opened + GRACE).await;
    };
    let mut to_close = pin!(to_close);
    // A write is answered when the time is over.
    let to_cut = async {
        server.gateway.over.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    let mut to_cut = pin!(to_cut);
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, %address, "a connection broke");
                }
                return;
            }
            () = &mut to_close, if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut to_cut => return cut("drain_timeout"),
            () = tokio::time::sleep(patience::pace(patience)) => {
                let verdict = patience::judge(patience, &sight.seen(), sight.now(), server.is_scarce());
                match (verdict, leave_by) {
                    (None, _) if sight.seen().running > 0 => leave_by = None,
                    (None | Some(End::Idle), Some(by)) if Instant::now() >= by => return,
                    (Some(End::Idle), None) => {
                        cut(End::Idle.label());
                        leave_by = Some(Instant::now() + LAST_WORDS);
                        connection.as_mut().graceful_shutdown();
                    }
                    (Some(end @ (End::Header | End::Send)), _) => return cut(end.label()),
                    _ => {}
                }
            }
        }
    }
}

/// An answer on its way out, until it has left or its client has.
struct Outgoing {
    body: Body,
    running: InFlight,
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.running.request.gave(matches!(polled, Poll::Ready(Some(Ok(_)))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request until its answer has left.
struct InFlight {
    server: Arc<Server>,
    request: Running,
}

impl InFlight {
    fn new(server: &Arc<Server>, request: Running) -> Self {
        server.gateway.metrics.requests_in_flight.inc();
        Self { server: server.clone(), request }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.server.gateway.metrics.requests_in_flight.dec();
    }
}
