//! The admin port: `/livez`, `/readyz`, `/metrics`. It shows, and changes nothing: whoever reaches it needs no token, and a
//! route that changed something would need one.

use std::{convert::Infallible, future::Future, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;

/// What the admin port shows of its process.
pub trait Health: Send + Sync + 'static {
    /// `Err` with the reason while the process should get no work. It speaks of this process alone, never of shared parts.
    ///
    /// # Errors
    /// The reason.
    fn ready(&self) -> Result<(), String>;

    /// Its metrics.
    fn metrics(&self) -> &Registry;
}

/// Serves the admin port until `stopped` is done.
pub async fn serve(listener: TcpListener, health: Arc<dyn Health>, stopped: impl Future<Output = ()>) {
    tokio::pin!(stopped);
    loop {
        let stream = tokio::select! {
            () = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "admin port: cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let health = health.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &*health);
                async move { Ok::<_, Infallible>(answer) }
            });
            // A broken admin connection concerns nobody.
            let _ =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer<B>(request: &Request<B>, health: &dyn Health) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "GET only: this port changes nothing\n".into());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => match health.ready() {
            Ok(()) => text(StatusCode::OK, "ok\n".into()),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        "/metrics" => {
            let mut body = Vec::new();
            match TextEncoder::new().encode(&health.metrics().gather(), &mut body) {
                Ok(()) => text(StatusCode::OK, String::from_utf8_lossy(&body).into_owned()),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts what is asked of it.
    struct Asked(AtomicUsize, Registry);

    impl Health for Asked {
        fn ready(&self) -> Result<(), String> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn metrics(&self) -> &Registry {
            self.0.fetch_add(1, Ordering::Relaxed);
            &self.1
        }
    }

    /// No method but those that only look gets anywhere, on no path; so no route can change anything.
    #[test]
    fn it_shows_and_changes_nothing() {
        let health = Asked(AtomicUsize::new(0), Registry::new());
        let answered = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(()).expect("a request");
            answer(&request, &health)
        };
        let paths =
            ["/livez", "/readyz", "/metrics", "/", "/pause", "/resume", "/drain", "/shutdown", "/config", "/log"];
        for path in paths {
            for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PURGE"] {
                let refused = answered(method, path);
                assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
                assert_eq!(refused.headers()[ALLOW], "GET, HEAD");
            }
        }
        assert_eq!(health.0.load(Ordering::Relaxed), 0, "something was asked of the process");
        for path in paths {
            let known = ["/livez", "/readyz", "/metrics"].contains(&path);
            let expected = if known { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(answered("GET", path).status(), expected, "{path}");
        }
    }
}
