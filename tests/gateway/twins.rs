//! The same requests to the primary directly and through a gateway, on two indices that begin alike.

use std::time::Duration;

use serde_json::{Value, json};
use understudy_tests::{Http, Process, Reply, Stage, eventually};

/// Method, path below the index, body.
pub type Call<'a> = (&'a str, &'a str, &'a str);

/// Two indices of which the one is written through a gateway only, and the other directly.
pub struct Twins {
    direct: Http,
    through: Http,
    /// Written through the gateway.
    pub ours: String,
    /// Written directly.
    pub theirs: String,
}

impl Twins {
    /// Two indices that are not there yet.
    pub fn new(stage: &Stage, gateway: &Process) -> Self {
        let (ours, theirs) = (stage.index("ours"), stage.index("theirs"));
        Self { direct: stage.primary(), through: stage.through(gateway), ours, theirs }
    }

    /// Creates both, with fields of any kind, of which their mappings say nothing, and an alias of each.
    pub async fn create_unread(&self, stage: &Stage) {
        for index in [&self.ours, &self.theirs] {
            let body = json!({"mappings": {"enabled": false}, "aliases": {format!("{index}-alias"): {}}});
            stage.primary().put(&format!("/{index}"), body.to_string()).await.expect(200);
        }
    }

    /// Makes a request of both; what replies and `Location` say must be the same, and must look the same where nothing was
    /// filtered: Elasticsearch loses the order of fields then.
    pub async fn same(&self, (method, path, body): Call<'_>, looks: bool) -> Reply {
        let wanted = ask(&self.direct, &self.theirs, (method, path, body)).await;
        // Other tests move the cluster state, and a conflict while it moves is not believed.
        let rested = async || {
            let got = ask(&self.through, &self.ours, (method, path, body)).await;
            Some(got).filter(|got| got.error_type() != "outcome_unknown_exception")
        };
        let got = eventually(Duration::from_secs(20), path, rested).await;
        let said = format!("{method} {path} {body}\n{got}\n{wanted}");
        assert_eq!(meaning(&got, &self.ours), meaning(&wanted, &self.theirs), "{said}");
        assert!(!looks || shape(&got, &self.ours) == shape(&wanted, &self.theirs), "{said}");
        assert_eq!(
            got.header("location").replace(&self.ours, "INDEX"),
            wanted.header("location").replace(&self.theirs, "INDEX")
        );
        assert!(!got.header("understudy-request-id").is_empty(), "{said}");
        got
    }

    /// What both indices hold by now, by id.
    pub async fn documents(&self) -> (Value, Value) {
        let held = async |index: &str| {
            self.direct.post(&format!("/{index}/_refresh"), "").await.expect(200);
            let found = self.direct.get(&format!("/{index}/_search?size=1000&version=true")).await.expect(200);
            let text = found.text().replace(index, "INDEX");
            let mut found: Value = serde_json::from_str(&text).expect("JSON");
            let hits = found["hits"]["hits"].as_array_mut().expect("hits");
            hits.sort_by_key(|hit| hit["_id"].to_string());
            found["hits"]["hits"].take()
        };
        (held(&self.ours).await, held(&self.theirs).await)
    }
}

async fn ask(http: &Http, index: &str, (method, path, body): Call<'_>) -> Reply {
    let mut call = http.request(method, &address(index, path));
    if !body.is_empty() {
        call = call.body(body.replace("INDEX", index));
    }
    call.reply().await
}

/// Status and body without what must differ between two indices and two moments.
fn meaning(reply: &Reply, index: &str) -> (u16, Value) {
    let text = reply.text().replace(index, "INDEX");
    let mut value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    blur(&mut value);
    (reply.status, value)
}

fn blur(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match name.as_str() {
                    "took" | "ingest_took" => *field = json!(0),
                    "index_uuid" => *field = json!("UUID"),
                    _ => blur(field),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(blur),
        _ => {}
    }
}

/// The order of fields, and the line breaks and spaces between them.
fn shape(reply: &Reply, index: &str) -> String {
    let text = reply.text().replace(index, "INDEX");
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut names = String::new();
    collect_names(&value, &mut names);
    let tokens: String = text.chars().filter(|c| c.is_whitespace() || "{}[],:".contains(*c)).collect();
    format!("{names}{tokens}")
}

fn collect_names(value: &Value, names: &mut String) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| {
            names.push_str(name);
            names.push(' ');
            collect_names(field, names);
        }),
        Value::Array(values) => values.iter().for_each(|value| collect_names(value, names)),
        _ => {}
    }
}

/// `../` in front of a path leaves the index.
fn address(index: &str, path: &str) -> String {
    match path.strip_prefix("../") {
        Some(elsewhere) => format!("/{}", elsewhere.replace("INDEX", index)),
        None => format!("/{index}/{path}"),
    }
}
