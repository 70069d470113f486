//! The command line of `understudy verify`.

use std::{path::PathBuf, time::Duration};

use crate::duration;

const AFTER_HELP: &str = "\
What is compared, for a primary and each of its targets:
  - which indices exist. Those count whose names match the placement's pattern on either side and do not
    begin with a dot. A closed index cannot be read: that is an error for this index.
  - every document by index, routing and id: whether it is there, its routing, and its source byte for byte,
    except whitespace and comments between tokens: 1.10 is not 1.1, and an order of fields is a difference.
  - mappings, except the label `_meta.understudy` that a target bears.
Not compared: settings, aliases, templates, and all that is computed from documents.

It may run while writes go on. What differs is looked at again until it is equal, or until the target showed no
change to anything that differs for --settle: so lag of the replication is no difference.
Both sides are refreshed, then read by scrolls of ids and by _mget; nothing is written.

Exit status:
  0   equal
  1   different
  2   could not compare, or not all of it (a cluster down, an index closed, still changing after --patience)
  64  the command line or the configuration is wrong
  130 interrupted

JSON (--json), with keys that stay:
  {\"result\": \"equal\" | \"different\" | \"incomplete\",
   \"comparisons\": [{
     \"placement\", \"primary\", \"target\": names, \"result\": as above, \"error\": text or null, \"seconds\": number,
     \"indices\": [{
       \"index\": name, \"result\": as above, \"on_primary\", \"on_target\": boolean,
       \"primary_docs\", \"target_docs\": documents, \"missing\": on the primary alone, \"extra\": on the target alone,
       \"different\": on both, not alike, \"mapping\": \"equal\" | \"different\" | \"not_compared\",
       \"settled\": differed at first only, \"not_looked_at_again\": of the differences, those taken at first sight,
       \"undecided\": still changing at the end, \"error\": text or null}],
     \"differences\": the first --max-differences of [{
       \"kind\": \"missing\" | \"extra\" | \"different\" | \"index\" | \"mapping\",
       \"index\": name, \"id\", \"routing\": text or null, \"what\": what differs, in words,
       \"primary\", \"target\": excerpt or null}]}]}

Examples:
  understudy verify --config deploy/understudy.toml
  understudy verify --config deploy/understudy.toml --index 'flights*' --max-differences 100
  understudy verify --config deploy/understudy.toml --json | jq '.comparisons[].differences'";

/// Compare primary and targets, document by document
///
/// A full scan of both sides that tells whether the targets hold exactly what the primary holds.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = "`--help` tells what is compared, the exit status and the shape of the JSON.")]
pub struct Arguments {
    /// The configuration file of gateways and consumers; UNDERSTUDY_… variables stand over it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Compare this placement alone
    #[arg(long, value_name = "NAME")]
    pub placement: Option<String>,
    /// Compare with this target alone
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// Compare only those indices of the placement that match, such as 'logs-*,flights'
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub index: Option<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
    /// How long nothing must change before what differs counts as a difference (500ms, 10s, 2m)
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub settle: Duration,
    /// How long to wait at most while the target goes on changing
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    pub patience: Duration,
    /// How many differences to show; all are counted
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub max_differences: u16,
}

/// Reads names of indices with `*`, separated by commas.
pub fn pattern(text: &str) -> Result<String, String> {
    if text.split(',').any(|part| part.trim().is_empty()) {
        return Err("must be names of indices with * for any characters, separated by commas".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(pattern("a,b*").is_ok());
        assert!(pattern("").is_err() && pattern("a,,b").is_err());
    }
}
