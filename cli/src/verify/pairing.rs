//! Which cluster is compared with which.

use understudy_common::config::{ClusterConfig, Config, IndexPattern};

/// A primary and one of its targets.
pub struct Pair {
    /// The placement.
    pub placement: String,
    /// Its indices.
    pub indices: IndexPattern,
    /// The primary.
    pub primary: String,
    /// Where the primary is.
    pub primary_config: ClusterConfig,
    /// The target.
    pub target: String,
    /// Where the target is.
    pub target_config: ClusterConfig,
}

/// Every pair of the configuration, or those of one placement or one target.
pub fn pairs(config: &Config, placement: Option<&str>, target: Option<&str>) -> Result<Vec<Pair>, String> {
    let wanted = |name: &str, only: Option<&str>| only.is_none_or(|only| only == name);
    let placements: Vec<_> = config.placements.iter().filter(|known| wanted(&known.name, placement)).collect();
    if placements.is_empty() {
        let known: Vec<_> = config.placements.iter().map(|known| known.name.as_str()).collect();
        return Err(format!(
            "--placement: must be one of {}, not {:?}",
            known.join(", "),
            placement.unwrap_or_default()
        ));
    }
    let pair = |placement: &understudy_common::config::PlacementConfig, target: &str| Pair {
        placement: placement.name.clone(),
        indices: placement.indices.clone(),
        primary: placement.primary.clone(),
        primary_config: config.clusters[&placement.primary].clone(),
        target: target.to_owned(),
        target_config: config.clusters[target].clone(),
    };
    let all = placements.iter().flat_map(|placement| placement.targets.iter().map(|name| (*placement, name)));
    let pairs: Vec<_> =
        all.clone().filter(|(_, name)| wanted(name, target)).map(|(placement, name)| pair(placement, name)).collect();
    if pairs.is_empty() {
        let known: Vec<_> = all.map(|(_, name)| name.as_str()).collect();
        return Err(format!("--target: must be one of {}, not {:?}", known.join(", "), target.unwrap_or_default()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const CONFIG: &str = r#"
kafka = { bootstrap_servers = "k:9092" }
clusters = { a = { urls = "http://a:9200" }, b = { urls = "http://b:9200" } }
placements = [{ name = "all", indices = "*", primary = "a", targets = "b" }]
"#;

    #[test]
    fn unknown_names_are_told_the_known_ones() {
        let config = Config::parse(CONFIG, HashMap::new()).unwrap();
        assert_eq!(pairs(&config, None, None).unwrap().len(), 1);
        assert_eq!(pairs(&config, Some("all"), Some("b")).unwrap()[0].primary, "a");
        let error = |placement, target| pairs(&config, placement, target).err().unwrap();
        assert_eq!(error(Some("x"), None), "--placement: must be one of all, not \"x\"");
        assert_eq!(error(None, Some("a")), "--target: must be one of b, not \"a\"");
    }
}
