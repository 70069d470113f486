//! Says what is waited for: on one line of a terminal, and elsewhere once for each reason.

use std::{cell::RefCell, io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::text::{count, plain};

/// What is waited for.
pub struct Waiting {
    bar: ProgressBar,
    said: RefCell<String>,
    stale_primary: Duration,
}

impl Waiting {
    /// Nothing yet. A shard whose primary changed must have been seen for so long.
    pub fn new(stale_primary: Duration) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, said: RefCell::default(), stale_primary }
    }

    /// So many documents cannot be told yet; why one of them.
    pub fn say(&self, documents: usize, reason: &str) {
        let text = said(documents, reason, self.stale_primary);
        if std::io::stderr().is_terminal() {
            self.bar.enable_steady_tick(Duration::from_millis(200));
            self.bar.set_message(text);
        } else if self.said.replace(text.clone()) != text {
            eprintln!("understudy dead-letters: {text}");
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// This command has seen no shard before, so each whose primary ever changed counts as changed a moment ago.
fn said(documents: usize, reason: &str, stale_primary: Duration) -> String {
    let rests = reason.contains("may still answer");
    let watched = if rests { format!(" (it is watched for {stale_primary:?} first)") } else { String::new() };
    format!("waiting for {}: {}{watched}", count(documents, "document"), plain(reason))
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn a_shard_that_rests_is_watched() {
        let text = |reason| said(1, reason, std::time::Duration::from_secs(90));
        assert_eq!(text("cannot connect"), "waiting for 1 document: cannot connect");
        let rests = "i/1: its shard's primary changed a short while ago, and the former one may still answer";
        assert!(text(rests).ends_with("may still answer (it is watched for 90s first)"));
    }
}
