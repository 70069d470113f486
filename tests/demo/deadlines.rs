//! The deadlines that the demo plays with: a minute's story shall hold what takes several.

use std::{fs, io::Write, path::Path};

use anyhow::Context;

use crate::screen::Screen;

/// A key of the configuration, its value, and what it means.
struct Deadline {
    section: &'static str,
    key: &'static str,
    value: &'static str,
    meaning: &'static str,
}

const fn deadline(section: &'static str, key: &'static str, value: &'static str, meaning: &'static str) -> Deadline {
    Deadline { section, key, value, meaning }
}

/// By section.
const DEADLINES: [Deadline; 9] = [
    deadline("gateway", "intent_timeout", "2s", "Kafka must take a write's intent within this, or it is refused"),
    deadline("gateway", "primary_timeout", "8s", "an answer of the primary that takes longer is unknown"),
    deadline("gateway", "publish_timeout", "5s", "Kafka must take its effects within this"),
    deadline("protocol", "ticket_lifetime", "20s", "effects that come this long after their intent are void"),
    deadline("protocol", "clock_skew", "2s", "how much the clocks of brokers may differ"),
    deadline("protocol", "linger", "8s", "how long a request may linger in a cluster when nobody waits"),
    deadline("protocol", "stale_primary", "8s", "how long a former primary shard may go on answering"),
    deadline("protocol", "settle_after", "1s", "a gateway looks again before it settles an intent"),
    deadline("consumer", "reconcile_after", "3s", "intents that stay open longer are looked after"),
];

/// Writes them to the end of a configuration that has none of their sections.
pub fn append_to(config: &Path) -> anyhow::Result<()> {
    let mut text = String::from("\n# Shorter than the defaults, for the demo.\n");
    let mut section = "";
    for deadline in &DEADLINES {
        if deadline.section != section {
            section = deadline.section;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&format!("{} = \"{}\"\n", deadline.key, deadline.value));
    }
    let mut file = fs::File::options().append(true).open(config).with_context(|| config.display().to_string())?;
    file.write_all(text.as_bytes()).with_context(|| config.display().to_string())
}

/// Shows them.
pub fn show(screen: Screen) {
    screen.say("\nDeadlines are shorter than the defaults, so that nobody has to wait for them:\n\n");
    let row = |deadline: &Deadline| {
        let key = format!("{}.{}", deadline.section, deadline.key);
        vec![key, deadline.value.to_owned(), deadline.meaning.to_owned()]
    };
    screen.columns(&DEADLINES.iter().map(row).collect::<Vec<_>>());
}
