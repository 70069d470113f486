//! What a client asked the reply of a write to look like: `_source` of updates, `filter_path`, `pretty`. The primary is asked
//! for the whole reply, because the gateway reads it; so the gateway cuts and indents as Elasticsearch does.

mod filter_path;
mod paths;
mod positions;
mod pretty;
pub(crate) mod scan;
mod source;
mod updates;

use bytes::Bytes;
pub use filter_path::FilterPath;
pub use positions::without_positions;
use serde_json::{Value, value::RawValue};
pub use source::AskedSource;
pub use updates::UpdateReplies;

use crate::{refusal::Refusal, route::Query};

/// The shape of a reply.
#[derive(Clone, Debug, Default)]
pub struct ReplyShape {
    /// What updates answer of their documents.
    pub updates: UpdateReplies,
    filter_path: Option<FilterPath>,
    pretty: bool,
}

impl ReplyShape {
    /// Takes the parameters that shape a reply out of a query.
    ///
    /// # Errors
    /// When another format than JSON is asked for.
    pub fn take(query: &mut Query) -> Result<Self, Refusal> {
        if let Some(format) = query.take("format").filter(|format| format != "json") {
            return Err(Refusal::not_acceptable(format!("a write is answered in JSON only, not in [{format}]")));
        }
        let filter_path = query.take("filter_path").map(|text| FilterPath::parse(&text)).transpose()?;
        let filter_path = filter_path.filter(|filter| !filter.is_empty());
        // `human` changes durations and sizes, of which the reply of a write has none.
        query.take_flag("human")?;
        // Errors with their stack traces. Elasticsearch 7.10 never answers when the value is neither of both.
        if query.take_flag("error_trace")? {
            query.put("error_trace", "true");
        }
        Ok(Self { updates: UpdateReplies::None, filter_path, pretty: query.take_flag("pretty")? })
    }

    /// Whether replies stay byte for byte.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.updates.is_none() && self.filter_path.is_none() && !self.pretty
    }

    /// Gives a JSON body its shape; what is no JSON stays as it is.
    #[must_use]
    pub fn apply(&self, body: &Bytes) -> Bytes {
        let body = &self.updates.apply(body);
        if self.filter_path.is_none() && !self.pretty {
            return body.clone();
        }
        if serde_json::from_slice::<&RawValue>(body).is_err() {
            return body.clone();
        }
        // Elasticsearch cuts no errors (`RestChannel.newErrorBuilder`).
        let is_error = ["error", "status"].iter().all(|name| updates::field(body, name).is_some());
        match &self.filter_path {
            Some(filter) if !is_error => self.indent(filter.apply(body)),
            _ => self.indent(body.to_vec()),
        }
    }

    /// Prints an error of the gateway's own: indented where asked for, never cut, so that its reason is seen.
    #[must_use]
    pub fn print(&self, value: &Value) -> Bytes {
        self.indent(value.to_string().into_bytes())
    }

    fn indent(&self, json: Vec<u8>) -> Bytes {
        Bytes::from(if self.pretty { pretty::print(&json) } else { json })
    }
}
