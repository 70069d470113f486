//! What an answer of a target means: for the bulk as a whole, and for each item. Status first, then type; the answer is
//! parsed, never searched for text. What is not understood is never taken for success.

use std::borrow::Cow;

use hyper::StatusCode;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use understudy_common::{
    cluster::CallError,
    planted::{Bug, planted},
};

/// What became of one effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The target has it.
    Applied,
    /// The target has it, as the first operation ever in its shard. That is as it must be in an index that was made a moment
    /// ago, and the sign of one that the target made by itself in the place of one that is gone.
    AppliedFirst,
    /// The target has the same or something newer.
    Superseded,
    /// Not executed, or nobody knows: send it again. `overloaded` asks for smaller bulks as well.
    Retry {
        /// Whether the target says that it has too much to do.
        overloaded: bool,
        /// Whether it may still be under way in the target: a node that lost another one does not know what that one does.
        lingers: bool,
        /// Why.
        reason: Reason,
    },
    /// The target refuses for now, and somebody may have to act: wait, do not drop.
    Blocked(Reason),
    /// The index is not there (any more).
    IndexMissing,
    /// The target will never take it as it is.
    Refused(Reason),
}

/// What a target said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Status, 0 where there was none.
    pub status: u16,
    /// Type of the error.
    pub kind: String,
    /// Its text.
    pub text: String,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status, self.kind, self.text)
    }
}

/// What the answer to a bulk means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkVerdict {
    /// One verdict for each item, in order.
    Items(Vec<Verdict>),
    /// It is larger than the target (or something on the way) takes.
    TooLarge(Reason),
    /// It was refused as a whole, because of at least one of its items.
    Refused(Reason),
    /// Nobody may write for now.
    Blocked(Reason),
    /// The target has too much to do.
    Overloaded(Reason),
    /// What it did, or still does, is unknown: send it again.
    Unknown(Reason),
    /// Nothing reached the target: send it again.
    NotSent(Reason),
    /// It was not sent, because too much time went by since it was decided: decide anew.
    Withdrawn,
}

impl BulkVerdict {
    /// Everything that a bulk can be counted as.
    pub const LABELS: [&str; 8] =
        ["answered", "too_large", "refused", "blocked", "overloaded", "unknown", "not_sent", "withdrawn"];

    /// What it is counted as.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Items(_) => "answered",
            Self::TooLarge(_) => "too_large",
            Self::Refused(_) => "refused",
            Self::Blocked(_) => "blocked",
            Self::Overloaded(_) => "overloaded",
            Self::Unknown(_) => "unknown",
            Self::NotSent(_) => "not_sent",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What an item of an answer must be about.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Name of the action.
    pub action: &'static str,
    /// Index.
    pub index: &'a str,
    /// Document id.
    pub id: &'a str,
}

/// The verdict on the answer to a bulk.
#[must_use]
pub fn of_answer(status: StatusCode, body: &[u8], expected: &[Expected<'_>]) -> BulkVerdict {
    if status == StatusCode::OK {
        return match of_items(body, expected) {
            Ok(verdicts) => BulkVerdict::Items(verdicts),
            Err(text) => BulkVerdict::Unknown(Reason { status: 200, kind: "unreadable_answer".into(), text }),
        };
    }
    let error = serde_json::from_slice::<WholeError>(body).ok().and_then(|whole| whole.error);
    let ours = error.is_some();
    let reason = error.unwrap_or_else(|| ItemError { kind: None, reason: Some(excerpt(body)) }).reason(status.as_u16());
    match status.as_u16() {
        413 => BulkVerdict::TooLarge(reason),
        401 | 403 => BulkVerdict::Blocked(reason),
        429 => BulkVerdict::Overloaded(reason),
        // A 400 without an error of Elasticsearch comes from something on the way.
        400 if ours => BulkVerdict::Refused(reason),
        503 if is_overload(&reason.kind) => BulkVerdict::Overloaded(reason),
        _ => BulkVerdict::Unknown(reason),
    }
}

/// The verdict on no answer.
#[must_use]
pub fn of_silence(error: &CallError) -> BulkVerdict {
    let reason = |kind: &str| Reason { status: 0, kind: kind.into(), text: error.to_string() };
    match error {
        CallError::NotSent { .. } => BulkVerdict::NotSent(reason("not_sent")),
        CallError::Unanswered { .. } | CallError::TooLarge { .. } => BulkVerdict::Unknown(reason("no_answer")),
    }
}

fn of_items(body: &[u8], expected: &[Expected<'_>]) -> Result<Vec<Verdict>, String> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| format!("{error} in {}", excerpt(body)))?;
    if answer.items.len() != expected.len() {
        return Err(format!("{} items for {} operations", answer.items.len(), expected.len()));
    }
    let one = |(OneItem(action, item), expected): (OneItem<'_>, &Expected<'_>)| {
        if action != expected.action || item.index != expected.index || item.id != expected.id {
            return Err(format!(
                "an item for {action} {}/{} in the place of {} {}/{}",
                item.index, item.id, expected.action, expected.index, expected.id
            ));
        }
        Ok(of_item(expected.action, &item))
    };
    answer.items.into_iter().zip(expected).map(one).collect()
}

fn of_item(action: &str, item: &Item<'_>) -> Verdict {
    let kind = item.error.as_ref().and_then(|error| error.kind.as_deref()).unwrap_or_default();
    let reason = || item.error.clone().unwrap_or_default().reason(item.status);
    let retry = || {
        // What was rejected was not executed.
        let overloaded = item.status == 429 || is_overload(kind);
        Verdict::Retry { overloaded, lingers: !overloaded, reason: reason() }
    };
    match (item.status, kind) {
        (200..=299, "") if item.seq_no == Some(0) => Verdict::AppliedFirst,
        (200..=299, "") => Verdict::Applied,
        (404, "") if action == "delete" && item.result.as_deref() == Some("not_found") => {
            if item.seq_no == Some(0) {
                Verdict::AppliedFirst
            } else {
                Verdict::Applied
            }
        }
        (409, "version_conflict_engine_exception") if planted(Bug::ConflictIsFailure) => Verdict::Refused(reason()),
        (409, "version_conflict_engine_exception") => Verdict::Superseded,
        (429 | 408 | 500..=599, _) => retry(),
        (404, "index_not_found_exception") => Verdict::IndexMissing,
        (400, "index_closed_exception") | (401 | 403, _) => Verdict::Blocked(reason()),
        (400 | 413, _) => Verdict::Refused(reason()),
        // Nothing that is known; waiting loses nothing, dropping might.
        (400..=499, _) => Verdict::Blocked(reason()),
        _ => retry(),
    }
}

/// Elasticsearch's and OpenSearch's names.
fn is_overload(kind: &str) -> bool {
    matches!(kind, "es_rejected_execution_exception" | "rejected_execution_exception" | "circuit_breaking_exception")
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    items: Vec<OneItem<'a>>,
}

/// `{"index":{…}}`: one field, named by the action.
struct OneItem<'a>(Cow<'a, str>, Item<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for OneItem<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneField;
        impl<'de> serde::de::Visitor<'de> for OneField {
            type Value = OneItem<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an item of a bulk's answer")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let none = || serde::de::Error::custom("an item without an action");
                let (action, item) = map.next_entry::<Cow<'de, str>, Item<'de>>()?.ok_or_else(none)?;
                if map.next_key::<IgnoredAny>()?.is_some() {
                    return Err(serde::de::Error::custom("an item with two actions"));
                }
                Ok(OneItem(action, item))
            }
        }
        deserializer.deserialize_map(OneField)
    }
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "_index", borrow)]
    index: Cow<'a, str>,
    #[serde(rename = "_id", borrow)]
    id: Cow<'a, str>,
    status: u16,
    #[serde(rename = "_seq_no", default)]
    seq_no: Option<i64>,
    #[serde(borrow, default)]
    result: Option<Cow<'a, str>>,
    #[serde(default)]
    error: Option<ItemError>,
}

#[derive(Clone, Default, Deserialize)]
struct ItemError {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl ItemError {
    fn reason(self, status: u16) -> Reason {
        // An answer of something on the way has no type.
        let unnamed = || if status == 413 { "too_large".to_owned() } else { format!("http_{status}") };
        let kind = self.kind.filter(|kind| !kind.is_empty()).unwrap_or_else(unnamed);
        Reason { status, kind, text: self.reason.unwrap_or_default() }
    }
}

#[derive(Deserialize)]
struct WholeError {
    error: Option<ItemError>,
}

pub(crate) fn excerpt(body: &[u8]) -> String {
    const SHOWN: usize = 300;
    String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned()
}

#[cfg(test)]
mod tests;
