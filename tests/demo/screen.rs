//! What is printed, and how.

use std::{
    io::IsTerminal,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// The terminal, or whatever output goes to.
#[derive(Clone, Copy)]
pub struct Screen {
    colours: bool,
    /// What became of the writers' writes; empty while there are none.
    writers: &'static Mutex<String>,
}

/// No line is longer.
const WIDTH: usize = 96;
const LABEL: usize = 8;

impl Screen {
    pub fn new() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let writers = Box::leak(Box::default());
        Self { colours: std::io::stdout().is_terminal() && !plain, writers }
    }

    /// What is shown below everything that takes a while.
    pub fn set_writers(self, tally: &impl ToString) {
        *self.writers() = tally.to_string();
    }

    fn writers(self) -> MutexGuard<'static, String> {
        self.writers.lock().expect("nobody panics here")
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The beginning of a part.
    pub fn heading(self, text: &str) {
        let rule = "─".repeat((WIDTH - 4).saturating_sub(text.chars().count()));
        println!("\n{} {} {}\n", self.paint("2", "──"), self.paint("1", text), self.paint("2", &rule));
    }

    /// A paragraph.
    pub fn say(self, text: &str) {
        for line in wrapped(text, WIDTH - 2) {
            println!("{}", format!("  {line}").trim_end());
        }
    }

    /// What was done.
    pub fn done(self, text: &str) {
        self.line("36", "done", text);
    }

    /// What was seen.
    pub fn seen(self, text: &str) {
        self.line("34", "seen", text);
    }

    /// What the comparison says.
    pub fn verified(self, text: &str) {
        self.line("35", "verify", text);
    }

    /// A good end.
    pub fn pass(self, text: &str) {
        println!();
        self.line("1;32", "PASS", text);
    }

    /// A bad end.
    pub fn fail(self, text: &str) {
        println!();
        self.line("1;31", "FAIL", text);
    }

    /// What ends the demo early.
    pub fn trouble(self, text: &str) {
        println!();
        self.line("1;31", "stopped", text);
    }

    fn line(self, code: &str, label: &str, text: &str) {
        for (place, line) in wrapped(text, WIDTH - LABEL - 2).iter().enumerate() {
            let label = format!("{:<LABEL$}", if place == 0 { label } else { "" });
            println!("  {}{line}", self.paint(code, &label));
        }
    }

    /// A table with a head. Columns are as wide as they must be.
    pub fn table(self, head: &[&str], rows: &[Vec<String>]) {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().cloned()).collect();
        for (place, line) in aligned(&rows, 2).iter().enumerate() {
            println!("  {}", if place == 0 { self.paint("2", line) } else { self.verdicts(line) });
        }
    }

    /// Columns of words, without a head.
    pub fn columns(self, rows: &[Vec<String>]) {
        for line in aligned(rows, usize::MAX) {
            println!("    {line}");
        }
    }

    fn verdicts(self, line: &str) -> String {
        line.replace("PASS", &self.paint("1;32", "PASS")).replace("FAIL", &self.paint("1;31", "FAIL"))
    }

    /// As [`Screen::wait`], for what may take minutes: where there is no terminal, it is said once.
    pub fn wait_long(self, text: &str) -> Waiting {
        if !std::io::stderr().is_terminal() {
            self.line("2", "…", text);
        }
        self.wait(text)
    }

    /// Something that takes a while; it hides where there is no terminal, and vanishes in the end.
    pub fn wait(self, text: impl Into<String>) -> Waiting {
        let bar = ProgressBar::new_spinner();
        let template = match self.writers().is_empty() {
            true => "  {spinner} {wide_msg} {elapsed}",
            false => "  {spinner} {wide_msg} {elapsed}\n    writers: {writers}",
        };
        let writers = move |_: &ProgressState, line: &mut dyn std::fmt::Write| {
            let _ = write!(line, "{}", self.writers());
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template").with_key("writers", writers));
        bar.set_message(text.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        Waiting { bar }
    }

    /// As [`Screen::wait`], of something that can be counted.
    pub fn count(self, text: &'static str, total: u64) -> Waiting {
        let bar = ProgressBar::new(total);
        let rate = |state: &ProgressState, line: &mut dyn std::fmt::Write| {
            let _ = write!(line, "{}/s", number(state.per_sec() as u64));
        };
        let style = ProgressStyle::with_template("  {msg} [{bar:32}] {human_pos} of {human_len}  {rate}  {eta} left");
        bar.set_style(style.expect("a template").progress_chars("=> ").with_key("rate", rate));
        bar.set_message(text);
        Waiting { bar }
    }
}

/// A progress bar that vanishes when it goes out of scope.
pub struct Waiting {
    bar: ProgressBar,
}

impl Waiting {
    pub fn say(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Rows as lines, with columns as wide as they must be: `words` to the left, figures to the right.
fn aligned(rows: &[Vec<String>], words: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cell = |(column, width): (usize, &usize)| {
            let cell = row.get(column).map_or("", String::as_str);
            if column < words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        };
        widths.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Lines of at most `width`, broken between words; line breaks of the text stay.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line: Option<String> = None;
        for word in paragraph.split(' ') {
            line = Some(match line {
                None => word.to_owned(),
                Some(line) if line.chars().count() + 1 + word.chars().count() <= width => format!("{line} {word}"),
                Some(line) => {
                    lines.push(line);
                    word.to_owned()
                }
            });
        }
        lines.push(line.unwrap_or_default());
    }
    lines
}

/// A number with a comma for each thousand.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds with one digit, or milliseconds where those would say nothing.
pub fn seconds(duration: Duration) -> String {
    if duration < Duration::from_millis(100) {
        format!("{} ms", duration.as_millis().max(1))
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_told_in_milliseconds() {
        let told = [0, 42, 100, 61_000].map(|millis| seconds(Duration::from_millis(millis)));
        assert_eq!(told, ["1 ms", "42 ms", "0.1 s", "61.0 s"]);
    }

    #[test]
    fn numbers_and_lines_are_easy_to_read() {
        assert_eq!((number(7), number(1_000), number(1_234_567)), ("7".into(), "1,000".into(), "1,234,567".into()));
        assert_eq!(wrapped("one two three\n  four", 8), ["one two", "three", "  four"]);
    }
}
