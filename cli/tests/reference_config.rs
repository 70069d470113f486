//! `deploy/understudy.toml` is the reference: it parses as it stands, knows every key, and tells the defaults truly.

use std::collections::{BTreeMap, HashMap};

use understudy_common::config::Config;

const REFERENCE: &str = include_str!("../../deploy/understudy.toml");

fn parse(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(text, HashMap::new()).map_err(|errors| errors.0)
}

/// Line by line, the section that a line belongs to.
fn by_section(text: &str) -> impl Iterator<Item = (String, &str)> {
    let mut section = String::new();
    text.lines().map(move |line| {
        let header = line.trim_start_matches('#').trim_start_matches('[');
        if let (true, Some(name)) = (line.trim_start_matches('#').starts_with('['), header.split(']').next()) {
            section = name.to_owned();
        }
        (section.clone(), line)
    })
}

/// The keys that a section of the reference shows, set or commented out.
fn shown_keys() -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (section, line) in by_section(REFERENCE) {
        // A key that is commented out stands right behind its `#`; prose has a space there.
        let Some((key, _)) = line.strip_prefix('#').unwrap_or(line).split_once(" = ") else { continue };
        if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            keys.entry(section).or_default().push(key.to_owned());
        }
    }
    keys
}

#[test]
fn it_parses_as_it_stands() {
    let config = parse(REFERENCE).unwrap_or_else(|errors| panic!("{}", errors.join("\n")));
    assert_eq!(config.kafka.bootstrap_servers, ["127.0.0.1:9092"]);
    assert_eq!(config.kafka.replication_factor, 1);
    assert_eq!(config.clusters["primary"].urls, ["http://127.0.0.1:9201"]);
    assert_eq!(config.clusters["backup"].urls, ["http://127.0.0.1:9202"]);
    assert_eq!(config.gateway.listen, "0.0.0.0:9200");
    assert_eq!((&*config.placements[0].primary, &config.placements[0].targets[0]), ("primary", &"backup".to_owned()));
}

#[test]
fn every_key_that_is_read_stands_in_it() {
    const PLANTED: &str = "planted_key";
    // A planted key makes each section tell which keys it knows.
    let mut planted = format!("{PLANTED} = 1\n");
    for line in REFERENCE.lines() {
        planted.push_str(line);
        planted.push('\n');
        if line.starts_with('[') && line != "[kafka.options]" {
            planted.push_str(&format!("{PLANTED} = 1\n"));
        }
    }
    let errors = parse(&planted).expect_err("a planted key is unknown");
    let shown = shown_keys();
    let tables: Vec<String> = by_section(REFERENCE).map(|(section, _)| section).collect();
    let mut sections = 0;
    for error in errors {
        let (key, known) = error.split_once(": unknown key; known here: ").unwrap_or_else(|| panic!("{error}"));
        let section = key.strip_suffix(PLANTED).unwrap().trim_end_matches('.').replace("[0]", "");
        sections += 1;
        for name in known.split(", ") {
            let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            // What one cluster shows need not be shown again with the other.
            let kin = |other: &String| {
                *other == section || section.starts_with("clusters.") && other.starts_with("clusters.")
            };
            let as_key = shown.iter().any(|(other, keys)| kin(other) && keys.iter().any(|shown| shown == name));
            let as_table = tables.iter().any(|table| {
                *table == path
                    || table.starts_with(&format!("{path}."))
                    || kin(&table.replace(&format!(".{name}"), "")) && table.ends_with(&format!(".{name}"))
            });
            assert!(as_key || as_table, "{path} is not in deploy/understudy.toml");
        }
    }
    // The root, two clusters, a placement, and eight more tables.
    assert_eq!(sections, 12);
}

#[test]
fn the_defaults_that_it_shows_are_the_defaults() {
    // Keys whose commented value is an example, because there is no default or it depends on the machine.
    const EXAMPLES: [&str; 16] = [
        "admin",
        "username",
        "password_file",
        "password",
        "ca_file",
        "cert_file",
        "key_file",
        "client_ca_file",
        "requests_per_second",
        "bytes_per_second",
        "number_of_replicas",
        "auto_expand_replicas",
        "refresh_interval",
        "unplaced_writes",
        "name",
        "min_insync_replicas",
    ];
    let uncommented: String = REFERENCE
        .lines()
        .map(|line| {
            let shown = line.strip_prefix('#').filter(|rest| {
                rest.split_once(" = ").is_some_and(|(key, _)| {
                    key.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !EXAMPLES.contains(&key)
                })
            });
            format!("{}\n", shown.unwrap_or(line))
        })
        .collect();
    assert_ne!(uncommented, REFERENCE);
    let shown = parse(&uncommented).unwrap_or_else(|errors| panic!("{}", errors.join("\n")));
    let default = parse(REFERENCE).unwrap();
    assert_eq!(format!("{:?}", shown.gateway), format!("{:?}", default.gateway));
    assert_eq!(format!("{:?}", shown.consumer), format!("{:?}", default.consumer));
    assert_eq!(format!("{:?}", shown.log), format!("{:?}", default.log));
    assert_eq!(format!("{:?}", shown.status), format!("{:?}", default.status));
    assert_eq!(format!("{:?}", shown.protocol), format!("{:?}", default.protocol));
    let kafka = |config: &Config| {
        let kafka = &config.kafka;
        let topics = (kafka.topic_prefix.clone(), kafka.create_topics, kafka.partitions, kafka.min_insync_replicas);
        (topics, kafka.retention, kafka.max_message_bytes)
    };
    assert_eq!(kafka(&shown), kafka(&default));
}
