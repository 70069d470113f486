//! The stack, and what is secret about it.

use std::path::PathBuf;

use base64::{Engine, prelude::BASE64_STANDARD};
use understudy_tests::{Authority, Http, Kafka, Stack, repository};

/// The stack with `TLS=yes`, beside that which tests share; it stops with this, and its logs stay.
pub struct System {
    pub stack: Stack,
    /// Of nobody's whom the stack knows.
    pub other: Authority,
    /// What an application shows.
    pub api_key: String,
    secrets: Vec<(String, String)>,
}

/// The parts that log what we wrote.
pub const OURS: [&str; 4] = ["gateway-1", "gateway-2", "consumer-1", "consumer-2"];
/// Passwords that are wrong are secrets too: mostly they are those of something else.
pub const WRONG: &str = "wrong-QpMfXw7sHk2vLz";
pub const PASSPHRASE: &str = "phrase-Tn5bRj9cYd3gUe";

impl System {
    pub async fn start() -> Self {
        let shared = Stack::of_tests();
        let name = format!("{}-encrypted", shared.run().file_name().unwrap_or_default().to_string_lossy());
        let run = shared.run().with_file_name(name);
        let stack = Stack::at(run.clone())
            .with("TLS", "yes")
            .with("PORTS", "free")
            // Security takes the servers long to start, and other tests run beside.
            .with("STACK_TIMEOUT", "240")
            // All that there is, of the libraries too.
            .with("UNDERSTUDY_LOG__LEVEL", "trace")
            // Clients are told apart by what they show.
            .with("UNDERSTUDY_GATEWAY__RATE_LIMIT__KEY", "user")
            .with("UNDERSTUDY_GATEWAY__RATE_LIMIT__REQUESTS_PER_SECOND", "100000");
        let other = Authority::new(run.with_extension("other"));
        // Nobody's: the distribution that we have cannot keep keys.
        let api_key = BASE64_STANDARD.encode("VuaCfHcBCdbkQm:ui2lp2axTNmsyakw9tvNnw");
        let mut system = Self { stack, other, api_key, secrets: Vec::new() };
        for verb in ["down", "wipe", "up"] {
            if let Err(error) = system.stack.run_script(verb, &[]).await {
                panic!("{error:#}");
            }
        }
        for user in ["operator", "understudy", "standby", "kafka"] {
            let password = system.password(user);
            assert!(password.len() >= 20, "the password of {user} is short");
            // As a header has it.
            system.secrets.push((format!("{user} as Basic"), BASE64_STANDARD.encode(format!("{user}:{password}"))));
            system.secrets.push((format!("the password of {user}"), password));
        }
        let api_key = system.api_key.clone();
        system.secrets.push(("an application's key".to_owned(), api_key));
        system.secrets.push(("a wrong password".to_owned(), WRONG.to_owned()));
        system
            .secrets
            .push(("a wrong password as Basic".to_owned(), BASE64_STANDARD.encode(format!("understudy:{WRONG}"))));
        system.secrets.push(("a key's passphrase".to_owned(), PASSPHRASE.to_owned()));
        system
    }

    /// What nobody may tell, each with a name that may be told.
    pub fn secrets(&self) -> &[(String, String)] {
        &self.secrets
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.stack.run().join("tls").join(name)
    }

    pub fn password(&self, user: &str) -> String {
        std::fs::read_to_string(self.file(&format!("{user}.password"))).expect("the stack has made it")
    }

    /// A part for a client who trusts the stack's authority and may do everything.
    pub fn client(&self, part: &str) -> Http {
        Http::trusting(&self.stack.address(part), &self.file("ca.pem")).as_user("operator", &self.password("operator"))
    }

    pub fn cluster(&self, name: &str) -> Http {
        self.client(name)
    }

    /// Kafka, for who has the password.
    pub fn kafka(&self) -> Kafka {
        let ca = self.file("ca.pem").display().to_string();
        Kafka::new(&self.stack.address("kafka")).with(&[
            ("security.protocol", "sasl_ssl"),
            ("ssl.ca.location", &ca),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "understudy"),
            ("sasl.password", &self.password("kafka")),
        ])
    }

    /// A client's key for Kafka that is opened by [`PASSPHRASE`], and its certificate.
    pub fn key_with_passphrase(&self) -> (String, String) {
        let folder = self.other.folder();
        let (phrase, key) = (folder.join("phrase"), folder.join("encrypted.key"));
        std::fs::write(&phrase, PASSPHRASE).expect("a file");
        let done = std::process::Command::new("openssl")
            .args(["pkey", "-aes256", "-in"])
            .arg(self.file("gateway.key"))
            .arg("-passout")
            .arg(format!("file:{}", phrase.display()))
            .arg("-out")
            .arg(&key)
            .status();
        assert!(done.is_ok_and(|status| status.success()), "openssl cannot encrypt a key");
        (key.display().to_string(), self.file("gateway.pem").display().to_string())
    }

    /// Where the logs of the stack lie.
    pub fn logs(&self) -> PathBuf {
        self.stack.run().join("logs")
    }

    /// The admin port of a part.
    pub fn admin(&self, part: &str) -> Http {
        let part = self.stack.part(part).unwrap_or_else(|error| panic!("{error:#}"));
        Http::new(&part.admin.expect("it has one"))
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let down = self.stack.script("down", &[]).stdout(std::process::Stdio::null()).status();
        if !down.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("the encrypted stack could not be stopped: {down:?} ({})", repository().display());
        }
    }
}
