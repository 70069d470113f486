//! What writers sent and what they were told: a file a writer, a line an event, on disk before the event goes on.
//!
//! The ledger is the oracle's only knowledge of what should be there, so that a run can be judged again from its files.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A request is about to be sent.
    Sent(Sent),
    /// It came to an end.
    Answered(Answered),
}

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// Its name: writer and number.
    pub write: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Through which gateway.
    pub gateway: String,
    /// Which row of the table of kinds.
    pub kind: String,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Body.
    pub body: Option<String>,
    /// The documents it writes, in order.
    pub items: Vec<Item>,
}

/// What a request wants of one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The write id, which stands in the document.
    pub w: String,
    /// Which row of the table of kinds.
    pub kind: String,
    /// The concrete index, whatever name the request used.
    pub index: String,
    /// The id; `None` where the gateway assigns it.
    pub id: Option<String>,
    /// The routing that the document gets.
    pub routing: Option<String>,
    /// What it makes of the document if it is carried out.
    pub leaves: Leaves,
    /// The source as the primary must store it, where the request holds it.
    pub stored: Option<String>,
}

/// What a write makes of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leaves {
    /// It is there, and holds the write id.
    Document,
    /// It is not there.
    Nothing,
    /// It is as it was.
    Unchanged,
}

/// The end of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// Its name.
    pub write: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Status, where there was an answer.
    pub status: Option<u16>,
    /// The beginning of the answer, or why there was none.
    pub reply: String,
    /// What became of each item.
    pub outcomes: Vec<Outcome>,
}

/// What became of a write of one document, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Acknowledged(Written),
    /// Told as an error, with the primary's own success inside.
    Pending(Written),
    /// Nothing was written.
    Refused(String),
    /// It may have been written, or may be yet.
    Unknown(String),
}

/// A success of the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Concrete index.
    pub index: String,
    /// Id.
    pub id: String,
    /// `created`, `updated`, `deleted`, `not_found` or `noop`.
    pub result: String,
    /// Primary term.
    pub term: u64,
    /// Sequence number.
    pub seq_no: u64,
}

impl Outcome {
    /// What the primary said of it, when it said that it has it.
    pub fn written(&self) -> Option<&Written> {
        match self {
            Self::Acknowledged(written) | Self::Pending(written) => Some(written),
            Self::Refused(_) | Self::Unknown(_) => None,
        }
    }
}

impl Written {
    /// Its place in the order of its shard.
    pub fn place(&self) -> (u64, u64) {
        (self.term, self.seq_no)
    }

    /// Whether the document was there afterwards, and as it had been before.
    pub fn changed_nothing(&self) -> bool {
        self.result == "noop"
    }

    /// Whether the document was gone afterwards.
    pub fn is_delete(&self) -> bool {
        matches!(self.result.as_str(), "deleted" | "not_found")
    }
}

/// The ledger of one writer.
pub struct Ledger(File);

impl Ledger {
    /// Begins a ledger in a folder.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin(folder: &Path, writer: &str) -> anyhow::Result<Self> {
        let path = folder.join(format!("ledger-{writer}.jsonl"));
        Ok(Self(File::create(&path).with_context(|| path.display().to_string())?))
    }

    /// Appends a line; the system has it when this returns, also if this process is killed.
    ///
    /// # Panics
    /// When it cannot be written: a run without its ledger proves nothing.
    pub fn note(&mut self, entry: &Entry) {
        let mut line = serde_json::to_vec(entry).expect("an entry is JSON");
        line.push(b'\n');
        self.0.write_all(&line).expect("the ledger can be written");
    }
}

/// Reads all ledgers of a folder.
///
/// # Errors
/// When one cannot be read. A last line that was cut off is passed over: its request was not sent.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !(name.starts_with("ledger-") && name.ends_with(".jsonl")) {
            continue;
        }
        for line in BufReader::new(File::open(&path)?).split(b'\n') {
            let line = line?;
            match serde_json::from_slice(&line) {
                Ok(entry) => entries.push(entry),
                Err(error) if error.is_eof() => {}
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
    }
    Ok(entries)
}

/// The time, in milliseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(since.as_millis()).expect("it fits")
}
