//! `understudy status`: is the standby ready to go on stage?
//!
//! ```text
//! arguments, config ─► look (Kafka, clusters, admin ports; all at once) ─► picture
//! picture ─► findings: what is wrong, what can be done, is it ready (pure) ─► table, or JSON
//! ```

mod arguments;
mod findings;
mod look;
mod picture;
mod report;
mod table;
mod text;

use std::{io::Write, process::ExitCode, time::Duration};

pub use arguments::Arguments;
use understudy_common::{
    config::{Config, EXIT_CONFIG, PlacementConfig},
    process::now_ms,
};

use self::{
    findings::{Outcome, Rules},
    report::Report,
};
use crate::interrupt::{EXIT_INTERRUPTED, interrupted};

/// How much longer than it may take at most an intent may stay open before that is told.
const GRACE: Duration = Duration::from_secs(60);

/// Looks, prints what was seen, and says by the exit status whether the standby is ready.
pub async fn run(arguments: Arguments) -> ExitCode {
    let loaded = Config::load(&arguments.config).map_err(|errors| errors.0).and_then(|config| {
        let placements = placements(&config, arguments.target.as_deref()).map_err(|error| vec![error])?;
        Ok((config, placements))
    });
    let (config, placements) = match loaded {
        Ok(loaded) => loaded,
        Err(errors) => {
            for error in errors {
                eprintln!("understudy status: {error}");
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let admin = if arguments.admin.is_empty() { &config.status.admin } else { &arguments.admin };
    let rules = rules(&config, &arguments);
    let looking = async {
        loop {
            let picture = look::look(&config, &placements, admin).await;
            let report = Report::new(picture, &rules, now_ms());
            print(&report, &arguments);
            match arguments.watch {
                None => break report.result,
                Some(pause) => tokio::time::sleep(pause).await,
            }
        }
    };
    tokio::select! {
        outcome = looking => ExitCode::from(match outcome {
            Outcome::Ready => 0,
            Outcome::NotReady => 1,
            Outcome::Unknown => 2,
        }),
        () = interrupted() => ExitCode::from(EXIT_INTERRUPTED),
    }
}

/// The placements of the configuration, with that target alone.
fn placements(config: &Config, target: Option<&str>) -> Result<Vec<PlacementConfig>, String> {
    let Some(target) = target else { return Ok(config.placements.clone()) };
    let of_target = config.placements.iter().filter(|placement| placement.targets.iter().any(|name| name == target));
    let found: Vec<_> =
        of_target.map(|placement| PlacementConfig { targets: vec![target.to_owned()], ..placement.clone() }).collect();
    if found.is_empty() {
        let known: Vec<_> =
            config.placements.iter().flat_map(|placement| &placement.targets).map(String::as_str).collect();
        return Err(format!("--target: must be one of {}, not {target:?}", known.join(", ")));
    }
    Ok(found)
}

fn rules(config: &Config, arguments: &Arguments) -> Rules {
    let settled_after =
        config.protocol.linger + config.gateway.intent_timeout + config.consumer.reconcile_after + GRACE;
    Rules { max_lag: config.status.max_lag, settled_after, config: arguments.config.display().to_string() }
}

fn print(report: &Report, arguments: &Arguments) {
    let terminal = console::Term::stdout();
    let text = match (arguments.json, arguments.watch) {
        (true, None) => report.to_json(true),
        (true, Some(_)) => report.to_json(false),
        (false, watch) => {
            if watch.is_some() && terminal.is_term() {
                let _ = terminal.clear_screen();
            }
            table::render(report, terminal.size_checked().map(|(_, width)| usize::from(width)))
        }
    };
    // Whoever reads us may have closed the pipe; the exit status still tells.
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn one_target_may_be_looked_at_alone() {
        let text = r#"
kafka = { bootstrap_servers = "k:9092" }
clusters = { a = { urls = "http://a:9200" }, b = { urls = "http://b:9200" }, c = { urls = "http://c:9200" } }
placements = [{ name = "all", indices = "*", primary = "a", targets = "b,c" }]
"#;
        let config = Config::parse(text, HashMap::new()).unwrap();
        assert_eq!(placements(&config, None).unwrap()[0].targets, ["b", "c"]);
        assert_eq!(placements(&config, Some("c")).unwrap()[0].targets, ["c"]);
        assert_eq!(placements(&config, Some("a")).unwrap_err(), "--target: must be one of b, c, not \"a\"");
    }
}
