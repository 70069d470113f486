//! An action line: `{"index":{"_index":"flights","_id":"7"}}`.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put a document, whether it exists or not.
    Index,
    /// Put a document that does not exist.
    Create,
    /// Change a document from what it holds.
    Update,
    /// Delete a document.
    Delete,
}

impl Action {
    /// As it stands in action lines and in items of the answer.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Whether a source line follows.
    #[must_use]
    pub fn has_source(self) -> bool {
        self != Self::Delete
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Index, Self::Create, Self::Update, Self::Delete].into_iter().find(|action| action.name() == name)
    }
}

/// The fields of an action line that are understood, and the names of all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionFields {
    /// `_index`.
    pub index: Option<String>,
    /// `_id`; a number counts by its digits, as Elasticsearch takes it.
    pub id: Option<String>,
    /// `routing`.
    pub routing: Option<String>,
    /// `_type`, which only `_doc` may be.
    pub doc_type: Option<String>,
    /// `if_seq_no`.
    pub if_seq_no: Option<String>,
    /// `if_primary_term`.
    pub if_primary_term: Option<String>,
    /// `version`: what an external version may be, 0 … 2^63−1.
    pub version: Option<u64>,
    /// `version_type`.
    pub version_type: Option<String>,
    /// `pipeline`; it stands in `others` too.
    pub pipeline: Option<String>,
    /// `_source`, what an update is to answer, as it stood there; it stands in `others` too.
    pub asked_source: Option<String>,
    /// Every field but the first eight, by name: what a record of effects never has.
    pub others: Vec<String>,
}

/// Parses one action line.
pub(super) fn parse_line(line: &[u8]) -> Result<(Action, ActionFields), String> {
    // Fields that nobody reads are passed over unread, and might be anything.
    let line = std::str::from_utf8(line).map_err(|error| format!("malformed action/metadata line: {error}"))?;
    let parsed: ActionLine = serde_json::from_str(line).map_err(|error| {
        // serde_json counts lines of its own input, which is one line: keep what it says, drop where.
        let said = error.to_string();
        let what = said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what);
        format!("malformed action/metadata line: {what} (column {})", error.column())
    })?;
    Ok((parsed.action, parsed.fields))
}

/// A name where it stands, unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct ActionLine {
    action: Action,
    fields: ActionFields,
}

impl<'de> Deserialize<'de> for ActionLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneAction;
        impl<'de> Visitor<'de> for OneAction {
            type Value = ActionLine;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one action: index, create, update or delete")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ActionLine, A::Error> {
                let Name(name) =
                    map.next_key()?.ok_or_else(|| A::Error::custom("expected an action, found an empty object"))?;
                let action = Action::from_name(&name).ok_or_else(|| {
                    A::Error::custom(format!(
                        "unknown action [{name}], expected one of [create, delete, index, update]"
                    ))
                })?;
                let fields = map.next_value()?;
                if let Some(Name(second)) = map.next_key()? {
                    return Err(A::Error::custom(format!("a second field [{second}] after the action")));
                }
                Ok(ActionLine { action, fields })
            }
        }
        deserializer.deserialize_map(OneAction)
    }
}

impl<'de> Deserialize<'de> for ActionFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = ActionFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of action fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ActionFields, A::Error> {
                let mut fields = ActionFields::default();
                let mut version = None;
                while let Some(Name(name)) = map.next_key()? {
                    let place = match &*name {
                        "_index" => &mut fields.index,
                        "_id" => &mut fields.id,
                        "routing" => &mut fields.routing,
                        "_type" => &mut fields.doc_type,
                        "if_seq_no" => &mut fields.if_seq_no,
                        "if_primary_term" => &mut fields.if_primary_term,
                        "version_type" => &mut fields.version_type,
                        "version" => &mut version,
                        "pipeline" => {
                            fields.others.push(name.clone().into_owned());
                            &mut fields.pipeline
                        }
                        "_source" => {
                            let asked = map.next_value::<Option<&RawValue>>()?.map(|raw| raw.get().to_owned());
                            if fields.others.iter().any(|other| *other == name) {
                                return Err(duplicate(&name));
                            }
                            fields.asked_source = asked;
                            fields.others.push(name.into_owned());
                            continue;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            fields.others.push(name.into_owned());
                            continue;
                        }
                    };
                    let text = scalar_text(&name, map.next_value::<Option<&RawValue>>()?)?;
                    if text.is_some() && place.is_some() {
                        return Err(duplicate(&name));
                    }
                    if text.is_some() {
                        *place = text;
                    }
                }
                fields.version = version.map(|text| external_version(&text)).transpose()?;
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A version by its digits. Elasticsearch takes `8.5` for 8, and a number below zero for none at all: nobody means that.
fn external_version<E: Error>(text: &str) -> Result<u64, E> {
    let version = text.parse().ok().filter(|version| i64::try_from(*version).is_ok());
    version.ok_or_else(|| E::custom(format!("field [version] must be a whole number from 0 to 2^63-1, not [{text}]")))
}

fn duplicate<E: Error>(name: &str) -> E {
    E::custom(format!("field [{name}] stands twice"))
}

/// A string, or a number by its digits; `null` is as good as absent (as in Elasticsearch's `BulkRequestParser`).
fn scalar_text<E: Error>(name: &str, value: Option<&RawValue>) -> Result<Option<String>, E> {
    let Some(raw) = value.map(RawValue::get) else { return Ok(None) };
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map(Some).map_err(E::custom),
        Some(b'-' | b'0'..=b'9') => Ok(Some(raw.to_owned())),
        _ => Err(E::custom(format!("field [{name}] must be a string or a number"))),
    }
}
