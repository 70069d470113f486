//! TLS for clients: HTTP/1.1 and HTTP/2, client certificates, new certificates without a restart, and those who come to the
//! wrong port.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use understudy_common::tls::{ClientFiles, IdentityFiles, Material};
use understudy_tests::{Process, RawConnection, Stage, eventually};

use crate::wellbehaved::nothing_leaks;

/// A root, and what it has signed.
pub struct Authority {
    folder: PathBuf,
    root: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root");
        let authority = Self { folder: folder.join(name), root };
        std::fs::create_dir_all(&authority.folder).expect("a folder");
        std::fs::write(authority.ca_file(), authority.root.pem()).expect("a file");
        authority
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Signs a new certificate, in the place of a former one of this name.
    pub fn identity(&self, name: &str) -> IdentityFiles {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let leaf = params.signed_by(&key, &self.root).expect("a certificate");
        let [cert_file, key_file] = ["pem", "key"].map(|kind| self.folder.join(format!("{name}.{kind}")));
        std::fs::write(&cert_file, leaf.pem()).expect("a file");
        std::fs::write(&key_file, key.serialize_pem()).expect("a file");
        IdentityFiles { cert_file, key_file }
    }
}

/// A stage whose gateways show this certificate.
pub fn with_tls(stage: Stage, server: &IdentityFiles) -> Stage {
    stage
        .set("gateway.tls.cert_file", server.cert_file.display().to_string())
        .set("gateway.tls.key_file", server.key_file.display().to_string())
}

/// Agrees on TLS, and on one of these protocols.
pub async fn handshake(gateway: &Process, files: &ClientFiles, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = files.build().expect("files of a client");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(gateway.address().trim_start_matches("http://")).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

/// A request to the address in the certificate.
pub fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .expect("a request")
}

/// Asks by the protocol that both sides agree on.
async fn ask(stream: TlsStream<TcpStream>, requests: Vec<Request<Full<Bytes>>>) -> Vec<(StatusCode, Bytes)> {
    let is_http_2 = stream.get_ref().1.alpn_protocol() == Some(&b"h2"[..]);
    let mut answers = Vec::new();
    macro_rules! ask {
        ($handshake:expr) => {{
            let (mut client, connection) = $handshake.await.expect("HTTP");
            tokio::spawn(connection);
            for request in requests {
                client.ready().await.expect("the connection stays");
                let answer = client.send_request(request).await.expect("an answer");
                let (head, body) = answer.into_parts();
                answers.push((head.status, body.collect().await.expect("all of it").to_bytes()));
            }
        }};
    }
    if is_http_2 {
        ask!(http2::handshake(TokioExecutor::new(), TokioIo::new(stream)));
    } else {
        ask!(http1::handshake(TokioIo::new(stream)));
    }
    answers
}

/// Awaits the end of a handshake: by TLS 1.3 a client whose certificate is refused hears so when it reads.
async fn is_served(gateway: &Process, files: &ClientFiles) -> bool {
    let Ok(stream) = handshake(gateway, files, &["http/1.1"]).await else { return false };
    let Ok((mut client, connection)) = http1::handshake(TokioIo::new(stream)).await else { return false };
    tokio::spawn(connection);
    client.send_request(request("GET", "/", "")).await.is_ok_and(|answer| answer.status() == 200)
}

async fn failed_handshakes(gateway: &Process, reason: &str) -> f64 {
    gateway.metric("understudy_tls_handshakes_failed_total", &[("reason", reason)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_by_tls() {
    let stage = Stage::new("tls for clients");
    let authority = Authority::new(stage.folder(), "a");
    let stage = with_tls(stage, &authority.identity("server"));
    let gateway = stage.gateway().await;
    let files = ClientFiles { ca_file: Some(authority.ca_file()), identity: None };
    let index = stage.index("i");
    for (protocol, id) in [("http/1.1", "one"), ("h2", "two")] {
        let stream = handshake(&gateway, &files, &[protocol]).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        let path = format!("/{index}/_doc/{id}");
        let mut get = request("GET", &path, "");
        // HTTP/2 may send a cookie in pieces; a cluster gets it whole.
        get.headers_mut().append("cookie", "a=1".parse().expect("a value"));
        get.headers_mut().append("cookie", "b=2".parse().expect("a value"));
        let search = request("POST", &format!("/{index}/_search"), "{}");
        let answers =
            ask(stream, vec![request("PUT", &path, "{\"n\":1}"), get, search, request("PUT", "/outside/_doc/1", "{}")])
                .await;
        let statuses: Vec<u16> = answers.iter().map(|(status, _)| status.as_u16()).collect();
        assert_eq!(statuses, [201, 200, 200, 501], "{protocol}: {answers:?}");
        assert!(String::from_utf8_lossy(&answers[1].1).contains("\"n\":1"));
    }
    assert_eq!(stage.records("target.backup").await.len(), 2);
    // Nobody trusts it by chance.
    let stranger = Authority::new(stage.folder(), "b");
    let distrustful = ClientFiles { ca_file: Some(stranger.ca_file()), identity: None };
    assert!(handshake(&gateway, &distrustful, &["h2"]).await.is_err());
    nothing_leaks(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_clients_are_asked_for_and_new_ones_read_without_a_restart() {
    let stage = Stage::new("client certificates");
    let (one, other) = (Authority::new(stage.folder(), "a"), Authority::new(stage.folder(), "b"));
    let server = one.identity("server");
    let stage = with_tls(stage, &server).set("gateway.tls.client_ca_file", one.ca_file().display().to_string());
    let gateway = stage.gateway().await;
    let shows = |ca: &Authority, identity| ClientFiles { ca_file: Some(ca.ca_file()), identity };
    assert!(is_served(&gateway, &shows(&one, Some(one.identity("client")))).await);
    assert!(!is_served(&gateway, &shows(&one, None)).await);
    assert!(!is_served(&gateway, &shows(&one, Some(other.identity("client")))).await);
    eventually(Duration::from_secs(5), "they are counted", async || failed_handshakes(&gateway, "failed").await >= 2.0)
        .await;
    // Another authority signs the server's certificate from now on.
    let renewed = other.identity("server");
    std::fs::copy(&renewed.key_file, &server.key_file).expect("a new key");
    std::fs::copy(&renewed.cert_file, &server.cert_file).expect("a new certificate");
    let client = shows(&other, Some(one.identity("client")));
    eventually(Duration::from_secs(20), "it is shown", async || is_served(&gateway, &client).await).await;
    nothing_leaks(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_tls_is_told_so_or_closed() {
    let stage = Stage::new("no tls").set("gateway.header_timeout", "1s");
    let authority = Authority::new(stage.folder(), "a");
    let stage = with_tls(stage, &authority.identity("server"));
    let gateway = stage.gateway().await;
    let within = Duration::from_secs(10);
    let mut plain = RawConnection::open(gateway.address()).await;
    plain.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is taken");
    let answer = plain.read_to_end(within).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("this port speaks HTTPS"), "{answer}");
    let mut garbage = RawConnection::open(gateway.address()).await;
    garbage.send([0u8, 1, 2, 3, 4, 5, 6, 7, 8, 9]).await.expect("it is taken");
    garbage.read_to_end(within).await;
    // The beginning of a handshake, and then nothing; or nothing at all.
    let mut half = RawConnection::open(gateway.address()).await;
    half.send([0x16u8, 3, 1, 2, 0, 1, 0]).await.expect("it is taken");
    half.read_to_end(within).await;
    let mut silent = RawConnection::open(gateway.address()).await;
    silent.read_to_end(within).await;
    let counted = async || {
        let metrics = gateway.metrics().await;
        let failed = |reason| metrics.sum("understudy_tls_handshakes_failed_total", &[("reason", reason)]);
        let seen = [failed("plain_http"), failed("failed"), failed("timeout")];
        if seen == [1.0, 1.0, 2.0] { Ok(()) } else { Err(format!("{seen:?}")) }
    };
    eventually(within, "each is counted", counted).await;
    let files = ClientFiles { ca_file: Some(authority.ca_file()), identity: None };
    assert!(is_served(&gateway, &files).await, "others were hurt");
    nothing_leaks(&gateway).await;
}

/// A certificate that cannot be read is told before a port is bound.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_none_is_a_configuration_error() {
    let stage = Stage::new("no certificate");
    let authority = Authority::new(stage.folder(), "a");
    let mut server = authority.identity("server");
    server.key_file = stage.folder().join("missing.key");
    let stage = with_tls(stage, &server);
    for arguments in [&["--check-config"][..], &[]] {
        let output = stage.run("understudy-gateway", arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains("gateway.tls") && said.contains("missing.key"), "{said}");
    }
}
