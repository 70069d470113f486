//! A gateway or a consumer beside those of the stack, with the stack's configuration and something wrong in it.

use std::{fs::File, path::PathBuf, process::Child, time::Duration};

use understudy_tests::{Http, eventually, free_address, program};

use crate::system::System;

const SOON: Duration = Duration::from_secs(60);

pub struct Extra {
    child: Child,
    log: PathBuf,
    listen: String,
    admin: String,
}

impl Extra {
    /// Variables lie over the stack's file; options of Kafka stand in a file of its own. It has topics of its own, so that it takes nothing away from the others.
    pub async fn start(system: &System, kind: &str, name: &str, variables: &[(&str, &str)]) -> Self {
        let (listen, admin) = (free_address(), free_address());
        let log = system.logs().join(format!("extra-{name}.log"));
        let file = File::create(&log).expect("a log");
        let mut command = program(&format!("understudy-{kind}")).unwrap_or_else(|error| panic!("{error:#}"));
        let (options, variables): (Vec<_>, Vec<_>) =
            variables.iter().partition(|(name, _)| name.starts_with("UNDERSTUDY_KAFKA__OPTIONS__"));
        let config = system.stack.run().join(format!("{name}.toml"));
        std::fs::write(&config, with_options(system, &options)).expect("a file");
        command.arg("--config").arg(config).stdout(file.try_clone().expect("a file")).stderr(file);
        if kind == "consumer" {
            command.args(["--target", "backup"]);
        }
        let upper = kind.to_ascii_uppercase();
        command
            .env("UNDERSTUDY_LOG__LEVEL", "trace")
            .env("UNDERSTUDY_KAFKA__TOPIC_PREFIX", "beside")
            .env(format!("UNDERSTUDY_{upper}__NAME"), name)
            .env(format!("UNDERSTUDY_{upper}__ADMIN_LISTEN"), &admin);
        if kind == "gateway" {
            command.env("UNDERSTUDY_GATEWAY__LISTEN", &listen);
        }
        command.envs(variables);
        let child = command.spawn().expect("it can be started");
        let extra = Self { child, log, listen, admin: format!("http://{admin}") };
        let answers = async || extra.admin().request("GET", "/livez").send().await.map(drop).map_err(|_| extra.log());
        eventually(SOON, &format!("{name} answers"), answers).await;
        extra
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn admin(&self) -> Http {
        Http::new(&self.admin)
    }

    /// A client who trusts the stack's authority, and may do everything.
    pub fn client(&self, system: &System) -> Http {
        let address = format!("https://{}", self.listen);
        Http::trusting(&address, &system.file("ca.pem")).as_user("operator", &system.password("operator"))
    }

    /// Waits until its log has one of these words.
    pub async fn says(&self, words: &str) {
        let says = async || {
            if self.log().contains(words) { Ok(()) } else { Err(format!("no {words:?} in {}", self.log.display())) }
        };
        eventually(SOON, "its log says why", says).await;
    }
}

/// The stack's configuration with other options of Kafka.
fn with_options(system: &System, options: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(system.stack.config()).expect("the stack has written it");
    let name = |variable: &str| {
        variable.trim_start_matches("UNDERSTUDY_KAFKA__OPTIONS__").to_ascii_lowercase().replace('_', ".")
    };
    let is_other = |line: &&str| !options.iter().any(|(one, _)| line.starts_with(&format!("\"{}\" = ", name(one))));
    let kept: Vec<&str> = text.lines().filter(is_other).collect();
    let ours: String = options.iter().map(|(one, value)| format!("\"{}\" = \"{value}\"\n", name(one))).collect();
    kept.join("\n").replace("[kafka.options]\n", &format!("[kafka.options]\n{ours}"))
}

impl Drop for Extra {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
