//! The command line of `understudy dead-letters`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::letter::LetterId;
use crate::{duration, verify::pattern};

const AFTER_HELP: &str = "\
A dead letter is a write that a target refused for good: a field that its mapping does not take, say, because somebody
changed the index on the target. Its consumer put it aside, with the reason, and went on; the document on the target is
as it was before, until the letter is redriven. Letters are kept until somebody decides:

  1. `list` shows them, `show` tells everything about one.
  2. Mend on the target what refuses it (its mapping, a limit, ...).
  3. `redrive` reads the document from the primary and publishes it as it is there NOW, not as it stands in the letter:
     a document that was deleted meanwhile stays deleted. Redriving twice does no harm. What the target refuses once
     more becomes a new letter.
  4. Or `drop` a letter whose document does not matter any more.

A letter is named by its partition and offset in the dead-letter topic, such as 3:17. When all letters from the beginning
of a partition on are decided, they are deleted from the topic.

Exit status:
  0   done
  1   some could not be redriven, nothing was confirmed, or `list --check` found letters
  2   it could not be done: Kafka cannot be reached, there is no such letter, ...
  64  the command line or the configuration is wrong
  130 interrupted

Examples:
  understudy dead-letters list --config deploy/understudy.toml
  understudy dead-letters show --config deploy/understudy.toml 3:17
  understudy dead-letters redrive --config deploy/understudy.toml --all --index 'flights*'";

/// List, explain, redrive or drop what a target refused for good
///
/// Dead letters are writes that a target refused; they are kept with the reason until somebody decides.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP, after_help = "`--help` tells what dead letters are, and the exit status.")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// What is done with dead letters.
#[derive(Subcommand)]
pub enum Command {
    List(ListArguments),
    Show(ShowArguments),
    Redrive(RedriveArguments),
    Drop(DropArguments),
}

/// Whose letters.
#[derive(Args)]
pub struct Place {
    /// The configuration file of gateways and consumers; UNDERSTUDY_… variables stand over it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The target that refused them; may be left out where one alone is configured
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
}

/// Some of the letters.
#[derive(Args, Default)]
pub struct Filter {
    /// Those alone whose index matches, such as 'logs-*,flights'
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub index: Option<String>,
    /// Those alone whose type of error matches, such as mapper_parsing_exception or '*parsing*'
    #[arg(long = "type", value_name = "PATTERN", value_parser = pattern)]
    pub kind: Option<String>,
}

/// List dead letters, the oldest first
#[derive(Args)]
#[command(after_help = "\
JSON (--json), an object a line, with keys that stay:
  {\"id\", \"at\": time in UTC, \"at_ms\": the same since 1970, \"index\", \"document\": id, \"routing\", \"operation\",
   \"status\": number, \"type\", \"reason\", \"became\": null | \"redriven\" | \"dropped\", \"became_at\"}
what is not known is null.")]
pub struct ListArguments {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub filter: Filter,
    /// List also those that were redriven or dropped, for as long as they are kept, and say so
    #[arg(long)]
    pub all: bool,
    /// How many to list; all are counted [default: 100 in a table, all as JSON]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Print JSON, an object a line
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 when there are any that nobody decided
    #[arg(long)]
    pub check: bool,
}

/// Show all of one dead letter, and what can be done
#[derive(Args)]
#[command(after_help = "\
JSON (--json): one object, with the keys of `list --json` and
  \"from\": {\"topic\", \"partition\", \"offset\"}, \"request\", \"gateway\", \"key\", \"headers\": all of them,
  \"body\": what the record holds, as it is")]
pub struct ShowArguments {
    #[command(flatten)]
    pub place: Place,
    /// The letter, as `list` names it
    #[arg(value_name = "ID")]
    pub id: LetterId,
    /// Print JSON, the body as it is
    #[arg(long)]
    pub json: bool,
}

/// Which letters are decided.
#[derive(Args)]
pub struct Choice {
    /// Letters, as `list` names them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub ids: Vec<LetterId>,
    /// All that nobody decided, or those of them that --index and --type leave
    #[arg(long)]
    pub all: bool,
    /// Of all of them those whose index matches, such as 'logs-*,flights'
    #[arg(long, value_name = "PATTERN", value_parser = pattern, requires = "all", conflicts_with = "ids")]
    pub index: Option<String>,
    /// Of all of them those whose type of error matches, such as mapper_parsing_exception or '*parsing*'
    #[arg(long = "type", value_name = "PATTERN", value_parser = pattern, requires = "all", conflicts_with = "ids")]
    pub kind: Option<String>,
}

/// Publish the documents of dead letters anew, as they are on the primary now
#[derive(Args)]
#[command(after_help = "\
While the primary is away, and for protocol.stale_primary after a shard's primary changed, a document cannot be told.
This waits for it, for as long as --wait says, and says what it waits for. Ended by Ctrl-C it leaves the documents to the
consumers, which read them from the primary by themselves; the letters stay until they are redriven or dropped.

JSON (--json), an object a letter: {\"id\", \"result\": \"redriven\" | \"not_redriven\", \"reason\": text or null}")]
pub struct RedriveArguments {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub choice: Choice,
    /// How long to wait for documents that cannot be told yet (0, 30s, 10m)
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    pub wait: Duration,
    /// Print JSON, an object a letter
    #[arg(long)]
    pub json: bool,
}

/// Give dead letters up: the target stays without what they hold
#[derive(Args)]
pub struct DropArguments {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub choice: Choice,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Result<Command, String> {
        let parsed = Line::try_parse_from(std::iter::once("understudy").chain(line.split(' ')));
        parsed.map(|line| line.arguments.command).map_err(|error| error.to_string())
    }

    #[test]
    fn letters_are_chosen_by_name_or_all_at_once() {
        let Ok(Command::Redrive(redrive)) = parse("redrive 0:1 3:17 --config f --wait 0") else { panic!() };
        assert_eq!(redrive.choice.ids.iter().map(LetterId::to_string).collect::<Vec<_>>(), ["0:1", "3:17"]);
        assert_eq!(redrive.wait, Duration::ZERO);
        assert!(parse("drop --all --index a,b* --type *parsing* --yes --config f").is_ok());
        for wrong in
            ["redrive --config f", "drop --all 0:1 --config f", "redrive 0 --config f", "show --config f", "list"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn filters_are_for_all_of_them() {
        let error = parse("redrive 0:1 --index a --config f").err().unwrap_or_default();
        assert!(error.contains("--index"), "{error}");
    }
}
