//! The command line of `understudy status`.

use std::{path::PathBuf, time::Duration};

use understudy_common::config::check_admin;

use crate::duration;

const AFTER_HELP: &str = "\
A standby is READY when, if it went on stage now, nothing that was acknowledged would be missing for longer than
status.max_lag (30 s by default): it is up, the cluster that replication began with, of a tested version and not red; its
consumers run, no further behind than that, without a gap; and there is no write that it refused for good (a dead letter).
What is wrong with the primary, or with a gateway, leaves it READY, for that is when it is needed; it is told all the same.

Looked at, all at once and within 5 seconds:
  Kafka      who is the primary, lag of each standby by its committed offsets, its consumers, dead letters, how long Kafka
             keeps what is not applied, writes that nobody has settled
  clusters   of the placement: is it there, health, versions, with the service account
  processes  admin ports of gateways and consumers: those of status.admin, or of --admin. They are not needed, and alone know
             of partitions that stopped, of indices that wait, and of gateways that refuse writes

What cannot be reached is said, and hides nothing else. Lag is by committed offsets: after a consumer died it may say up to
protocol.linger too much.

Exit status:
  0   ready (every standby, or that of --target)
  1   not ready
  2   cannot tell: Kafka cannot be reached, or a part that decides did not answer
  64  the command line or the configuration is wrong
  130 interrupted

JSON (--json), with keys that stay:
  {\"result\": \"ready\" | \"not_ready\" | \"unknown\", \"at\": time in UTC,
   \"findings\": [{\"severity\": \"not_ready\" | \"unknown\" | \"warning\", \"code\": a name that stays, \"about\": what it is
     about, \"target\": the standby whose readiness it decides or null for all, \"text\", \"advice\"}], the worst first,
   \"standbys\": [{\"target\", \"result\": as above}],
   \"kafka\": {\"begun\", \"recorded_clusters\": {name: cluster_uuid}}, \"brokers\": [...],
   \"placements\": [{\"placement\", \"primary\", \"epoch\", \"targets\": [{\"target\", \"lag\": {\"records\", \"seconds\", \"gaps\",
     \"anew\": partitions}, \"consumers\": [names], \"dead_letters\": number, \"headroom_seconds\", \"retention_seconds\"}]}],
   \"clusters\": [{\"cluster\", \"urls\", \"service_account\", \"seen\": {\"cluster_uuid\", \"health\", \"nodes\", \"unassigned_shards\",
     \"versions\", \"denied\"}, \"refused_version\", \"untested_version\"}],
   \"intents\": {\"open\", \"oldest_seconds\"},
   \"processes\": [{\"address\", \"seen\": {\"kind\": \"gateway\" | \"consumer\" | \"other\", \"not_ready\", \"takes_writes\",
     \"requests_in_flight\", \"target\", \"partitions\", \"stopped\": {reason: partitions}, ...}}]}
In place of a part that is not known stands {\"error\": text}; what does not apply is null.

Examples:
  understudy status --config deploy/understudy.toml
  understudy status --config deploy/understudy.toml --admin gateway-1:9310 --admin consumer-1:9320
  understudy status --config deploy/understudy.toml --watch
  understudy status --config deploy/understudy.toml --json | jq -r '.findings[] | .text + \": \" + .advice'";

/// Tell whether the standby is ready, how far it is behind, what is wrong, and what to do
///
/// The whole picture at one look: Kafka, the clusters, gateways and consumers.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = "`--help` tells what READY means, the exit status and the shape of the JSON.")]
pub struct Arguments {
    /// The configuration file of gateways and consumers; UNDERSTUDY_… variables stand over it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Look at this standby alone
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// The admin port of a gateway or consumer, in place of status.admin; may be repeated
    #[arg(long, value_name = "HOST:PORT", value_parser = admin)]
    pub admin: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Look again and again, until interrupted; so often
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "2s",
          value_parser = duration::parse)]
    pub watch: Option<Duration>,
}

fn admin(text: &str) -> Result<String, String> {
    check_admin(text).map(|()| text.to_owned())
}
