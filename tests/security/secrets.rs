//! Looks for secrets wherever somebody could read them: arguments, logs, admin ports, what programs print, Kafka.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use futures::future::join_all;
use memchr::memmem::{self, Finder};
use understudy_tests::{Http, program};

use crate::system::{OURS, System, WRONG};

/// Something that was said, and by whom.
pub struct Heard {
    by: String,
    what: Vec<u8>,
}

impl Heard {
    pub fn new(by: impl Into<String>, what: impl Into<Vec<u8>>) -> Self {
        Self { by: by.into(), what: what.into() }
    }
}

/// Fails with every place where a secret is, and none of them in the message.
pub fn assert_none(system: &System, heard: &[Heard]) {
    let bytes: usize = heard.iter().map(|one| one.what.len()).sum();
    println!("looked through {bytes} bytes of {} places for {} secrets", heard.len(), system.secrets().len());
    let mut found = BTreeSet::new();
    let finders: Vec<_> = system.secrets().iter().map(|(name, secret)| (name, Finder::new(secret))).collect();
    for one in heard {
        for (name, finder) in &finders {
            if finder.find(&one.what).is_some() {
                found.insert(format!("{}: {name}", one.by));
            }
        }
    }
    assert!(found.is_empty(), "secrets are told: {found:#?}");
}

/// Looks at the arguments of all processes of this machine, as everybody can, for as long as it lives.
pub struct Arguments {
    over: Arc<AtomicBool>,
    watching: JoinHandle<BTreeSet<Vec<u8>>>,
}

impl Arguments {
    pub fn watch() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        let watching = thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !until.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
                    // It may have ended meanwhile.
                    seen.extend(fs::read(process.path().join("cmdline")).ok());
                }
                thread::park_timeout(Duration::from_millis(20));
            }
            seen
        });
        Self { over, watching }
    }

    pub fn seen(self) -> Vec<Heard> {
        self.over.store(true, Ordering::Relaxed);
        self.watching.thread().unpark();
        let seen = self.watching.join().expect("it watches");
        let text = |arguments: &[u8]| String::from_utf8_lossy(arguments).replace('\0', " ");
        assert!(seen.iter().any(|one| text(one).contains("understudy-gateway --config")), "no gateway was seen");
        let program = |arguments: &[u8]| text(arguments).split(' ').next().unwrap_or_default().to_owned();
        seen.into_iter().map(|one| Heard::new(format!("the arguments of {}", program(&one)), one)).collect()
    }
}

/// What programs print: of the configuration as it is, and of ones that are wrong.
pub async fn programs_say(system: &System) -> Vec<Heard> {
    let right = system.stack.config();
    let text = fs::read_to_string(&right).expect("the stack has written it");
    let password = system.password("kafka");
    assert!(text.contains(&password), "the configuration has no password that could be told");
    let mut heard = Vec::new();
    let mut files = vec![right.clone()];
    for (name, find, replace) in [
        // The line with the password is no TOML any more.
        ("no-toml", format!("{password}\""), password.clone()),
        ("unquoted", format!("\"{password}\""), password.clone()),
        ("misspelt", "\"sasl.password\"".to_owned(), "\"sasl.pasword\"".to_owned()),
        ("a-list", format!("\"{password}\""), format!("[\"{password}\"]")),
        ("no-authority", "ca_file = \"".to_owned(), "ca_file = \"/nowhere".to_owned()),
        ("in-the-address", "urls = [\"https://".to_owned(), format!("urls = [\"https://understudy:{password}@")),
        ("no-address", "urls = [\"https://".to_owned(), format!("urls = [\"htps://understudy:{password}@")),
        ("no-key", "gateway.key".to_owned(), "gateway.pem".to_owned()),
    ] {
        assert!(text.contains(&find), "{name}: {find} is not in the configuration");
        let file = right.with_file_name(format!("{name}.toml"));
        fs::write(&file, text.replace(&find, &replace)).expect("a file");
        files.push(file);
    }
    for file in &files {
        let config = file.display().to_string();
        let checks: [(&str, &[&str]); 4] = [
            ("understudy-gateway", &["--check-config", "--config", &config]),
            ("understudy-consumer", &["--check-config", "--target", "backup", "--config", &config]),
            ("understudy", &["config", "check", &config]),
            ("understudy", &["config", "show", &config]),
        ];
        let said = join_all(checks.map(|(name, arguments)| run(name, arguments, &[]))).await;
        assert!(said.iter().all(|one| !one.what.is_empty()), "{config}: a program says nothing");
        heard.extend(said);
    }
    let config = right.display().to_string();
    let traces = ("UNDERSTUDY_LOG__LEVEL", "trace");
    let (as_it_is, wrong) = ([traces], [traces, ("UNDERSTUDY_KAFKA__OPTIONS__SASL_PASSWORD", WRONG)]);
    let asked = [
        &["status", "--config", &*config][..],
        &["status", "--json", "--config", &config],
        &["verify", "--settle", "1s", "--config", &config],
        &["dead-letters", "list", "--config", &config],
    ];
    let both =
        asked.iter().flat_map(|arguments| [&as_it_is[..], &wrong].map(|more| run("understudy", arguments, more)));
    heard.extend(join_all(both).await);
    let key = system.key_with_passphrase().0;
    let wrong_phrase = [
        ("UNDERSTUDY_KAFKA__OPTIONS__SSL_KEY_LOCATION", &*key),
        ("UNDERSTUDY_KAFKA__OPTIONS__SSL_KEY_PASSWORD", WRONG),
    ];
    heard.push(run("understudy", &["status", "--config", &config], &wrong_phrase).await);
    heard.push(run("understudy", &["config", "show", &config], &wrong_phrase).await);
    heard
}

async fn run(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Heard {
    let command = program(name).unwrap_or_else(|error| panic!("{error:#}"));
    let mut command = tokio::process::Command::from(command);
    command.args(arguments).envs(variables.iter().copied()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{name} {arguments:?} does not end")).expect("it can be started");
    Heard::new(format!("{name} {}", arguments.join(" ")), [output.stdout, output.stderr].concat())
}

/// Every route of the admin ports.
pub async fn admin_ports_show(system: &System) -> Vec<Heard> {
    let mut heard = Vec::new();
    for part in OURS {
        let shown = admin_port(&system.admin(part)).await;
        assert!(shown.iter().any(|one| one.what.len() > 1_000), "{part} shows no metrics");
        heard.extend(shown);
    }
    heard
}

pub async fn admin_port(admin: &Http) -> Vec<Heard> {
    let mut heard = Vec::new();
    for path in ["/livez", "/readyz", "/metrics", "/"] {
        let reply = admin.get(path).await;
        heard.push(Heard::new(format!("{path} of {}", admin.base()), format!("{:?}\n{}", reply.headers, reply.text())));
    }
    heard
}

/// The logs of all parts, ours at `trace`.
pub fn logs_have(system: &System) -> Vec<Heard> {
    let mut heard = Vec::new();
    for file in fs::read_dir(system.logs()).expect("the stack has logs").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let text = fs::read(file.path()).expect("a log");
        let is_ours = name.contains("gateway") || name.contains("consumer");
        let traces = memmem::find(&text, b"TRACE").is_some();
        assert!(!is_ours || traces, "{name} has no traces");
        heard.push(Heard::new(format!("the log {name}"), text));
    }
    assert!(heard.len() >= OURS.len() + 4, "logs are missing");
    heard
}

/// Every record of every topic: keys, values, headers.
pub async fn kafka_has(system: &System) -> Vec<Heard> {
    let kafka = system.kafka();
    let mut heard = Vec::new();
    let topics = kafka.topics().await.expect("Kafka answers");
    for topic in &topics {
        for record in kafka.records(topic).await.unwrap_or_else(|error| panic!("{topic}: {error:#}")) {
            let headers: String = record.headers.iter().map(|(key, value)| format!("\n{key}: {value}")).collect();
            let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
            heard.push(Heard::new(format!("a record of {topic}"), [&*key, &*value, headers.as_bytes()].join(&b'\n')));
        }
    }
    let in_log = heard.iter().filter(|one| one.by.contains("target.backup")).count();
    assert!(in_log >= 4 && topics.iter().any(|topic| topic.ends_with(".intents")), "{in_log} records in {topics:?}");
    heard
}
