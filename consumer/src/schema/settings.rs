//! Which settings of a primary's index its target gets.
//!
//! What is left out is private to a cluster: names and numbers that the server gives itself, where shards may live, what
//! is done with an index over time (that begins with promotion), what the server of a target may not know.

use std::collections::BTreeMap;

use serde_json::Value;
use understudy_common::{
    config::index_settings::{DEFINING, SHAPE, full_name, is_below},
    schema::IndexSchema,
};

/// A target's tombstones must outlive whatever is delivered late; their default is a minute.
const GC_DELETES: (&str, &str) = ("index.gc_deletes", "1d");

/// Left out, each with everything below it.
const PRIVATE: [&str; 33] = [
    // The server's own.
    "index.uuid",
    "index.creation_date",
    "index.creation_date_string",
    "index.provided_name",
    "index.version",
    "index.history",
    "index.history_uuid",
    "index.number_of_routing_shards",
    "index.verified_before_close",
    // Where shards live, and how many must be there.
    "index.routing.allocation",
    "index.routing.rebalance",
    "index.allocation",
    "index.unassigned",
    "index.write.wait_for_active_shards",
    "index.data_path",
    "index.store",
    "index.shard.check_on_startup",
    // How the primary's index came to be, and what it is kept from.
    "index.resize",
    "index.shrink",
    "index.split",
    "index.blocks",
    "index.frozen",
    "index.search.throttled",
    // What happens to an index over time. A target's copy is never rolled over or deleted by itself.
    "index.lifecycle",
    "index.plugins",
    "index.opendistro",
    "index.xpack",
    // Effects hold what pipelines made; running them again would change it.
    "index.default_pipeline",
    "index.final_pipeline",
    // Refused or meaningless on other servers.
    "index.soft_deletes",
    "index.translog",
    "index.replication",
    "index.remote_store",
];

fn is_private(name: &str) -> bool {
    PRIVATE.iter().any(|private| is_below(name, private))
}

/// Whether a target that does not know a setting of the primary's may do without: it tunes, and decides neither what the
/// index takes nor where. What the configuration asks for is never left out.
pub(super) fn may_be_left_out(name: &str, schema: &IndexSchema, overrides: &BTreeMap<String, String>) -> bool {
    schema.settings.keys().any(|known| full_name(known) == name)
        && !overrides.keys().any(|known| full_name(known) == name)
        && !SHAPE.iter().chain(&DEFINING).any(|parent| is_below(name, parent))
}

/// The settings with which a target's index is created. An override with an empty value leaves a setting out.
///
/// `left_out`: what the target does not know.
pub(super) fn for_target(
    schema: &IndexSchema,
    overrides: &BTreeMap<String, String>,
    left_out: &[String],
) -> BTreeMap<String, Value> {
    let mut settings: BTreeMap<String, Value> = schema
        .settings
        .iter()
        .map(|(name, value)| (full_name(name), value.clone()))
        .filter(|(name, _)| !is_private(name) && !left_out.contains(name))
        .collect();
    settings.insert("index.number_of_routing_shards".into(), schema.routing_num_shards.into());
    settings.insert(GC_DELETES.0.into(), GC_DELETES.1.into());
    settings.extend(no_pipelines());
    for (name, value) in overrides {
        let name = full_name(name);
        if SHAPE.contains(&name.as_str()) {
            continue;
        }
        if value.is_empty() {
            settings.remove(&name);
        } else {
            settings.insert(name, value.clone().into());
        }
    }
    settings
}

/// The settings that an index gets that was there before us.
pub(super) fn for_adopted(overrides: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let gc_deletes = overrides
        .iter()
        .find(|(name, value)| full_name(name) == GC_DELETES.0 && !value.is_empty())
        .map_or(GC_DELETES.1, |(_, value)| value);
    let mut settings = BTreeMap::from([(GC_DELETES.0.to_owned(), gc_deletes.into())]);
    settings.extend(no_pipelines());
    settings
}

/// Effects hold what pipelines made: a template of the target, or what an adopted index had, must not run one again.
fn no_pipelines() -> [(String, Value); 2] {
    ["index.default_pipeline", "index.final_pipeline"].map(|name| (name.to_owned(), "_none".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_stays_and_overrides_lie_on_top() {
        let mut schema = super::super::tests::schema(1, "{}");
        schema.settings = serde_json::from_value(serde_json::json!({
            "index.number_of_shards": "3", "index.number_of_replicas": "2", "index.uuid": "u",
            "index.version.created": "7100299", "index.provided_name": "i", "index.creation_date": "1",
            "index.routing.allocation.include._tier_preference": "data_content", "index.default_pipeline": "p",
            "index.analysis.analyzer.a.type": "custom", "index.refresh_interval": "5s", "index.versioned": "kept",
            "index.codec": "best_compression", "index.max_adjacency_matrix_filters": "7"
        }))
        .unwrap();
        let overrides = BTreeMap::from([
            ("number_of_replicas".to_owned(), "0".to_owned()),
            ("index.refresh_interval".to_owned(), "30s".to_owned()),
            ("number_of_shards".to_owned(), "9".to_owned()),
            ("codec".to_owned(), String::new()),
        ]);
        assert_eq!(
            serde_json::to_value(for_target(&schema, &overrides, &["index.max_adjacency_matrix_filters".to_owned()]))
                .unwrap(),
            serde_json::json!({
                "index.analysis.analyzer.a.type": "custom", "index.gc_deletes": "1d",
                "index.default_pipeline": "_none", "index.final_pipeline": "_none",
                "index.number_of_replicas": "0", "index.number_of_routing_shards": 1024,
                "index.number_of_shards": "3", "index.refresh_interval": "30s", "index.versioned": "kept"
            })
        );
    }

    #[test]
    fn only_what_tunes_may_be_left_out() {
        let mut schema = super::super::tests::schema(1, "{}");
        schema.settings = serde_json::from_value(serde_json::json!({
            "index.max_adjacency_matrix_filters": "7", "index.mapping.total_fields.limit": "9", "index.codec": "x",
            "index.analysis.analyzer.a.type": "custom", "index.number_of_shards": "1"
        }))
        .unwrap();
        let overrides = BTreeMap::from([("codec".to_owned(), "y".to_owned())]);
        for (name, may) in [
            ("index.max_adjacency_matrix_filters", true),
            ("index.mapping.total_fields.limit", false),
            ("index.analysis.analyzer.a.type", false),
            ("index.number_of_shards", false),
            ("index.codec", false),
            ("index.gc_deletes", false),
        ] {
            assert_eq!(may_be_left_out(name, &schema, &overrides), may, "{name}");
        }
    }
}
