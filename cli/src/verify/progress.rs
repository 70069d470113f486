//! The progress bar; it hides where standard error is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// How far a comparison is.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar that knows no length yet.
    pub fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style =
            ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} documents, {elapsed}\n{wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many more documents are to be looked at.
    pub fn expect(&self, documents: u64) {
        self.0.inc_length(documents);
    }

    /// So many documents were looked at.
    pub fn advance(&self, documents: usize) {
        self.0.inc(documents as u64);
    }

    /// Says what is done.
    pub fn say(&self, what: String) {
        self.0.set_message(what);
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
