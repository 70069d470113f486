//! TLS everywhere: who speaks it and shows a password is served, and nobody else.

use std::{fmt::Write, time::Duration};

use serde_json::json;
use understudy_tests::{Http, Kafka, Metrics, RawConnection, Reply, differences, eventually};

use crate::{
    extra::Extra,
    secrets::Heard,
    system::{System, WRONG},
};

const SOON: Duration = Duration::from_secs(60);
const INDEX: &str = "flights";

/// What clients write through the load balancer and the gateways is on the backup.
pub async fn documents_come_through_https(system: &System) -> Vec<Heard> {
    let mut heard = Vec::new();
    let mut hear = |reply: Reply| heard.push(Heard::new("an answer of a gateway", reply.text()));
    for part in ["gateway-1", "gateway-2"] {
        let open = async || {
            let metrics = Metrics::parse(&system.admin(part).get("/metrics").await.text());
            metrics.sum("understudy_writes_open", &[]) > 0.0
        };
        eventually(SOON, &format!("{part} takes writes"), open).await;
    }
    let mut bulk = String::new();
    for id in 0..50 {
        let _ = writeln!(bulk, "{}\n{}", json!({"index": {"_id": id.to_string()}}), json!({"n": id}));
    }
    hear(system.client("lb").post(&format!("/{INDEX}/_bulk"), bulk).await.expect(200));
    for (part, id) in [("lb", "one"), ("gateway-1", "two"), ("gateway-2", "three")] {
        hear(system.client(part).put(&format!("/{INDEX}/_doc/{id}"), r#"{"delay": 14}"#).await.expect(201));
        hear(system.client(part).get(&format!("/{INDEX}/_doc/{id}")).await.expect(200));
    }
    // What the primary answers does not tell all of it: it is read back by the service account.
    let gateway = Http::trusting(&system.stack.address("gateway-1"), &system.file("ca.pem"));
    let as_application = |method: &str, path: &str, key: &str| {
        gateway.request(method, path).header("authorization", &format!("ApiKey {key}"))
    };
    let (update, late) = (format!("/{INDEX}/_update/one"), r#"{"doc": {"late": true}}"#);
    hear(system.client("gateway-2").post(&update, late).await.expect(200));
    for (method, path) in [("GET", "_search"), ("PUT", "_doc/no"), ("POST", "_update/one")] {
        let call = as_application(method, &format!("/{INDEX}/{path}"), &system.api_key).body(r#"{}"#);
        hear(call.reply().await.expect(401));
    }
    hear(gateway.as_user("understudy", WRONG).put(&format!("/{INDEX}/_doc/no"), "{}").await.expect(401));

    let (primary, backup) = (system.cluster("primary"), system.cluster("backup"));
    let equal = async || {
        let found = differences(&primary, &backup, INDEX).await?;
        anyhow::ensure!(found.is_empty(), "{found:?}");
        anyhow::Ok(())
    };
    eventually(SOON, "both sides are equal", equal).await;
    assert_eq!(backup.get(&format!("/{INDEX}/_count")).await.expect(200).json()["count"], 53);
    heard
}

/// Who speaks plain HTTP, or Kafka without TLS or without a password, gets nothing from any part.
pub async fn plain_connections_are_refused(system: &System) {
    for part in ["lb", "gateway-1", "gateway-2", "primary", "backup"] {
        let address = system.stack.address(part);
        assert!(address.starts_with("https://"), "{part} is at {address}");
        let mut plain = RawConnection::open(address.trim_start_matches("https://")).await;
        plain.send("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("it is taken");
        let answer = plain.read_to_end(Duration::from_secs(5)).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(!answer.starts_with("HTTP/") || status == "400", "{part} answers plain HTTP: {answer}");
        if part.starts_with("gateway") {
            assert!(answer.contains("this port speaks HTTPS"), "{part}: {answer}");
        }
        // The certificate of another authority.
        let stranger = Http::trusting(&address, &system.other.ca_file());
        let refused = stranger.request("GET", "/").send().await.expect_err("a stranger's certificate is taken");
        assert!(refused.contains("certificate"), "{part}: {refused}");
        // No user: the clusters' own answer, through gateways as well.
        let nobody = Http::trusting(&address, &system.file("ca.pem"));
        assert_eq!(nobody.get(&format!("/{INDEX}/_search")).await.status, 401, "{part}");
    }
    let (address, ca) = (system.stack.address("kafka"), system.file("ca.pem").display().to_string());
    let (other, tls) = (system.other.ca_file().display().to_string(), ("security.protocol", "sasl_ssl"));
    let user = [("sasl.mechanism", "PLAIN"), ("sasl.username", "understudy")];
    let [mechanism, name] = user;
    let password = system.password("kafka");
    let tries: [&[(&str, &str)]; 4] = [
        &[],
        &[("security.protocol", "ssl"), ("ssl.ca.location", &ca)],
        &[tls, mechanism, name, ("sasl.password", "none"), ("ssl.ca.location", &ca)],
        &[tls, mechanism, name, ("sasl.password", &password), ("ssl.ca.location", &other)],
    ];
    let refused = tries.map(|options| {
        let kafka = Kafka::new(&address).with(options);
        async move { assert!(kafka.topics().await.is_err(), "Kafka answers") }
    });
    futures::future::join_all(refused).await;
    assert!(!system.kafka().topics().await.expect("with the password it answers").is_empty());
}

/// A gateway or a consumer that trusts nobody of the stack, or has the wrong password, says so in words, to its clients and in
/// its log, and nothing is written.
pub async fn wrong_certificates_and_passwords_are_refused(system: &System) -> Vec<Heard> {
    let other = system.other.ca_file().display().to_string();
    let primary_ca = [("UNDERSTUDY_CLUSTERS__PRIMARY__CA_FILE", &*other)];
    let kafka_ca = [("UNDERSTUDY_KAFKA__OPTIONS__SSL_CA_LOCATION", &*other)];
    let backup_ca = [("UNDERSTUDY_CLUSTERS__BACKUP__CA_FILE", &*other)];
    let (key, certificate) = system.key_with_passphrase();
    // Passwords of clusters come by files, which lie under the variables.
    let wrong_file = system.other.folder().join("wrong.password");
    std::fs::write(&wrong_file, WRONG).expect("a file");
    let wrong_file = wrong_file.display().to_string();
    let passwords = [
        ("UNDERSTUDY_CLUSTERS__PRIMARY__PASSWORD_FILE", &*wrong_file),
        ("UNDERSTUDY_CLUSTERS__BACKUP__PASSWORD_FILE", &*wrong_file),
        ("UNDERSTUDY_KAFKA__OPTIONS__SSL_KEY_LOCATION", &*key),
        ("UNDERSTUDY_KAFKA__OPTIONS__SSL_KEY_PASSWORD", crate::system::PASSPHRASE),
        ("UNDERSTUDY_KAFKA__OPTIONS__SSL_CERTIFICATE_LOCATION", &*certificate),
    ];
    let kafka_password = [("UNDERSTUDY_KAFKA__OPTIONS__SASL_PASSWORD", WRONG)];
    let away = [
        ("UNDERSTUDY_CLUSTERS__PRIMARY__URLS", "https://127.0.0.1:1"),
        ("UNDERSTUDY_CLUSTERS__BACKUP__URLS", "https://127.0.0.1:2"),
    ];
    let extras = futures::join!(
        Extra::start(system, "gateway", "gateway-primary-ca", &primary_ca),
        Extra::start(system, "gateway", "gateway-kafka-ca", &kafka_ca),
        Extra::start(system, "gateway", "gateway-passwords", &passwords),
        Extra::start(system, "gateway", "gateway-kafka-password", &kafka_password),
        Extra::start(system, "gateway", "gateway-away", &away),
        Extra::start(system, "consumer", "consumer-backup-ca", &backup_ca),
        Extra::start(system, "consumer", "consumer-passwords", &passwords),
        Extra::start(system, "consumer", "consumer-kafka-password", &kafka_password),
    );
    let (primary_ca, kafka_ca, passwords, kafka_password, away, of_backup_ca, of_passwords, of_kafka) = extras;
    let mut heard = Vec::new();
    for (gateway, words) in [
        (&primary_ca, "certificate"),
        (&kafka_ca, "certificate"),
        (&kafka_password, "Authentication failed"),
        (&away, "primary"),
    ] {
        let refused = async || {
            let reply = gateway.client(system).put("/refused/_doc/1", "{}").await.expect(503);
            if reply.text().contains(words) { Ok(reply.text()) } else { Err(reply.text()) }
        };
        let said = eventually(SOON, "the client is told why", refused).await;
        heard.push(Heard::new("a refusal", said));
    }
    // Clients have their own rights; what needs the service account waits, and says so.
    for path in ["/", "/_search", "/refused/_doc/1"] {
        heard.push(Heard::new("an answer", passwords.client(system).get(path).await.text()));
    }
    let written = passwords.client(system).put("/refused/_doc/1", "{}").await;
    heard.push(Heard::new("an answer", written.text()));
    for (extra, words) in [
        (&primary_ca, "certificate"),
        (&kafka_ca, "certificate"),
        (&kafka_password, "Authentication failed"),
        (&passwords, "401"),
        (&of_backup_ca, "certificate"),
        (&of_passwords, "401"),
        (&of_kafka, "Authentication failed"),
    ] {
        extra.says(words).await;
    }
    for extra in [&primary_ca, &kafka_ca, &passwords, &kafka_password, &away, &of_backup_ca, &of_passwords, &of_kafka] {
        heard.extend(crate::secrets::admin_port(&extra.admin()).await);
    }
    heard
}
