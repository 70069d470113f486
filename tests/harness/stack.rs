//! The local stack: where its parts are, and its script.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail};
use serde::Deserialize;

/// A local stack, by its run directory.
#[derive(Clone, Debug)]
pub struct Stack {
    run: PathBuf,
    variables: Vec<(&'static str, String)>,
}

/// A part of it, as `stack.json` tells.
#[derive(Clone, Debug, Deserialize)]
pub struct Part {
    /// What kind of server it is.
    pub kind: String,
    /// `ready`, `running`, `frozen`, `stopped` or `dead`.
    pub state: String,
    /// Its process.
    pub pid: Option<u32>,
    /// Where its users connect.
    pub address: String,
    /// Where its operators connect.
    pub admin: Option<String>,
    /// Its log.
    pub log: PathBuf,
}

#[derive(Deserialize)]
struct Description {
    parts: BTreeMap<String, Part>,
}

/// Names the run directory of the stack that tests use.
const VARIABLE: &str = "UNDERSTUDY_TEST_STACK";

const NO_STACK: &str = "this test needs real servers. `make test` starts them; by hand:
    STACK_RUN=/tmp/test-stack PORTS=free deploy/local/stack up kafka primary backup
    UNDERSTUDY_TEST_STACK=/tmp/test-stack cargo test -p understudy-tests
    STACK_RUN=/tmp/test-stack deploy/local/stack down";

impl Stack {
    /// The stack that tests share.
    ///
    /// # Panics
    /// When none was started; the message says how to.
    #[must_use]
    pub fn of_tests() -> Self {
        match std::env::var_os(VARIABLE) {
            Some(run) if !run.is_empty() => Self::at(run),
            _ => panic!("{VARIABLE} is not set: {NO_STACK}"),
        }
    }

    /// The stack in a run directory.
    #[must_use]
    pub fn at(run: impl Into<PathBuf>) -> Self {
        Self { run: run.into(), variables: Vec::new() }
    }

    /// Gives its script a variable of the environment, such as `PORTS`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Its run directory.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The configuration of its gateways and consumers.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.run.join("understudy.toml")
    }

    /// A part as it was at the end of the script's last verb.
    ///
    /// # Errors
    /// When there is no `stack.json`, or no such part in it.
    pub fn part(&self, name: &str) -> anyhow::Result<Part> {
        let path = self.run.join("stack.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut description: Description =
            serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        description.parts.remove(name).with_context(|| format!("{} names no part {name}", path.display()))
    }

    /// The address of a part.
    ///
    /// # Panics
    /// When there is no such part.
    #[must_use]
    pub fn address(&self, part: &str) -> String {
        match self.part(part) {
            Ok(part) => part.address,
            Err(error) => panic!("{error:#}: {NO_STACK}"),
        }
    }

    /// The script with a verb and parts, to be run in a way of the caller's.
    #[must_use]
    pub fn script(&self, verb: &str, parts: &[&str]) -> std::process::Command {
        let script = repository().join("deploy/local/stack");
        let mut command = std::process::Command::new(script);
        command
            .arg(verb)
            .args(parts)
            .env("STACK_RUN", &self.run)
            .env_remove(VARIABLE)
            .env_remove("TLS")
            .stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the script.
    ///
    /// # Errors
    /// When it fails, with what it printed.
    pub async fn run_script(&self, verb: &str, parts: &[&str]) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::from(self.script(verb, parts));
        let output = command.output().await.context("cannot run deploy/local/stack")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("stack {verb} {}: {}", parts.join(" "), String::from_utf8_lossy(&said).trim_end());
        }
        Ok(())
    }
}

/// Whether a process with this id is there (and not only waits to be buried).
#[must_use]
pub fn process_lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}
