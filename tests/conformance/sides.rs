//! The two sides: Elasticsearch itself, and the gateway before it, with an index each whose histories are the same.

use std::time::Duration;

use serde_json::json;
use understudy_tests::{Http, Process, Reply, Stage, try_eventually};

use crate::request::Request;

/// Both sides.
pub struct Sides {
    /// Elasticsearch itself.
    pub direct: Http,
    /// The gateway.
    pub through: Http,
    /// The index that is written through the gateway.
    pub ours: String,
    /// The index that is written directly: a name as long as the other.
    pub theirs: String,
}

const UNKNOWN: &str = "outcome_unknown_exception";
const SOON: Duration = Duration::from_secs(5);

impl Sides {
    /// Two indices of an area, which are not there yet.
    pub fn new(stage: &Stage, gateway: &Process, area: &str) -> Self {
        Self {
            direct: stage.primary(),
            through: stage.through(gateway),
            ours: stage.index(&format!("{area}-ours")),
            theirs: stage.index(&format!("{area}-that")),
        }
    }

    /// Creates both, directly, with an alias each, and one of two indices that takes no writes.
    pub async fn create(&self) {
        for index in [&self.ours, &self.theirs] {
            let aliases = json!({format!("{index}-alias"): {}, format!("{index}-two"): {}});
            let properties = json!({"n": {"type": "long"}, "k": {"type": "keyword"}, "d": {"type": "date"},
                "o": {"type": "object", "enabled": false}, "x": {"type": "text"}});
            let body = json!({"mappings": {"properties": properties}, "aliases": aliases});
            self.direct.put(&format!("/{index}"), body.to_string()).await.expect(200);
            let other = json!({"aliases": {format!("{index}-two"): {}}, "mappings": {"properties": {}}});
            self.direct.put(&format!("/{index}-other"), other.to_string()).await.expect(200);
        }
    }

    /// Asks Elasticsearch, then the gateway: a conflict while the state of the cluster moves is asked anew.
    pub async fn ask(&self, request: &Request) -> (Reply, Reply) {
        let wanted = ask(&self.direct, &self.theirs, request).await;
        (wanted, self.ask_gateway(request).await)
    }

    /// Asks the gateway alone.
    pub async fn ask_gateway(&self, request: &Request) -> Reply {
        let known = request.known.as_ref().is_some_and(|known| known.kind == UNKNOWN);
        let mut last = None;
        let rested = async || {
            let got = last.insert(ask(&self.through, &self.ours, request).await);
            known || got.error_type() != UNKNOWN
        };
        // What stays unknown is a difference.
        let _ = try_eventually(SOON, rested).await;
        last.unwrap_or_else(|| panic!("{} is not answered within {SOON:?}", request.path))
    }
}

async fn ask(http: &Http, index: &str, request: &Request) -> Reply {
    let mut call = http.request(&request.method, &request.path.replace("INDEX", index));
    for (name, value) in &request.headers {
        call = call.header(name, value);
    }
    if let Some(body) = request.sent(index) {
        call = call.body(body);
    }
    call.reply().await
}
