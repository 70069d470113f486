//! Accepting connections, and ending them when the gateway stops.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{gateway::Gateway, service};

/// A connection may rest this long between two requests. hyper counts it together with the time for the next head; so it
/// is longer than any client keeps a connection in its pool, lest one writes on a connection that is being closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(600);
/// Headers of a request; Elasticsearch sets no limit to their number, only to their bytes.
const MAX_HEADERS: usize = 1_000;

/// Accepts connections until `stop`, then lets running requests end for `drain`.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener, stop: CancellationToken, drain: Duration) {
    let connections = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, mostly: others will end soon.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let gateway = gateway.clone();
        let service = service_fn(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, Infallible>(service::answer(gateway, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MAX_HEADERS)
            // The primary sends no Date header either.
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(drain, connections.shutdown()).await.is_err() {
        tracing::warn!(?drain, "some connections did not end in time");
    }
}
