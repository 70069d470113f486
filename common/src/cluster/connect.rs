//! Connections to nodes: TCP, and TLS by what the files say at that time.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::net::TcpStream;
use tower_service::Service;

use super::BoxError;
use crate::tls::{ClientFiles, Reloading};

/// Within this there is a connection, over all addresses that a name has.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Within this also all is said that TLS says before a request.
const SECURE_TIMEOUT: Duration = Duration::from_secs(4);

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    http: HttpConnector,
    tls: Option<Reloading<ClientFiles>>,
}

impl Connector {
    /// Without `tls` for `http` addresses.
    pub(super) fn new(tls: Option<Reloading<ClientFiles>>) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_nodelay(true);
        Self { http, tls }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(BoxError::from)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let mut http = self.http.clone();
        let tls = self.tls.as_ref().map(Reloading::current);
        Box::pin(async move {
            let connect = async {
                match tls {
                    Some(tls) => HttpsConnector::from((http, tls)).call(address).await,
                    None => http.call(address).await.map(MaybeHttpsStream::Http).map_err(BoxError::from),
                }
            };
            let connected = tokio::time::timeout(SECURE_TIMEOUT, connect).await;
            connected.map_err(|_| format!("no connection within {SECURE_TIMEOUT:?}"))?
        })
    }
}
