//! A client as an application is one.

use std::{path::Path, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::Value;

/// A client of one address. It never sends a request twice.
#[derive(Clone)]
pub struct Http {
    base: String,
    authorization: Option<String>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A request that is being put together.
#[must_use]
pub struct Call {
    http: Http,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
    timeout: Duration,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, as it came.
    pub body: Bytes,
    request: String,
}

/// Longer than any timeout of the gateway's.
const TIMEOUT: Duration = Duration::from_secs(70);

impl Http {
    /// A client of an address such as `http://127.0.0.1:9200`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self::with_roots(base, RootCertStore::empty())
    }

    /// A client of an `http` address that speaks HTTP/2 from its first byte. What it had not begun to send when its connection
    /// was announced to end goes by another one, as every client of HTTP/2 does it.
    #[must_use]
    pub fn http2(base: &str) -> Self {
        Self::made(base, RootCertStore::empty(), true)
    }

    /// A client of an `https` address that trusts the certificates of a file.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn trusting(base: &str, ca_file: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(ca_file).expect("a certificate");
        roots.add(root).expect("a root");
        Self::with_roots(base, roots)
    }

    /// The same as a user.
    #[must_use]
    pub fn as_user(mut self, user: &str, password: &str) -> Self {
        self.authorization = Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))));
        self
    }

    fn with_roots(base: &str, roots: RootCertStore) -> Self {
        Self::made(base, roots, false)
    }

    fn made(base: &str, roots: RootCertStore, http2: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(3)));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(TokioTimer::new())
            .retry_canceled_requests(http2)
            .http2_only(http2)
            .build(connector);
        Self { base: base.trim_end_matches('/').to_owned(), authorization: None, client }
    }

    /// The address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to be put together.
    ///
    /// # Panics
    /// When there is no such method.
    pub fn request(&self, method: &str, path: &str) -> Call {
        let method = method.parse().expect("a method");
        let (http, path) = (self.clone(), path.to_owned());
        let user = self.authorization.iter().map(|user| (AUTHORIZATION.as_str().to_owned(), user.clone()));
        Call { http, method, path, headers: user.collect(), body: None, timeout: TIMEOUT }
    }

    /// `GET`; panics where there is no answer, as the next three do.
    pub async fn get(&self, path: &str) -> Reply {
        self.request("GET", path).reply().await
    }

    /// `PUT`, as JSON.
    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.request("PUT", path).body(body).reply().await
    }

    /// `POST`, as JSON, or as lines of JSON to `_bulk`.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.request("POST", path).body(body).reply().await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.request("DELETE", path).reply().await
    }
}

impl Call {
    /// Adds a header. A content type given here replaces the usual one.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets how long the whole answer is waited for.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it.
    ///
    /// # Panics
    /// When there is no whole answer.
    pub async fn reply(self) -> Reply {
        self.send().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends it.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn send(self) -> Result<Reply, String> {
        let what = format!("{} {}{}", self.method, self.http.base, self.path);
        let exchange = async {
            let request = self.build()?;
            let (head, body) = self.http.client.request(request).await.map_err(|error| chain(&error))?.into_parts();
            let body = body.collect().await.map_err(|error| format!("the answer broke off: {}", chain(&error)))?;
            let (status, headers) = (head.status.as_u16(), head.headers);
            Ok(Reply { status, headers, body: body.to_bytes(), request: what.clone() })
        };
        let answer = tokio::time::timeout(self.timeout, exchange).await;
        answer
            .unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)))
            .map_err(|error| format!("{what}: {error}"))
    }

    fn build(&self) -> Result<Request<Full<Bytes>>, String> {
        let mut request =
            Request::builder().method(self.method.clone()).uri(format!("{}{}", self.http.base, self.path));
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(|error| format!("{name}: {error}"))?;
            let value = HeaderValue::from_str(value).map_err(|error| format!("{name}: {error}"))?;
            request = request.header(name, value);
        }
        if self.body.is_some() && !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            let lines = self.path.contains("_bulk") || self.path.contains("_msearch");
            request = request.header(CONTENT_TYPE, if lines { "application/x-ndjson" } else { "application/json" });
        }
        request.body(Full::new(self.body.clone().unwrap_or_default())).map_err(|error| error.to_string())
    }
}

impl Reply {
    /// Hands itself on when it has this status.
    ///
    /// # Panics
    /// When it has another; the message has the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status, "{self} where {status} was expected");
        self
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    /// A header's text, empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `error.type` of the body, empty where there is none.
    #[must_use]
    pub fn error_type(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["error"]["type"].as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text: String = self.text().chars().take(600).collect();
        write!(f, "{}: {} {}", self.request, self.status, text.trim_end())
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
