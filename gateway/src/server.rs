//! Accepting connections, and ending them when the gateway stops.
//!
//! ```text
//! listener ─► is there room? ─┬─► TLS handshake ─► HTTP/1.1 or HTTP/2 ─► service
//!                             │        └──────── watched: who is slow, idle, or does not read, is ended
//!                             └─► 429 and the end
//! ```

mod connection;
mod patience;
mod turned_away;
mod watched;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use hyper_util::{rt::TokioExecutor, server::conn::auto};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use understudy_common::tls::{Ends, Material, Reloading, ServerFiles};

use crate::{
    gateway::Gateway,
    refusal::{Limit, Refusal},
};

/// What the port shows to clients of TLS.
#[derive(Clone)]
pub struct FrontFiles(pub ServerFiles);

impl Material for FrontFiles {
    type Built = ServerConfig;

    fn files(&self) -> Vec<&std::path::Path> {
        self.0.files()
    }

    fn build(&self) -> Result<ServerConfig, String> {
        let mut config = self.0.build()?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn ends(&self) -> Ends {
        self.0.ends()
    }
}

/// When connections are ended.
pub struct Stopping {
    /// The gateway has said that it is not ready: answers ask their clients to go elsewhere.
    pub draining: CancellationToken,
    /// No more connections are accepted, and those that rest are closed.
    pub closing: CancellationToken,
    /// What still runs so long after that is cut.
    pub drain_timeout: Duration,
}

/// What connections share.
struct Server {
    gateway: Arc<Gateway>,
    tls: Option<Reloading<FrontFiles>>,
    http: auto::Builder<TokioExecutor>,
    open: AtomicU64,
    // Those that are told that there is no room.
    turned_away: Semaphore,
    draining: CancellationToken,
    closing: CancellationToken,
}

/// Connections beyond the limit that are told so at once; others are closed without a word.
const TURNED_AWAY: usize = 64;
/// How long to wait when no connection can be accepted (out of file descriptors, mostly): others will end soon.
const PAUSE: Duration = Duration::from_millis(50);

impl Server {
    /// Whether most of the connections that may be open are.
    fn is_scarce(&self) -> bool {
        self.open.load(Ordering::Acquire).saturating_mul(4) >= self.gateway.config.max_connections.saturating_mul(3)
    }
}

/// Accepts connections until `closing`, then lets running requests end; answers when they have, or are cut, and the time by
/// which everything should be over.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    tls: Option<Reloading<FrontFiles>>,
    stopping: Stopping,
) -> Instant {
    let Stopping { draining, closing, drain_timeout } = stopping;
    let server = Arc::new(Server {
        gateway,
        tls,
        http: connection::http(),
        open: AtomicU64::new(0),
        turned_away: Semaphore::new(TURNED_AWAY),
        draining,
        closing: closing.clone(),
    });
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => receive(&server, &tasks, stream, address),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    // Those that the kernel has taken on already are served too; they are told to close with their first answer.
    while let Some(Ok((stream, address))) = listener.accept().now_or_never() {
        receive(&server, &tasks, stream, address);
    }
    drop(listener);
    let deadline = Instant::now() + drain_timeout;
    tasks.close();
    if tokio::time::timeout_at(deadline, tasks.wait()).await.is_err() {
        tracing::warn!(?drain_timeout, connections = tasks.len(), "some connections did not end in time");
        server.gateway.over.cancel();
        tasks.wait().await;
    }
    deadline
}

/// Serves a connection where there is room for one more. Where there is none, its client hears so: were it left waiting to
/// be accepted, it could not tell a full gateway from a slow one, and would not go to another.
fn receive(server: &Arc<Server>, tasks: &TaskTracker, stream: TcpStream, address: SocketAddr) {
    if let Some(open) = Open::take(server) {
        let server = server.clone();
        tasks.spawn(async move {
            let _open = open;
            connection::serve(server, stream, address.ip()).await;
        });
        return;
    }
    server.gateway.metrics.refusals.with_label_values(&[Limit::Connections.label()]).inc();
    let server = server.clone();
    tasks.spawn(async move {
        // A client of TLS could not read it.
        if server.tls.is_none()
            && let Ok(_turn) = server.turned_away.try_acquire()
        {
            let reason = "too many connections are open to this gateway (gateway.max_connections); try again later";
            turned_away::turn_away(stream, &Refusal::overloaded(Limit::Connections, reason)).await;
        }
    });
}

/// An open connection, until this is dropped.
struct Open(Arc<Server>);

impl Open {
    fn take(server: &Arc<Server>) -> Option<Self> {
        let max = server.gateway.config.max_connections;
        let more = |open: u64| Some(open + 1).filter(|open| *open <= max);
        server.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        server.gateway.metrics.connections.inc();
        Some(Self(server.clone()))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.gateway.metrics.connections.dec();
    }
}
