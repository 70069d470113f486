//! What is to be done with an index of the target. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use understudy_common::schema::IndexSchema;

use super::settings;

/// The fields of a mapping.
pub type Mappings = BTreeMap<String, Box<RawValue>>;

/// An index as the target has it.
#[derive(Debug, Deserialize)]
pub struct TargetIndex {
    /// Mapping.
    #[serde(default)]
    pub mappings: Mappings,
    /// Flat settings.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
}

/// What is to be done with an index that is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is ours: extend its mapping.
    Extend,
    /// It has no label: make it ours. What differs in mappings is named.
    Adopt(Vec<String>),
    /// It was made from another incarnation.
    Differs(String),
}

#[derive(Deserialize, Serialize)]
struct Label {
    uuid: String,
}

/// Name of our label within `_meta`.
const LABEL: &str = "understudy";

/// Decides what to do with an index that is there.
#[must_use]
pub fn plan(target: &TargetIndex, schema: &IndexSchema) -> Plan {
    match label(&target.mappings) {
        Some(uuid) if *uuid == *schema.uuid => Plan::Extend,
        Some(uuid) => Plan::Differs(uuid),
        None => Plan::Adopt(differences(schema, target)),
    }
}

fn label(mappings: &Mappings) -> Option<String> {
    let meta: BTreeMap<String, Box<RawValue>> = serde_json::from_str(mappings.get("_meta")?.get()).ok()?;
    serde_json::from_str::<Label>(meta.get(LABEL)?.get()).ok().map(|label| label.uuid)
}

/// The mapping for the target: the primary's, with our label in its `_meta`.
#[must_use]
pub fn mappings(schema: &IndexSchema) -> Mappings {
    let mut mappings = schema.mappings.clone();
    let mut meta: Mappings =
        mappings.get("_meta").and_then(|meta| serde_json::from_str(meta.get()).ok()).unwrap_or_default();
    if let Ok(label) = to_raw_value(&Label { uuid: schema.uuid.to_string() }) {
        meta.insert(LABEL.to_owned(), label);
    }
    if let Ok(meta) = to_raw_value(&meta) {
        mappings.insert("_meta".to_owned(), meta);
    }
    mappings
}

/// The body that creates the index, without settings that the target does not know.
#[must_use]
pub fn create_body(schema: &IndexSchema, overrides: &BTreeMap<String, String>, left_out: &[String]) -> Bytes {
    #[derive(Serialize)]
    struct Create {
        settings: BTreeMap<String, Value>,
        mappings: Mappings,
    }
    json(&Create { settings: settings::for_target(schema, overrides, left_out), mappings: mappings(schema) })
}

/// The setting that the target does not know and can do without, where that is why it refused to create the index.
#[must_use]
pub fn unknown_setting(reason: &str, schema: &IndexSchema, overrides: &BTreeMap<String, String>) -> Option<String> {
    // `AbstractScopedSettings.validate` of every version: "unknown setting [index.x] please check …", "… did you mean …".
    let (name, _) = reason.strip_prefix("unknown setting [")?.split_once(']')?;
    settings::may_be_left_out(name, schema, overrides).then(|| name.to_owned())
}

/// The body that extends its mapping.
#[must_use]
pub fn mapping_body(schema: &IndexSchema) -> Bytes {
    json(&mappings(schema))
}

/// The body with the settings that an adopted index must have.
#[must_use]
pub fn adopted_settings_body(overrides: &BTreeMap<String, String>) -> Bytes {
    json(&settings::for_adopted(overrides))
}

fn json(value: &impl Serialize) -> Bytes {
    // Maps with texts as keys can always be written.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// What differs between the primary's index and the target's, a line each, and not too many.
fn differences(schema: &IndexSchema, target: &TargetIndex) -> Vec<String> {
    const NAMED: usize = 20;
    let (primary, mine) = (fields(&schema.mappings), fields(&target.mappings));
    let names: BTreeSet<&String> = primary.keys().chain(mine.keys()).collect();
    let mut differences: Vec<String> = names
        .into_iter()
        .filter_map(|name| match (primary.get(name), mine.get(name)) {
            (Some(a), Some(b)) if a == b => None,
            (Some(a), Some(b)) => Some(format!("{name}: {a} on the primary, {b} on the target")),
            (Some(a), None) => Some(format!("{name}: {a} on the primary only")),
            (None, b) => Some(format!("{name}: {} on the target only", b.map_or("", String::as_str))),
        })
        .collect();
    let text = |settings: &BTreeMap<String, Value>| settings.get("index.number_of_shards").map(Value::to_string);
    let (a, b) = (text(&schema.settings), text(&target.settings));
    if a != b {
        differences.push(format!("number_of_shards: {a:?} on the primary, {b:?} on the target"));
    }
    if differences.len() > NAMED {
        let more = differences.len() - NAMED;
        differences.truncate(NAMED);
        differences.push(format!("and {more} more"));
    }
    differences
}

/// Every field by its path, with all its parameters as text.
fn fields(mappings: &Mappings) -> BTreeMap<String, String> {
    fn walk(path: &str, properties: &Value, fields: &mut BTreeMap<String, String>) {
        let Some(properties) = properties.as_object() else { return };
        for (name, field) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let Some(field) = field.as_object() else { continue };
            let mut parameters: BTreeMap<&String, &Value> = field.iter().collect();
            if let Some(inner) = parameters.remove(&"properties".to_owned()) {
                walk(&path, inner, fields);
            }
            if !parameters.is_empty() {
                fields.insert(path, serde_json::to_string(&parameters).unwrap_or_default());
            }
        }
    }
    let mut all = BTreeMap::new();
    for (name, raw) in mappings {
        match name.as_str() {
            "_meta" => {}
            "properties" => {
                walk("", &serde_json::from_str(raw.get()).unwrap_or_default(), &mut all);
            }
            _ => {
                let value: Value = serde_json::from_str(raw.get()).unwrap_or_default();
                all.insert(format!("[{name}]"), value.to_string());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::schema;

    fn target(mappings: &str) -> TargetIndex {
        TargetIndex { mappings: serde_json::from_str(mappings).unwrap(), settings: BTreeMap::new() }
    }

    #[test]
    fn a_label_decides_what_to_do() {
        let schema = schema(1, "{}");
        assert_eq!(plan(&target("{\"_meta\":{\"understudy\":{\"uuid\":\"u\"}}}"), &schema), Plan::Extend);
        assert_eq!(plan(&target("{\"_meta\":{\"understudy\":{\"uuid\":\"v\"}}}"), &schema), Plan::Differs("v".into()));
        assert_eq!(plan(&target("{\"_meta\":{\"other\":1}}"), &schema), Plan::Adopt(vec![]));
    }

    #[test]
    fn the_label_lies_beside_what_the_primary_has_in_meta() {
        let schema =
            schema(1, "{\"_meta\":{\"owner\":1.10},\"dynamic\":\"false\",\"properties\":{\"a\":{\"type\":\"long\"}}}");
        let mut body: Value = serde_json::from_slice(&mapping_body(&schema)).unwrap();
        assert_eq!(body["_meta"].take().to_string(), "{\"owner\":1.1,\"understudy\":{\"uuid\":\"u\"}}");
        assert_eq!(body["dynamic"], "false");
        assert!(String::from_utf8_lossy(&mapping_body(&schema)).contains("1.10"), "as it stands");
    }

    #[test]
    fn a_setting_that_the_target_does_not_know_is_found_in_its_refusal() {
        let mut schema = schema(1, "{}");
        schema.settings = BTreeMap::from([("index.warmer.enabled".into(), true.into())]);
        let unknown = |reason: &str| unknown_setting(reason, &schema, &BTreeMap::new());
        let said = "unknown setting [index.warmer.enabled] please check that any required plugins are installed";
        assert_eq!(unknown(said).as_deref(), Some("index.warmer.enabled"));
        assert_eq!(unknown("unknown setting [index.other] did you mean [index.codec]?"), None, "not the primary's");
        assert_eq!(unknown("Failed to parse value [x] for setting [index.warmer.enabled]"), None);
    }

    #[test]
    fn differences_are_named_by_field() {
        let schema = schema(
            1,
            "{\"dynamic\":\"strict\",\"properties\":{\"a\":{\"type\":\"long\"},\"o\":{\"properties\":{\"b\":{\"type\":\"text\"}}}}}",
        );
        let target = target(
            "{\"properties\":{\"a\":{\"type\":\"float\"},\"c\":{\"type\":\"date\"},\"o\":{\"properties\":{\"b\":{\"type\":\"text\"}}}}}",
        );
        let Plan::Adopt(differences) = plan(&target, &schema) else { panic!() };
        assert_eq!(
            differences,
            [
                "[dynamic]: \"strict\" on the primary only",
                "a: {\"type\":\"long\"} on the primary, {\"type\":\"float\"} on the target",
                "c: {\"type\":\"date\"} on the target only",
            ]
        );
    }
}
