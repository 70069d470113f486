//! The demo's own local stack.

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use understudy_tests::{Part, Stack, process_lives, programs, repository};

use crate::{
    deadlines, failpoint,
    screen::{Screen, Waiting, seconds},
    settings::Settings,
};

/// The stack below the demo.
pub struct System {
    pub stack: Stack,
    screen: Screen,
}

/// Stands in a run directory that the demo made, and may therefore wipe.
const MARK: &str = "made-by-the-demo";
/// How much of what the script says is shown when it fails.
const SHOWN: usize = 40;

impl System {
    pub fn new(settings: &Settings, screen: Screen) -> Self {
        let folder = failpoint::folder(&settings.run);
        let stack = Stack::at(&settings.run).with(failpoint::VARIABLE, folder.display().to_string());
        // The servers start often and live for minutes.
        let stack = match std::env::var_os("STACK_JAVA_FLAGS") {
            Some(_) => stack,
            None => stack.with("STACK_JAVA_FLAGS", "-XX:TieredStopAtLevel=1"),
        };
        Self { stack, screen }
    }

    /// Starts everything on fresh data, with the deadlines of the demo.
    pub async fn up(&self) -> anyhow::Result<()> {
        self.clear().await?;
        let began = Instant::now();
        let waiting = self.screen.wait_long("starting the stack; servers that are missing are fetched first");
        // The script writes the configuration when it has chosen ports, and leaves it alone from then on.
        self.script("up", &["kafka", "primary", "backup"], &waiting).await?;
        deadlines::append_to(&self.stack.config())?;
        self.script("up", &[], &waiting).await?;
        drop(waiting);
        self.screen.done(&format!("started in {}", seconds(began.elapsed())));
        Ok(())
    }

    /// Takes away what an earlier demo left. Whatever else may lie there is not ours to wipe.
    async fn clear(&self) -> anyhow::Result<()> {
        let run = self.stack.run();
        let mark = run.join(MARK);
        if !mark.exists() && run.join("data").exists() {
            bail!(
                "{} holds the data of another stack, and a demo begins on fresh data: leave STACK_RUN away, or wipe it (STACK_RUN={0} deploy/local/stack down, then wipe)",
                run.display()
            );
        }
        if mark.exists() {
            let waiting = self.screen.wait("clearing away an earlier demo");
            self.script("down", &[], &waiting).await?;
            self.script("wipe", &[], &waiting).await?;
        }
        fs::create_dir_all(run).with_context(|| run.display().to_string())?;
        fs::write(&mark, "The demo wipes this directory whenever it begins.\n").context("in the run directory")
    }

    /// A part as it is now.
    pub fn part(&self, name: &str) -> anyhow::Result<Part> {
        self.stack.part(name)
    }

    /// The address of a part.
    pub fn address(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.part(name)?.address)
    }

    /// `kill -9`, and makes sure that the process is gone.
    pub async fn kill(&self, name: &str) -> anyhow::Result<u32> {
        let pid = self.part(name)?.pid.with_context(|| format!("{name} does not run"))?;
        if !process_lives(pid) {
            bail!("{name} (pid {pid}) was gone before it was killed");
        }
        self.script("kill", &[name], &self.screen.wait(format!("killing {name}"))).await?;
        if process_lives(pid) {
            bail!("the fault did not take place: {name} (pid {pid}) outlived kill -9");
        }
        Ok(pid)
    }

    /// Starts a part; it is ready when this returns.
    pub async fn start(&self, name: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.script("start", &[name], &self.screen.wait(format!("starting {name} again"))).await?;
        Ok(began.elapsed())
    }

    /// Stops everything.
    pub async fn stop(&self) {
        // Where the demo ended before it made a stack, there is none to stop.
        if !self.stack.run().join(MARK).exists() {
            return;
        }
        println!();
        let waiting = self.screen.wait("stopping the stack");
        let stopped = self.script("down", &[], &waiting).await;
        drop(waiting);
        match stopped {
            Ok(()) => self.screen.say(&format!("The stack is stopped. Its logs stay in {}/logs.", self.shown_run())),
            Err(error) => self.screen.trouble(&format!("{error:#}")),
        }
    }

    /// How to look around in a stack that stays.
    pub fn say_where_it_is(&self) {
        let address = |part: &str| self.address(part).unwrap_or_default();
        let (lb, backup, kafka) = (address("lb"), address("backup"), address("kafka"));
        let verify = shown(&programs().join("understudy"));
        let (run, config) = (self.shown_run(), shown(&self.stack.config()));
        self.screen.heading("The stack is still up");
        println!("  through the load balancer");
        println!("    curl '{lb}/flights/_doc/1?pretty'");
        println!("    curl -XPUT '{lb}/flights/_doc/mine' -H content-type:application/json -d '{{\"delay\":3}}'");
        println!("  the backup itself");
        println!("    curl '{backup}/flights/_doc/mine?pretty'");
        println!("    curl '{backup}/flights/_count?pretty'");
        println!("  what went through Kafka");
        println!("    kcat -b {kafka} -C -t understudy.target.backup -o -3 -e -q");
        println!("  both sides, document by document");
        println!("    {verify} verify --config {config}");
        println!("  more faults, and the end");
        println!("    STACK_RUN={run} make status kill-backup start-backup");
        println!("    STACK_RUN={run} make down");
    }

    fn shown_run(&self) -> String {
        shown(self.stack.run())
    }

    /// Runs the stack's script, and shows its last line while it runs.
    async fn script(&self, verb: &str, parts: &[&str], waiting: &Waiting) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::from(self.stack.script(verb, parts));
        if matches!(verb, "down") {
            // Ctrl-C goes to a whole group; whoever presses it again shall not stop the stopping.
            command.process_group(0);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let err = BufReader::new(child.stderr.take().expect("it is piped"));
        let (mut out, mut err) = (out.lines(), err.lines());
        let (mut out_open, mut err_open) = (true, true);
        let mut said = VecDeque::new();
        while out_open || err_open {
            let line = tokio::select! {
                line = out.next_line(), if out_open => line.unwrap_or_default().or_else(|| { out_open = false; None }),
                line = err.next_line(), if err_open => line.unwrap_or_default().or_else(|| { err_open = false; None }),
            };
            let Some(line) = line else { continue };
            waiting.say(line.trim().to_owned());
            if said.len() == SHOWN {
                said.pop_front();
            }
            said.push_back(line);
        }
        if child.wait().await?.success() {
            return Ok(());
        }
        bail!("stack {verb} {}:\n{}", parts.join(" "), said.make_contiguous().join("\n"))
    }
}

/// A path as short as it can be typed from where the demo was started.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_else(|_| repository().to_owned());
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
