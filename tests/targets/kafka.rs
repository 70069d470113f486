//! Kafka over TLS and SASL: `kafka.options` are librdkafka's own.

mod broker;

use broker::Broker;
use understudy_tests::{Stage, eventually};

use crate::{SOON, alone};

const PASSWORD: &str = "s3cret of the test";

/// A stage whose Kafka is reached through a listener of the broker.
fn through(name: &str, broker: &Broker, listener: &str, options: &[(&str, &str)]) -> Stage {
    let stage = Stage::new(name)
        .with_kafka(&broker.plaintext())
        .set("kafka.bootstrap_servers", vec![broker.listener(listener).to_owned()]);
    options.iter().fold(stage, |stage, (option, value)| stage.set(&format!("kafka.options.\"{option}\""), *value))
}

async fn works(stage: &Stage) {
    let (gateway, mut consumer) = (stage.gateway().await, stage.consumer().await);
    let (http, index) = (stage.through(&gateway), stage.index("i"));
    for id in 0..20 {
        http.put(&format!("/{index}/_doc/{id}"), format!("{{\"n\":{id}}}")).await.expect(201);
    }
    stage.assert_converges(&index).await;
    // Every client of the process is one over TLS: those of the group, of the reconciler, of retention too.
    let known = async || consumer.metrics().await.has("understudy_retention_headroom_seconds");
    eventually(SOON, "the retention of the topic is known", known).await;
    assert!(consumer.stop().await.success());
    let verify = stage.run("understudy", &["dead-letters", "list", "--check"]).await;
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
}

/// Nothing is written, and both say why: the client with 503, the logs of gateway and consumer.
async fn is_refused(stage: &Stage, why: &[&str]) {
    let (gateway, consumer) = (stage.gateway_that_answers().await, stage.consumer().await);
    let (http, index) = (stage.through(&gateway), stage.index("i"));
    let says = |text: &str| why.iter().any(|why| text.contains(why));
    let refused = async || {
        let reply = http.put(&format!("/{index}/_doc/1"), "{}").await.expect(503);
        assert_eq!(reply.error_type(), "replication_unavailable_exception");
        if says(&reply.text()) { Ok(()) } else { Err(reply.text()) }
    };
    eventually(SOON, "the client is told why", refused).await;
    for process in [&gateway, &consumer] {
        eventually(SOON, "the log says why", async || if says(&process.log()) { Ok(()) } else { Err(process.log()) })
            .await;
        assert!(!process.log().contains(PASSWORD), "{}", process.log());
    }
    assert_eq!(stage.primary().request("HEAD", &format!("/{index}")).reply().await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_over_tls_and_sasl() {
    let _alone = alone().await;
    let broker = Broker::start(PASSWORD).await;
    let (ca, other_ca) = (broker.file("ca.pem"), broker.file("other-ca.pem"));
    let tls = [("security.protocol", "ssl"), ("ssl.ca.location", &*ca)];
    works(&through("kafka tls", &broker, "TLS", &tls)).await;

    let (certificate, key) = (broker.file("client.pem"), broker.file("client.key"));
    let with_certificate = [("ssl.certificate.location", &*certificate), ("ssl.key.location", &*key)];
    works(&through("kafka client certificate", &broker, "MUTUAL", &[&tls[..], &with_certificate].concat())).await;

    let password = |password| {
        [
            ("security.protocol", "sasl_ssl"),
            ("ssl.ca.location", &*ca),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "understudy"),
            ("sasl.password", password),
        ]
    };
    works(&through("kafka password", &broker, "PASSWORD", &password(PASSWORD))).await;

    // It is the name alone.
    let unnamed = [&tls[..], &[("ssl.endpoint.identification.algorithm", "none")]].concat();
    works(&through("kafka any host", &broker, "STRANGER", &unnamed)).await;

    // Each takes as long as a question to Kafka may take, so all are asked at once.
    let wrong_ca = [("security.protocol", "ssl"), ("ssl.ca.location", &*other_ca)];
    let wrong_ca = through("kafka wrong ca", &broker, "TLS", &wrong_ca);
    let wrong_password = through("kafka wrong password", &broker, "PASSWORD", &password("wrong"));
    let stranger = through("kafka other host", &broker, "STRANGER", &tls);
    let without = through("kafka no certificate", &broker, "MUTUAL", &tls);
    tokio::join!(
        is_refused(&wrong_ca, &["certificate verify failed"]),
        is_refused(&wrong_password, &["Authentication failed"]),
        is_refused(&stranger, &["certificate verify failed"]),
        is_refused(&without, &["alert bad certificate", "alert certificate required"]),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_there_are_configuration_errors() {
    let stage = Stage::new("kafka files").set("kafka.options.\"ssl.ca.location\"", "/nowhere/ca.pem");
    let output = stage.run("understudy-gateway", &["--check-config"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && said.contains("cannot read /nowhere/ca.pem"), "{said}");
}
