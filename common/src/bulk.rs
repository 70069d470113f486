//! The `_bulk` grammar: lines, action lines, sources. Parsing keeps every byte and does no I/O.
//!
//! ```text
//! body ─ lines by '\n' ─► action line ─► Action, ActionFields      (parsed)
//!                     └─► source line ─► Bytes                     (a slice of the body, never parsed)
//! ```
//!
//! Stricter than Elasticsearch 7.10, which accepts an action line without its closing brace, and swallows an unknown
//! action together with its source, so that the items of the answer shift. Here both refuse the whole body.

mod action;

use std::ops::Range;

pub use action::{Action, ActionFields};
use bytes::Bytes;

/// One operation of a bulk body.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What it does.
    pub action: Action,
    /// The fields of its action line.
    pub fields: ActionFields,
    /// Where its lines stand in the body, line breaks included.
    pub span: Range<usize>,
    /// Where its source line begins in the body (the end of `span` for a delete).
    pub source_start: usize,
    /// The source line without its line break (`\n` or `\r\n`); `None` for a delete.
    pub source: Option<Bytes>,
    /// Number of the action line in the body, from 1.
    pub line: usize,
}

/// Why a body is no bulk body. Nothing of it may be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// No byte at all.
    #[error("request body is required")]
    Empty,
    /// Blank lines only.
    #[error("no requests added: there are blank lines only")]
    NoOperations,
    /// The last line has no line break.
    #[error("line {line}: the bulk request must be terminated by a newline [\\n]")]
    NotTerminated {
        /// The last line.
        line: usize,
    },
    /// An action line that is none.
    #[error("line {line}: {reason}")]
    ActionLine {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An action whose source line is absent or blank.
    #[error("line {line}: the source of this [{action}] action is missing")]
    SourceMissing {
        /// Number of the action line.
        line: usize,
        /// The action.
        action: &'static str,
    },
}

/// Splits a bulk body into operations; sources are slices of `body`.
///
/// # Errors
/// The first thing that is wrong, with its line number.
pub fn parse(body: &Bytes) -> Result<Vec<Operation>, BulkError> {
    operations(body).collect()
}

/// The operations of a bulk body, one after the other; it ends with the first thing that is wrong.
pub fn operations(body: &Bytes) -> Operations<'_> {
    Operations { lines: Lines { body, at: 0, number: 0 }, found: 0, ended: false }
}

/// See [`operations`].
pub struct Operations<'a> {
    lines: Lines<'a>,
    found: usize,
    ended: bool,
}

impl Iterator for Operations<'_> {
    type Item = Result<Operation, BulkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.lines.next_operation().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        self.found += usize::from(!self.ended);
        match next {
            None if self.lines.body.is_empty() => Some(Err(BulkError::Empty)),
            None if self.found == 0 => Some(Err(BulkError::NoOperations)),
            next => next,
        }
    }
}

struct Lines<'a> {
    body: &'a Bytes,
    at: usize,
    number: usize,
}

impl Lines<'_> {
    fn next_operation(&mut self) -> Result<Option<Operation>, BulkError> {
        loop {
            let start = self.at;
            let Some(line) = self.next_line()? else { return Ok(None) };
            // Elasticsearch passes over blank lines where an action may stand.
            if line.trim_ascii().is_empty() {
                continue;
            }
            let number = self.number;
            let (action, fields) =
                action::parse_line(&line).map_err(|reason| BulkError::ActionLine { line: number, reason })?;
            let source_start = self.at;
            let source = if action.has_source() { Some(self.source(number, action)?) } else { None };
            return Ok(Some(Operation { action, fields, span: start..self.at, source_start, source, line: number }));
        }
    }

    fn source(&mut self, line: usize, action: Action) -> Result<Bytes, BulkError> {
        let source = self.next_line()?.filter(|source| !source.trim_ascii().is_empty());
        source.ok_or(BulkError::SourceMissing { line, action: action.name() })
    }

    /// The next line without `\n` or `\r\n` (Elasticsearch trims the `\r` of a source as well), or the end.
    fn next_line(&mut self) -> Result<Option<Bytes>, BulkError> {
        let rest = &self.body[self.at..];
        if rest.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let length = memchr::memchr(b'\n', rest).ok_or(BulkError::NotTerminated { line: self.number })?;
        let kept = if rest[..length].ends_with(b"\r") { length - 1 } else { length };
        let line = self.body.slice(self.at..self.at + kept);
        self.at += length + 1;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests;
