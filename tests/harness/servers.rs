//! Faults of the servers themselves.

use std::{
    fs,
    process::{Command, Stdio},
    sync::Mutex as Noted,
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, MutexGuard};

use crate::stack::{Stack, process_lives};

mod beside;
mod brokers;
mod nodes;
mod secured;

pub use beside::Beside;
pub use brokers::Brokers;
pub use nodes::Nodes;
pub use secured::{Authority, Secured};

/// The right to kill `kafka`, `primary` and `backup`, which all tests share.
///
/// One test of a binary holds it at a time, so that they run one after another: take it first, then make the stage. At
/// its end everything runs again. Such tests live in a binary of their own, apart from those that run side by side.
pub struct Servers {
    stack: Stack,
    frozen: Noted<Vec<u32>>,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::const_new(());
const ALL: [&str; 3] = ["kafka", "primary", "backup"];

impl Servers {
    /// Waits until no other test of this binary holds them.
    ///
    /// # Panics
    /// When there is no stack.
    pub async fn take() -> Self {
        let stack = Stack::of_tests();
        Self { stack, frozen: Noted::default(), _alone: ALONE.lock().await }
    }

    /// `kill -9`; its process is gone when this returns.
    ///
    /// # Panics
    /// When it did not run, or is still there.
    pub async fn kill(&self, server: &str) {
        let pid = self.pid(server);
        self.script("kill", server).await;
        assert!(!process_lives(pid), "{server} (pid {pid}) outlived kill -9");
    }

    /// Ends it orderly.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&self, server: &str) {
        self.script("stop", server).await;
    }

    /// Starts it; it is ready when this returns.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(&self, server: &str) {
        self.script("start", server).await;
    }

    /// Stops its process without ending it (SIGSTOP): connections stand and nobody answers.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self, server: &str) {
        let pid = self.pid(server);
        freeze(pid);
        self.frozen.lock().expect("no test panics here").push(pid);
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self, server: &str) {
        let pid = self.pid(server);
        signal("CONT", pid);
        self.frozen.lock().expect("no test panics here").retain(|frozen| *frozen != pid);
    }

    /// The process of a server.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self, server: &str) -> u32 {
        let part = self.stack.part(server).unwrap_or_else(|error| panic!("{error:#}"));
        part.pid.unwrap_or_else(|| panic!("{server} does not run"))
    }

    async fn script(&self, verb: &str, server: &str) {
        if let Err(error) = self.stack.run_script(verb, &[server]).await {
            panic!("{error:#}");
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for pid in self.frozen.get_mut().map(std::mem::take).unwrap_or_default() {
            signal("CONT", pid);
        }
        let up = self.stack.script("up", &ALL).stdout(Stdio::null()).status();
        if !up.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("the servers could not be started again: {up:?}");
        }
    }
}

/// Sends a signal to one process.
///
/// By the command, because a crate for two signals does not pay.
pub(crate) fn signal(name: &str, pid: u32) {
    send_signal(name, &pid.to_string());
}

/// SIGSTOP to one process; none of its threads runs any more when this returns. On a busy machine that takes a moment, in
/// which a server may still answer.
///
/// # Panics
/// When one runs on.
pub(crate) fn freeze(pid: u32) {
    signal("STOP", pid);
    let begun = Instant::now();
    while !is_frozen(pid) {
        assert!(begun.elapsed() < Duration::from_secs(10), "process {pid} runs on after SIGSTOP");
        std::thread::yield_now();
    }
}

fn is_frozen(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    // The state stands behind the name in parentheses, which may hold anything.
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, rest)| matches!(rest.trim_start().as_bytes().first(), Some(b'T' | b'Z')))
    })
}

/// Sends a signal to a part of the stack, with whatever it has started: each part leads a group of its own.
fn signal_part(name: &str, pid: u32) {
    send_signal(name, &format!("-{pid}"));
}

fn send_signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args(["-s", name, "--", pid]).stderr(Stdio::null()).status();
    if !sent.as_ref().is_ok_and(std::process::ExitStatus::success) {
        eprintln!("signal {name} to {pid}: {sent:?}");
    }
}
