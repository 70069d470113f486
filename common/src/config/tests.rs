use std::collections::HashMap;

use super::*;

const GOOD: &str = r#"
[kafka]
bootstrap_servers = "127.0.0.1:9092"
replication_factor = 1
[kafka.options]
"socket.keepalive.enable" = true
[clusters.primary]
urls = ["http://127.0.0.1:9201/"]
username = "u"
password = "01234"
[clusters.backup]
urls = ["http://127.0.0.1:9202"]
index_settings = { number_of_replicas = 0 }
[[placements]]
name = "everything"
indices = "*"
primary = "primary"
targets = ["backup"]
"#;

fn variables(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn errors(text: &str) -> Vec<String> {
    Config::parse(text, HashMap::new()).expect_err("must be refused").0
}

#[test]
fn the_environment_stands_over_the_file() {
    let config = Config::parse(
        GOOD,
        variables(&[
            ("UNDERSTUDY_KAFKA__BOOTSTRAP_SERVERS", "a:1,b:2"),
            ("UNDERSTUDY_KAFKA__OPTIONS__SASL_PASSWORD", "s3cret"),
            ("UNDERSTUDY_GATEWAY__INTENT_TIMEOUT", "1s"),
            ("UNDERSTUDY_GATEWAY__MAX_BODY_BYTES", "1MiB"),
            ("UNDERSTUDY_CLUSTERS__PRIMARY__PASSWORD", "00900"),
        ]),
    )
    .unwrap();
    assert_eq!(config.kafka.bootstrap_servers, ["a:1", "b:2"]);
    assert_eq!(config.kafka.options["sasl.password"], "s3cret");
    assert_eq!(config.kafka.options["socket.keepalive.enable"], "true");
    assert_eq!(config.gateway.intent_timeout, Duration::from_secs(1));
    assert_eq!(config.gateway.max_body_bytes, 1 << 20);
    assert_eq!(config.clusters["primary"].urls, ["http://127.0.0.1:9201"]);
    assert_eq!(config.clusters["primary"].credentials.as_ref().unwrap().password.expose(), "00900");
    assert_eq!(config.clusters["backup"].index_settings["number_of_replicas"], "0");
}

#[test]
fn secrets_are_never_printed() {
    let config = Config::parse(GOOD, variables(&[("UNDERSTUDY_KAFKA__OPTIONS__SASL_PASSWORD", "s3cret")])).unwrap();
    let printed = format!("{config:?}");
    assert!(!printed.contains("01234") && !printed.contains("s3cret"), "{printed}");
}

/// Whichever text is the greater one.
#[test]
fn variables_stand_over_options_of_kafka_in_the_file() {
    for (variable, text) in [("aaa", "zzz"), ("zzz", "aaa")] {
        let file = format!("{GOOD}\n[log]\nlevel = \"info\"\n")
            .replace("\"socket.keepalive.enable\" = true", &format!("\"sasl.password\" = \"{text}\""));
        let over = [("UNDERSTUDY_KAFKA__OPTIONS__SASL_PASSWORD", variable)];
        let config = Config::parse(&file, variables(&over)).unwrap();
        assert_eq!(config.kafka.options["sasl.password"], variable);
        let shown = Config::effective(&file, variables(&over)).unwrap();
        assert_eq!(shown.matches("sasl.password").count(), 1, "{shown}");
    }
}

/// Whatever is wrong with a file, what it says of it has no password.
#[test]
fn secrets_are_in_no_error() {
    for (text, place) in [
        // No TOML: the line that stands there is not shown.
        ("[clusters.primary]\npassword = \"hunter2\n", "line 2"),
        ("[clusters.primary]\npassword = hunter2\n", "line 2"),
        ("[clusters.primary]\npassword_file = \"a\" \"hunter2\"\n", "line 2"),
        ("[clusters.primary]\npassword = \"hunter2\"\npassword = \"hunter2\"\n", "line 3"),
        ("hunter2\n", "line 1"),
        // A slip in the name of an option.
        ("[kafka.options]\n\"sasl.pasword\" = \"hunter2\"\n", "sasl.pasword"),
        ("[clusters.primary]\npasswd = \"hunter2\"\n", "clusters.primary.passwd: unknown key"),
        ("[clusters.primary]\npassword = [\"hunter2\"]\n", "clusters.primary.password: must be a text"),
        ("[kafka.options]\n\"sasl.password\" = [\"hunter2\"]\n", "must be a text"),
        // Credentials where none belong.
        ("[clusters.primary]\nurls = [\"http://u:hunter2@es\"]\n", "must not hold credentials"),
        ("[clusters.primary]\nurls = [\"htp://u:hunter2@es\"]\n", "@es"),
        ("[clusters.primary]\nurls = [\"http://u:hunter2@es\", \"http://u:hunter2@es\"]\n", "@es stands twice"),
        (
            "[clusters.a]\nurls = [\"http://u:hunter2@es\"]\n[clusters.b]\nurls = [\"http://u:hunter2@es\"]\n",
            "@es is an",
        ),
    ] {
        let said = errors(text).join("\n");
        assert!(said.contains(place) && !said.contains("hunter2"), "{text}\n{said}");
    }
}

#[test]
fn every_error_is_named_at_once_with_its_key() {
    let errors = errors(
        r#"
surprise = 1
[kafka]
bootstrap_servers = 5
partitions = "many"
replication_factor = 3
min_insync_replicas = 1
[kafka.options]
acks = "0"
"ssl.ca.location" = "/does/not/exist"
[clusters.Primary]
urls = ["https://es:9200", "http://es:9201"]
ca_file = "/no/ca.pem"
password_file = "/does/not/exist"
[clusters.backup]
urls = ["http://a:1", "ftp://b", "http://a:1/"]
cert_file = "/no/cert.pem"
colour = "red"
allow_untested_version = "perhaps"
[clusters.backup.index_settings]
number_of_shards = 2
"index.mapping.total_fields.limit" = 10
number_of_replicas = 1
"index.number_of_replicas" = 2
[[placements]]
indices = "Logs"
primary = "nobody"
targets = ["backup", "backup"]
[[placements]]
name = "default"
indices = "*"
primary = "backup"
targets = ["backup"]
[gateway]
listen = "nowhere"
primary_timeout = "90s"
drain_timeout = 5
health_interval = "1h"
max_connections = 0
max_concurrent_requests = 1
header_timeout = "soon"
[gateway.tls]
cert_file = "/etc/understudy/gateway.pem"
[gateway.rate_limit]
bytes_per_second = "fast"
burst = "1ms"
key = "cookie"
[log]
format = "xml"
level = "loud=="
"#,
    );
    for wanted in [
        "surprise: unknown key; known here: kafka, clusters, placements, unplaced_writes",
        "kafka.bootstrap_servers: must be a list of texts, not a number",
        "kafka.partitions: must be a whole number from 1 to 10000, not \"many\"",
        "kafka.min_insync_replicas: must be at least 2",
        "kafka.options.\"acks\": is decided by Understudy",
        "clusters.Primary: the name \"Primary\" must be 1 to 64 of a-z",
        "clusters.Primary.urls: must be all http or all https",
        "clusters.Primary.ca_file: cannot read certificates from /no/ca.pem",
        "clusters.Primary.password_file: cannot read /does/not/exist",
        "clusters.backup.urls: http://a:1 stands twice",
        "clusters.backup.cert_file: is for https addresses",
        "clusters.backup.urls: \"ftp://b\" is no address",
        "clusters.backup.colour: unknown key; known here: urls",
        "clusters.backup.allow_untested_version: must be true or false",
        "clusters.backup.index_settings.number_of_shards: is the primary's",
        "clusters.backup.index_settings.index.mapping.total_fields.limit: is the primary's",
        "clusters.backup.index_settings.number_of_replicas: is the same setting as index.number_of_replicas",
        "kafka.options.\"ssl.ca.location\": cannot read /does/not/exist",
        "placements[0].indices: must be a pattern",
        "placements[0].primary: must be one of the clusters (Primary, backup), not \"nobody\"",
        "placements[0].targets: \"backup\" stands twice",
        "placements[1].name: \"default\" stands twice",
        "placements[1].targets: \"backup\" is the primary",
        "placements: several placements are not served yet",
        "gateway.listen: must be host:port",
        "gateway.primary_timeout: intent_timeout + primary_timeout + publish_timeout is 102s",
        "gateway.drain_timeout: must be a duration",
        "gateway.health_interval: must be at most 60s",
        "gateway.max_connections: must be a whole number from 1",
        "gateway.max_concurrent_requests: must be a whole number from 2",
        "gateway.header_timeout: must be a duration",
        "gateway.tls.key_file: is missing",
        "gateway.rate_limit.bytes_per_second: must be a size",
        "gateway.rate_limit.burst: is 1ms, and must be at least 1s",
        "gateway.rate_limit.key: must be \"address\" or \"user\", not \"cookie\"",
        "log.format: must be \"human\" or \"json\"",
        "log.level: must be a filter",
    ] {
        assert!(errors.iter().any(|error| error.contains(wanted)), "{wanted}\nis not in\n{}", errors.join("\n"));
    }
}

#[test]
fn certificates_are_read_with_the_configuration() {
    let folder = crate::tls::tests::Folder::new("config");
    let ((ca, identity), (_, other)) = (folder.identity("a"), folder.identity("b"));
    let with = |keys: &[(&str, &std::path::Path)]| {
        let lines: String = keys.iter().map(|(key, file)| format!("{key} = \"{}\"\n", file.display())).collect();
        let text = GOOD.replace("[\"http://127.0.0.1:9202\"]", &format!("[\"https://a:1\", \"https://b:1\"]\n{lines}"));
        Config::parse(&text, HashMap::new()).map_err(|errors| errors.0)
    };
    let config =
        with(&[("ca_file", &ca), ("cert_file", &identity.cert_file), ("key_file", &identity.key_file)]).unwrap();
    assert_eq!(config.clusters["backup"].urls, ["https://a:1", "https://b:1"]);
    assert!(config.clusters["backup"].tls.is_some() && config.clusters["primary"].tls.is_none());
    for (keys, wanted) in [
        (vec![("ca_file", &*identity.key_file)], "clusters.backup.ca_file: "),
        (vec![("ca_file", &*ca), ("cert_file", &*identity.cert_file)], "clusters.backup.key_file: is needed with"),
        (vec![("ca_file", &*ca), ("key_file", &*identity.key_file)], "clusters.backup.cert_file: is needed with"),
        (
            vec![("ca_file", &*ca), ("cert_file", &*identity.cert_file), ("key_file", &*other.key_file)],
            "clusters.backup.cert_file: ",
        ),
    ] {
        let errors = with(&keys).expect_err(wanted);
        assert!(errors.len() == 1 && errors[0].starts_with(wanted), "{wanted} is not in {errors:?}");
    }
}

#[test]
fn an_empty_file_is_told_what_is_needed() {
    let errors = errors("");
    for key in ["kafka.bootstrap_servers", "clusters", "placements"] {
        assert!(errors.iter().any(|error| error.starts_with(key)), "{key}: {errors:?}");
    }
}

#[test]
fn a_primary_may_have_several_targets() {
    let two = GOOD.replace("targets = [\"backup\"]", "targets = [\"backup\", \"third\"]");
    assert!(errors(&two)[0].contains("\"third\" is not"));
    let two = format!("{two}\n[clusters.third]\nurls = [\"http://c:9200\"]\nallow_untested_version = true\n");
    let config = Config::parse(&two, HashMap::new()).unwrap();
    assert_eq!(config.placements[0].targets, ["backup", "third"]);
    assert!(config.clusters["third"].allow_untested_version && !config.clusters["backup"].allow_untested_version);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    assert!(errors("[clusters.a]\nurls = []\n[clusters.a]\nurls = []\n")[0].contains("duplicate"));
}

#[test]
fn writes_outside_every_placement_need_a_word() {
    let narrow = GOOD.replace("indices = \"*\"", "indices = \"logs-*\"");
    assert!(errors(&narrow)[0].starts_with("unplaced_writes: must say"));
    let said = Config::parse(&format!("unplaced_writes = \"pass\"\n{narrow}"), HashMap::new()).unwrap();
    assert_eq!(said.unplaced, Unplaced::Pass);
}

#[test]
fn patterns_match_as_in_elasticsearch() {
    let pattern = IndexPattern::new("logs-*,*-eu-*,exact");
    for (index, matches) in
        [("logs-", true), ("logs-1", true), ("a-eu-b", true), ("exact", true), ("exactly", false), ("log", false)]
    {
        assert_eq!(pattern.matches(index), matches, "{index}");
    }
    assert!(!IndexPattern::new("a*a").matches("a") && IndexPattern::new("a*a").matches("aa"));
}

#[test]
fn clients_are_neither_limited_nor_encrypted_unless_it_is_said() {
    let config = Config::parse(GOOD, HashMap::new()).unwrap();
    assert_eq!((config.gateway.rate_limit, config.gateway.tls), (None, None));
    let said = Config::parse(
        &format!(
            "{GOOD}[gateway.tls]\ncert_file = \"a.pem\"\nkey_file = \"b.pem\"\nclient_ca_file = \"c.pem\"\n\
             [gateway.rate_limit]\nrequests_per_second = 5\nkey = \"user\"\n"
        ),
        HashMap::new(),
    )
    .unwrap();
    let limit = said.gateway.rate_limit.unwrap();
    assert_eq!((limit.requests_per_second, limit.bytes_per_second, limit.key), (Some(5), None, ClientKey::User));
    assert_eq!(said.gateway.tls.unwrap().client_ca_file.unwrap().to_str(), Some("c.pem"));
    assert!(errors(&format!("{GOOD}[gateway.tls]\nclient_ca_file = \"c.pem\"\n"))[0].contains("needs cert_file"));
}

#[test]
fn what_counts_is_shown_with_defaults_and_without_secrets() {
    let variables = || {
        variables(&[
            ("UNDERSTUDY_KAFKA__OPTIONS__SASL_PASSWORD", "s3cret"),
            ("UNDERSTUDY_KAFKA__OPTIONS__SSL_KEY_PASSWORD", "s3cret"),
            ("UNDERSTUDY_KAFKA__OPTIONS__SASL_USERNAME", "\"u\""),
            ("UNDERSTUDY_GATEWAY__INTENT_TIMEOUT", "1500ms"),
        ])
    };
    let shown = Config::effective(GOOD, variables()).unwrap();
    for line in [
        "[kafka]",
        "bootstrap_servers = [\"127.0.0.1:9092\"]",
        "topic_prefix = \"understudy\"",
        "partitions = 12",
        "create_topics = true",
        "retention = \"7d\"",
        "max_message_bytes = \"32MiB\"",
        "[kafka.options]",
        "\"sasl.password\" = \"***\"",
        "\"ssl.key.password\" = \"***\"",
        "\"sasl.username\" = \"\\\"u\\\"\"",
        "[clusters.primary]",
        "password = \"***\"",
        "[clusters.backup.index_settings]",
        "[[placements]]",
        "[protocol]",
        "linger = \"1m\"",
        "intent_timeout = \"1500ms\"",
        "[consumer]",
        "[status]",
        "max_lag = \"30s\"",
        "[log]",
        "level = \"info\"",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line}\nis not in\n{shown}");
    }
    assert!(!shown.contains("s3cret") && !shown.contains("01234"), "{shown}");
    // It says the same when it is read again.
    let (again, once) = (Config::parse(&shown, HashMap::new()).unwrap(), Config::parse(GOOD, variables()).unwrap());
    assert_eq!(format!("{again:?}"), format!("{once:?}"));
    assert_eq!(again.kafka.max_message_bytes, once.kafka.max_message_bytes);
    assert_eq!(Config::effective(&shown, HashMap::new()).unwrap(), shown);
    assert_eq!(Config::effective("", HashMap::new()).unwrap_err().0, errors(""));
}

#[test]
fn what_stands_outside_of_tables_comes_first() {
    let shown = Config::effective(&format!("unplaced_writes = \"pass\"\n{GOOD}"), HashMap::new()).unwrap();
    assert!(shown.starts_with("unplaced_writes = \"pass\"\n"), "{shown}");
}

#[test]
fn admin_ports_are_host_and_port() {
    for right in ["a:1", "127.0.0.1:9310", "[::1]:9310", "gateway-1.example:65535"] {
        assert_eq!(check_admin(right), Ok(()), "{right}");
    }
    for wrong in ["", "a", ":1", "a:b", "a:70000", "http://a:1", "a:1/x", "a b:1"] {
        assert!(check_admin(wrong).is_err(), "{wrong}");
    }
    let text = format!("{GOOD}[status]\nadmin = [\"nowhere\"]\nmax_lag = 3\n");
    let errors = errors(&text);
    assert!(errors[1].starts_with("status.admin: must be host:port"), "{errors:?}");
    assert!(errors[0].starts_with("status.max_lag: must be a duration"), "{errors:?}");
}
