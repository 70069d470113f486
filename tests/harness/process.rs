//! A gateway or a consumer as a process of its own.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{
    Http, Metrics, eventually,
    servers::{freeze, signal},
    try_eventually,
};

/// A process of ours. It is killed when it goes out of scope; after a panic the end of its log is shown.
pub struct Process {
    name: String,
    recipe: Recipe,
    child: Child,
}

/// How a process is started.
pub(crate) struct Recipe {
    pub program: &'static str,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub log: PathBuf,
    /// Where applications connect; a consumer has no such address.
    pub address: Option<String>,
    pub admin: String,
    /// Whether it counts as started only when it takes writes.
    pub takes_writes: bool,
    /// The group that it runs in; that of the test where there is none.
    pub group: Option<u32>,
}

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(45);
const LOG_SHOWN: usize = 40;

/// The folder of the binaries: that of the running executable, or `UNDERSTUDY_BIN`, as the local stack has it.
///
/// # Panics
/// When the running executable has no path.
#[must_use]
pub fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("UNDERSTUDY_BIN").filter(|folder| !folder.is_empty()) {
        return folder.into();
    }
    let executable = std::env::current_exe().expect("an executable has a path");
    let folder = executable.parent().expect("it lies in a folder");
    if folder.ends_with("deps") { folder.parent().expect("target/<profile>").to_owned() } else { folder.to_owned() }
}

/// A command for one of our programs, without the variables of this process that would configure it.
///
/// # Errors
/// When it was not built.
pub fn program(name: &str) -> anyhow::Result<Command> {
    let path = programs().join(name);
    if !path.is_file() {
        bail!("{} is missing: run `make build`", path.display());
    }
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("UNDERSTUDY_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    Ok(command)
}

impl Process {
    pub(crate) async fn start(name: &str, recipe: Recipe) -> anyhow::Result<Self> {
        let child = spawn(&recipe)?;
        let mut process = Self { name: name.to_owned(), recipe, child };
        process.started().await?;
        Ok(process)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The group that it runs in, where it has one of its own.
    #[must_use]
    pub fn group(&self) -> Option<u32> {
        self.recipe.group
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where applications connect.
    ///
    /// # Panics
    /// When it is a consumer.
    #[must_use]
    pub fn address(&self) -> &str {
        self.recipe.address.as_deref().expect("applications connect to gateways")
    }

    /// Where operators connect.
    #[must_use]
    pub fn admin(&self) -> Http {
        Http::new(&self.recipe.admin)
    }

    /// `kill -9`; it is gone when this returns.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits until it has ended.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.ended().await
    }

    /// SIGTERM alone.
    pub fn terminate(&self) {
        signal("TERM", self.pid());
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ended(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(STOP, &what, async || self.child.try_wait().ok().flatten()).await
    }

    /// SIGSTOP: it does nothing, and its connections stay.
    pub fn freeze(&self) {
        freeze(self.pid());
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        signal("CONT", self.pid());
    }

    /// Starts it again, on the same ports; kills it first where it still runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.recipe).unwrap_or_else(|error| panic!("{error:#}"));
        if let Err(error) = self.started().await {
            panic!("{error:#}");
        }
    }

    /// Everything that it has logged, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.recipe.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its metrics.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin().get("/metrics").await.expect(200).text())
    }

    /// The sum of its samples of this name that have these labels; 0 where there is none.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().await.sum(name, labels)
    }

    async fn started(&mut self) -> anyhow::Result<()> {
        let admin = self.admin();
        let started = try_eventually(START, async || {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Err(status));
            }
            let asked = admin.request("GET", "/readyz").within(Duration::from_secs(2));
            let ready = asked.send().await.map_err(anyhow::Error::msg)?;
            anyhow::ensure!(ready.status == 200, "{ready}");
            if self.recipe.takes_writes {
                anyhow::ensure!(self.metric("understudy_writes_open", &[]).await > 0.0, "it takes no writes yet");
            }
            anyhow::Ok(Ok(()))
        });
        match started.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("{} ended ({status}):\n{}", self.name, self.end_of_log()),
            Err(last) => bail!("{} is not ready after {START:?}: {last}\n{}", self.name, self.end_of_log()),
        }
    }

    fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_SHOWN)..].join("\n")
    }
}

fn spawn(recipe: &Recipe) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(&recipe.log);
    let log = log.with_context(|| recipe.log.display().to_string())?;
    let mut command = program(recipe.program)?;
    if let Some(group) = recipe.group {
        command.gid(group);
    }
    command
        .args(&recipe.arguments)
        .envs(&recipe.environment)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", recipe.program))
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} ({}):\n{}\n---", self.name, self.recipe.log.display(), self.end_of_log());
        }
    }
}
