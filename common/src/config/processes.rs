//! `[gateway]`, `[consumer]`, `[status]` and `[log]`: the processes themselves.

use std::time::Duration;

pub use front::{ClientKey, PatienceConfig, RateLimitConfig};

use super::{ProtocolConfig, reader::Section};
use crate::tls::ServerFiles;

mod front;

/// A gateway.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Its name in records and logs.
    pub name: String,
    /// Where applications connect, `host:port`.
    pub listen: String,
    /// Where operators connect, `host:port`.
    pub admin_listen: String,
    /// How long the acknowledgement of a ticket is waited for; nothing is sent to the primary later.
    pub intent_timeout: Duration,
    /// How long the primary's answer to a write is waited for.
    pub primary_timeout: Duration,
    /// How long the acknowledgements of a write's effects are waited for.
    pub publish_timeout: Duration,
    /// The largest body of a write, after decompression, in bytes.
    pub max_body_bytes: u64,
    /// Bytes that all writes under way may take, every copy of them counted; beyond it writes get 429.
    pub max_bytes_in_flight: u64,
    /// Requests that may be under way at once; beyond it they get 429.
    pub max_concurrent_requests: u64,
    /// Connections of clients that may be open at once; beyond it a new one is answered with 429 and closed.
    pub max_connections: u64,
    /// How long slow clients are waited for.
    pub patience: PatienceConfig,
    /// What one client may ask for; nothing limits it by default.
    pub rate_limit: Option<RateLimitConfig>,
    /// What is shown to clients that connect by TLS; without it the port is plain.
    pub tls: Option<ServerFiles>,
    /// How long the gateway says that it is not ready before it accepts no more connections, after SIGTERM.
    pub drain_notice: Duration,
    /// How long running requests may take to end after that.
    pub drain_timeout: Duration,
    /// How often each cluster is asked whether it is up, and how long it may take to answer.
    pub health_interval: Duration,
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Its name in logs and in Kafka's group.
    pub name: String,
    /// Where operators connect, `host:port`.
    pub admin_listen: String,
    /// The largest bulk that is sent to a target, in bytes of sources (one effect may be larger).
    pub batch_bytes: u64,
    /// The most effects in one bulk.
    pub batch_actions: u64,
    /// How long a bulk that is not full waits for more.
    pub linger: Duration,
    /// How long a target's answer is waited for.
    pub target_timeout: Duration,
    /// The longest pause between two tries.
    pub max_backoff: Duration,
    /// Records that were read and not applied yet, in bytes; beyond it reading pauses.
    pub max_buffered_bytes: u64,
    /// How long a partition that is taken away may take to end its bulk.
    pub revoke_timeout: Duration,
    /// Intents that stay open for longer than this are looked after: their documents are read from the primary.
    pub reconcile_after: Duration,
}

/// What `understudy status` looks at, and what it takes for ready.
#[derive(Clone, Debug)]
pub struct StatusConfig {
    /// Admin ports of gateways and consumers, `host:port`.
    pub admin: Vec<String>,
    /// A standby that is further behind is not ready.
    pub max_lag: Duration,
}

/// Logs.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// A filter such as `info` or `info,understudy_gateway=debug`.
    pub level: String,
}

/// For whom logs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for a person.
    Human,
    /// A JSON object a line.
    Json,
}

const MAX_HEALTH_INTERVAL: Duration = Duration::from_secs(60);

fn host_name() -> String {
    std::fs::read_to_string("/etc/hostname").map_or_else(|_| "understudy".into(), |name| name.trim().to_owned())
}

impl GatewayConfig {
    pub(super) fn read(mut section: Section<'_>, protocol: &ProtocolConfig) -> Self {
        let config = Self {
            name: section.text_or("name", host_name),
            listen: section.address("listen", "0.0.0.0:9200"),
            admin_listen: section.address("admin_listen", "0.0.0.0:9310"),
            intent_timeout: section.duration("intent_timeout", Duration::from_secs(2)),
            primary_timeout: section.duration("primary_timeout", Duration::from_secs(40)),
            publish_timeout: section.duration("publish_timeout", Duration::from_secs(10)),
            max_body_bytes: section.size("max_body_bytes", 100 << 20),
            max_bytes_in_flight: section.size("max_bytes_in_flight", 512 << 20),
            max_concurrent_requests: section.number("max_concurrent_requests", 1_024, 2..=1_000_000),
            max_connections: section.number("max_connections", 4_096, 1..=1_000_000),
            patience: PatienceConfig::read(&mut section),
            rate_limit: RateLimitConfig::read(section.section("rate_limit")),
            tls: front::read_tls(section.section("tls")),
            drain_notice: section.duration("drain_notice", Duration::from_secs(1)),
            drain_timeout: section.duration("drain_timeout", Duration::from_secs(30)),
            health_interval: section.duration("health_interval", Duration::from_secs(1)),
        };
        if config.health_interval > MAX_HEALTH_INTERVAL {
            section.note(
                "health_interval",
                format!("must be at most {MAX_HEALTH_INTERVAL:?}: reads wait for a primary that is down several times as long"),
            );
        }
        let whole = config.intent_timeout + config.primary_timeout + config.publish_timeout;
        if whole >= protocol.ticket_lifetime {
            section.note(
                "primary_timeout",
                format!(
                    "intent_timeout + primary_timeout + publish_timeout is {whole:?}, and must be below protocol.ticket_lifetime ({:?}): effects that come later are void",
                    protocol.ticket_lifetime
                ),
            );
        }
        if config.max_body_bytes > config.max_bytes_in_flight {
            section.note("max_body_bytes", "is greater than max_bytes_in_flight: such a body would never be admitted");
        }
        section.finish();
        config
    }
}

impl ConsumerConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            name: section.text_or("name", host_name),
            admin_listen: section.address("admin_listen", "0.0.0.0:9320"),
            batch_bytes: section.size("batch_bytes", 8 << 20),
            batch_actions: section.number("batch_actions", 2_000, 1..=100_000),
            linger: section.duration("linger", Duration::from_millis(5)),
            target_timeout: section.duration("target_timeout", Duration::from_secs(30)),
            max_backoff: section.duration("max_backoff", Duration::from_secs(5)),
            max_buffered_bytes: section.size("max_buffered_bytes", 128 << 20),
            revoke_timeout: section.duration("revoke_timeout", Duration::from_secs(5)),
            reconcile_after: section.duration("reconcile_after", Duration::from_secs(5)),
        };
        section.finish();
        config
    }
}

impl StatusConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config =
            Self { admin: section.texts("admin"), max_lag: section.duration("max_lag", Duration::from_secs(30)) };
        for address in &config.admin {
            if let Err(reason) = check_admin(address) {
                section.note("admin", reason);
            }
        }
        section.finish();
        config
    }
}

/// Whether a text names an admin port.
///
/// # Errors
/// With what would be right.
pub fn check_admin(address: &str) -> Result<(), String> {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let fits = address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && is_port(port))
        && format!("http://{address}")
            .parse::<hyper::Uri>()
            .is_ok_and(|uri| uri.path() == "/" && uri.query().is_none());
    if fits { Ok(()) } else { Err(format!("must be host:port such as gateway-1:9310, not {address:?}")) }
}

impl LogConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let format = match section.text_or("format", || "human".to_owned()).as_str() {
            "human" => LogFormat::Human,
            "json" => LogFormat::Json,
            other => {
                section.note("format", format!("must be \"human\" or \"json\", not {other:?}"));
                LogFormat::Human
            }
        };
        let level = section.text_or("level", || "info".to_owned());
        if let Err(error) = level.parse::<tracing_subscriber::filter::Targets>() {
            section.note(
                "level",
                format!("must be a filter such as \"info\" or \"info,understudy_gateway=debug\": {error}"),
            );
        }
        section.finish();
        Self { format, level }
    }
}
