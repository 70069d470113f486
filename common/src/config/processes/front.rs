//! What a gateway expects of its clients: patience, `[gateway.rate_limit]` and `[gateway.tls]`.

use std::{path::PathBuf, time::Duration};

use super::Section;
use crate::tls::{IdentityFiles, ServerFiles};

/// How long slow clients are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatienceConfig {
    /// From the first byte of a request's head to its last, and for a TLS handshake.
    pub header_timeout: Duration,
    /// A client must send some of its request's body within this.
    pub body_timeout: Duration,
    /// A connection may rest this long between two requests; less while connections are scarce.
    pub idle_timeout: Duration,
    /// A client must take some of its answer within this.
    pub send_timeout: Duration,
}

/// What one client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    /// Requests a second; `None`: any number.
    pub requests_per_second: Option<u64>,
    /// Bytes of bodies a second, as they are sent; `None`: any number.
    pub bytes_per_second: Option<u64>,
    /// A client that was quiet may use so many seconds of its rates at once.
    pub burst: Duration,
    /// What makes two requests those of one client.
    pub key: ClientKey,
}

/// What makes two requests those of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKey {
    /// The address that they come from.
    Address,
    /// The credentials that they show; the address where they show none.
    User,
}

impl PatienceConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            header_timeout: section.duration("header_timeout", Duration::from_secs(10)),
            body_timeout: section.duration("body_timeout", Duration::from_secs(30)),
            idle_timeout: section.duration("idle_timeout", Duration::from_secs(600)),
            send_timeout: section.duration("send_timeout", Duration::from_secs(30)),
        }
    }
}

impl RateLimitConfig {
    /// `None` where nothing is limited.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let positive = |number: u64| Some(number).filter(|number| *number > 0);
        let config = Self {
            requests_per_second: positive(section.number("requests_per_second", 0, 1..=1_000_000_000)),
            bytes_per_second: positive(section.size("bytes_per_second", 0)),
            burst: section.duration("burst", Duration::from_secs(2)),
            key: match section.text_or("key", || "address".to_owned()).as_str() {
                "address" => ClientKey::Address,
                "user" => ClientKey::User,
                other => {
                    section.note("key", format!("must be \"address\" or \"user\", not {other:?}"));
                    ClientKey::Address
                }
            },
        };
        if config.burst < Duration::from_secs(1) {
            section.note(
                "burst",
                format!("is {:?}, and must be at least 1s, or a rate could never be used", config.burst),
            );
        }
        section.finish();
        (config.requests_per_second.is_some() || config.bytes_per_second.is_some()).then_some(config)
    }
}

/// `None` where clients connect without TLS. The files are read by the gateway that uses them, not by others that share the
/// configuration.
pub(super) fn read_tls(mut section: Section<'_>) -> Option<ServerFiles> {
    let mut file = |name| section.text(name).map(PathBuf::from);
    let (cert_file, key_file, client_ca_file) = (file("cert_file"), file("key_file"), file("client_ca_file"));
    let files = match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => {
            Some(ServerFiles { identity: IdentityFiles { cert_file, key_file }, client_ca_file })
        }
        (Some(_), None) => {
            section.note("key_file", "is missing: TLS needs the private key of cert_file as well");
            None
        }
        (None, Some(_)) => {
            section.note("cert_file", "is missing: TLS needs the certificate of key_file as well");
            None
        }
        (None, None) => {
            if client_ca_file.is_some() {
                section.note("client_ca_file", "needs cert_file and key_file: clients show certificates only by TLS");
            }
            None
        }
    };
    section.finish();
    files
}
