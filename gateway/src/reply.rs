//! What a client asked the reply of a write to look like: `filter_path`, `pretty`. The primary is asked for the whole
//! reply, because the gateway reads it; so the gateway cuts and indents as Elasticsearch does.

mod filter_path;
mod pretty;

use bytes::Bytes;
pub use filter_path::FilterPath;
use serde_json::Value;

use crate::{refusal::Refusal, route::Query};

/// The shape of a reply.
#[derive(Clone, Debug, Default)]
pub struct ReplyShape {
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
        let filter_path = query.take("filter_path").map(|text| FilterPath::parse(&text)).filter(|f| !f.is_empty());
        // `human` changes durations and sizes, of which the reply of a write has none.
        query.take("human");
        Ok(Self { filter_path, pretty: query.take_flag("pretty")? })
    }

    /// Whether replies stay byte for byte.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.filter_path.is_none() && !self.pretty
    }

    /// Gives a JSON body its shape; what is no JSON stays as it is.
    #[must_use]
    pub fn apply(&self, body: &Bytes) -> Bytes {
        if self.is_plain() {
            return body.clone();
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return body.clone() };
        // Elasticsearch cuts no errors (`RestChannel.newErrorBuilder`).
        let is_error = value.get("error").is_some() && value.get("status").is_some();
        if let Some(filter) = self.filter_path.as_ref().filter(|_| !is_error) {
            value = filter.apply(&value);
        }
        self.print(&value)
    }

    /// Prints an error of the gateway's own: indented where asked for, never cut, so that its reason is seen.
    #[must_use]
    pub fn print(&self, value: &Value) -> Bytes {
        Bytes::from(if self.pretty { pretty::print(value) } else { value.to_string() })
    }
}
