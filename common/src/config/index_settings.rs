//! `[clusters.<name>.index_settings]`: what indices get on a target instead of the primary's settings, and what they may not
//! get, because the copy would not be one.

use std::collections::BTreeMap;

use super::{reader::Section, units};

/// Settings that decide in which shard a document lives: the primary's, and nobody else's.
pub const SHAPE: [&str; 3] =
    ["index.number_of_shards", "index.number_of_routing_shards", "index.routing_partition_size"];

/// A setting's name with `index.` in front.
#[must_use]
pub fn full_name(name: &str) -> String {
    if name.starts_with("index.") { name.to_owned() } else { format!("index.{name}") }
}

/// Whether a setting has this name, or lies below it.
#[must_use]
pub fn is_below(name: &str, parent: &str) -> bool {
    name.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Settings that decide what an index takes, and what is found in it. A target must know them as the primary does.
pub const DEFINING: [&str; 9] = [
    "index.mapping",
    "index.mapper",
    "index.analysis",
    "index.similarity",
    "index.sort",
    "index.mode",
    "index.routing_path",
    "index.time_series",
    "index.knn",
];

const PIPELINES: [&str; 2] = ["index.default_pipeline", "index.final_pipeline"];

/// What a server gives itself, or what would keep an index from being written.
const NOBODYS: [&str; 12] = [
    "index.uuid",
    "index.version",
    "index.creation_date",
    "index.creation_date_string",
    "index.provided_name",
    "index.history",
    "index.resize",
    "index.verified_before_close",
    "index.soft_deletes",
    "index.frozen",
    "index.append_only",
    "index.blocks",
];

const GC_DELETES: &str = "index.gc_deletes";
const LEAST_GC_DELETES: &str = "1h";

pub(super) fn read(section: Section<'_>) -> BTreeMap<String, String> {
    let (path, errors) = (section.path.clone(), section.errors);
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    let mut given = BTreeMap::new();
    for (name, value) in section.into_texts(str::to_owned, |_| false) {
        let (key, full) = (format!("{path}.{name}"), full_name(&name));
        if let Some(why) = refused(&full, &value) {
            errors.note(&key, why);
        }
        if let Some(other) = given.insert(full.clone(), name.clone()) {
            errors.note(&key, format!("is the same setting as {other}, which stands here as well"));
        }
        settings.insert(name, value);
    }
    settings
}

/// Why a target must not have this setting.
fn refused(name: &str, value: &str) -> Option<String> {
    let below = |parents: &[&str]| parents.iter().any(|parent| is_below(name, parent));
    if below(&SHAPE) {
        return Some("is the primary's: with another value documents would fall into other shards".to_owned());
    }
    if below(&PIPELINES) {
        return Some(
            "is always \"_none\" on a target: effects hold what the primary's pipelines made, and another one would change it"
                .to_owned(),
        );
    }
    if below(&DEFINING) {
        return Some(
            "is the primary's: with another value the target would refuse documents that the primary takes, or find others"
                .to_owned(),
        );
    }
    if below(&NOBODYS) {
        return Some("is the server's own, or keeps an index from being written: remove it".to_owned());
    }
    match name {
        GC_DELETES if !value.is_empty() => {
            // Elasticsearch's units are ours, and a few more that nobody needs here.
            let least = units::duration(LEAST_GC_DELETES);
            (units::duration(value) < least).then(|| {
                format!(
                    "must be a duration from \"{LEAST_GC_DELETES}\" on (default \"1d\"), not {value:?}: a target that forgets deletes sooner may let a deleted document rise again"
                )
            })
        }
        GC_DELETES => Some("must be a duration: without it a target forgets deletes after a minute".to_owned()),
        "index.number_of_replicas" if value.parse::<u16>().is_err() && !value.is_empty() => {
            Some(format!("must be a whole number from 0 on, not {value:?}"))
        }
        "index.auto_expand_replicas" if !is_range(value) && !value.is_empty() => {
            Some(format!("must be \"false\", or from and to such as \"0-1\" or \"0-all\", not {value:?}"))
        }
        _ => None,
    }
}

fn is_range(value: &str) -> bool {
    let number = |text: &str| text.parse::<u16>().ok();
    value == "false"
        || value.split_once('-').is_some_and(|(from, to)| match (number(from), number(to)) {
            (Some(from), Some(to)) => from <= to,
            (Some(_), None) => to == "all",
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_make_another_index_is_refused_and_the_rest_is_the_operators() {
        for (name, value, wanted) in [
            ("number_of_shards", "3", "other shards"),
            ("index.routing_partition_size", "2", "other shards"),
            ("default_pipeline", "p", "_none"),
            ("final_pipeline", "", "_none"),
            ("mapping.total_fields.limit", "10", "the primary's"),
            ("analysis.analyzer.default.type", "simple", "the primary's"),
            ("similarity.default.type", "boolean", "the primary's"),
            ("sort.field", "a", "the primary's"),
            ("blocks.write", "true", "remove it"),
            ("version.created", "1", "remove it"),
            ("gc_deletes", "0s", "rise again"),
            ("gc_deletes", "60s", "rise again"),
            ("gc_deletes", "-1", "rise again"),
            ("gc_deletes", "", "must be a duration"),
            ("number_of_replicas", "many", "whole number"),
            ("auto_expand_replicas", "true", "0-all"),
            ("auto_expand_replicas", "2-1", "0-all"),
        ] {
            let why = refused(&full_name(name), value).unwrap_or_default();
            assert!(why.contains(wanted), "{name} = {value}: {why:?}");
        }
        for (name, value) in [
            ("number_of_replicas", "0"),
            ("auto_expand_replicas", "0-all"),
            ("auto_expand_replicas", "1-3"),
            ("auto_expand_replicas", "false"),
            ("routing.allocation.require.zone", "b"),
            ("routing.allocation.total_shards_per_node", "2"),
            ("refresh_interval", "-1"),
            ("codec", "best_compression"),
            ("mappings", "x"),
            ("sorted", "x"),
            ("gc_deletes", "12h"),
            ("refresh_interval", ""),
        ] {
            assert_eq!(refused(&full_name(name), value), None, "{name} = {value}");
        }
    }
}
