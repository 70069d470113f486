//! A Kafka with listeners over TLS, beside the stack.

use std::{collections::BTreeMap, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use understudy_tests::{Beside, free_address};

/// A broker, and the files of its clients.
pub struct Broker {
    server: Beside,
    listeners: BTreeMap<&'static str, String>,
    folder: PathBuf,
}

/// Listeners and what they speak: TLS alone, with certificates of clients, with a certificate of another host, with a
/// password.
const LISTENERS: [(&str, &str); 4] = [("TLS", "SSL"), ("MUTUAL", "SSL"), ("STRANGER", "SSL"), ("PASSWORD", "SASL_SSL")];

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A certificate for a host, and its key.
fn issued(by: &Authority, name: &str, host: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    (params.signed_by(&key, by).expect("a certificate").pem(), key.serialize_pem())
}

impl Broker {
    /// Starts one; `understudy` has this password.
    pub async fn start(password: &str) -> Self {
        let folder = std::env::temp_dir().join("understudy-tests").join("kafka-tls");
        std::fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).expect("the folder can be written");
        };
        let (ours, other) = (authority("authority of the test"), authority("another authority"));
        write("ca.pem", ours.pem());
        write("other-ca.pem", other.pem());
        for (name, host) in [("here", "127.0.0.1"), ("elsewhere", "elsewhere.example")] {
            let (certificate, key) = issued(&ours, name, host);
            write(&format!("{name}.keystore.pem"), format!("{key}{certificate}"));
        }
        let (certificate, key) = issued(&ours, "client", "client.example");
        write("client.pem", certificate);
        write("client.key", key);

        let listeners: BTreeMap<_, _> = LISTENERS.iter().map(|(name, _)| (*name, free_address())).collect();
        let (plaintext, controller) = (free_address(), free_address());
        write(
            "broker.properties",
            properties(&folder.display().to_string(), &listeners, &plaintext, &controller, password),
        );
        let port = |address: &str| address.rsplit_once(':').expect("host:port").1.to_owned();
        let variables = [
            ("KAFKA_PROPERTIES", folder.join("broker.properties").display().to_string()),
            ("KAFKA_PORT", port(&plaintext)),
            ("KAFKA_CONTROLLER_PORT", port(&controller)),
        ];
        Self { server: Beside::kafka("kafka-tls", &variables).await, listeners, folder }
    }

    /// Its listener without TLS.
    pub fn plaintext(&self) -> String {
        self.server.address()
    }

    /// Another one.
    pub fn listener(&self, name: &str) -> &str {
        &self.listeners[name]
    }

    /// The path of a file.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

fn properties(
    folder: &str,
    listeners: &BTreeMap<&str, String>,
    plaintext: &str,
    controller: &str,
    password: &str,
) -> String {
    let ours: String = listeners.iter().map(|(name, address)| format!(",{name}://{address}")).collect();
    let map: String = LISTENERS.iter().map(|(name, protocol)| format!(",{name}:{protocol}")).collect();
    let mut text = format!(
        "listeners=PLAINTEXT://{plaintext},CONTROLLER://{controller}{ours}\n\
         advertised.listeners=PLAINTEXT://{plaintext}{ours}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{map}\n\
         controller.quorum.voters=1@{controller}\n\
         ssl.truststore.type=PEM\nssl.truststore.location={folder}/ca.pem\n\
         ssl.keystore.type=PEM\nssl.keystore.location={folder}/here.keystore.pem\n\
         listener.name.mutual.ssl.client.auth=required\n\
         listener.name.password.sasl.enabled.mechanisms=PLAIN\n\
         listener.name.password.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_understudy=\"{password}\";\n"
    );
    text.push_str(&format!("listener.name.stranger.ssl.keystore.location={folder}/elsewhere.keystore.pem\n"));
    text.push_str("listener.name.stranger.ssl.keystore.type=PEM\n");
    text
}
