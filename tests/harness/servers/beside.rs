//! One more server beside the stack.

use crate::Stack;

/// A server of its own beside the stack that tests share, stopped at its end; its log stays.
pub struct Beside {
    stack: Stack,
    part: &'static str,
}

impl Beside {
    /// Starts a search cluster of a kind that the local stack knows, such as `opensearch-2.19`.
    ///
    /// # Panics
    /// When there is no stack beside which it could stand, or when it does not start.
    pub async fn cluster(kind: &str) -> Self {
        Self::start(kind, "backup", &[("BACKUP", kind.to_owned())]).await
    }

    /// Starts a Kafka; the variables are those of the local stack.
    ///
    /// # Panics
    /// When there is no stack beside which it could stand, or when it does not start.
    pub async fn kafka(name: &str, variables: &[(&'static str, String)]) -> Self {
        Self::start(name, "kafka", variables).await
    }

    /// In a run directory beside that of the stack, so that what a killed test left is found and ended.
    async fn start(name: &str, part: &'static str, variables: &[(&'static str, String)]) -> Self {
        let shared = Stack::of_tests();
        let beside = format!("{}-{name}", shared.run().file_name().unwrap_or_default().to_string_lossy());
        let run = shared.run().with_file_name(beside);
        let stack = variables
            .iter()
            .fold(Stack::at(run).with("PORTS", "free"), |stack, (name, value)| stack.with(name, value.clone()));
        let server = Self { stack, part };
        for verb in ["down", "wipe", "up"] {
            server.run(verb).await;
        }
        server
    }

    /// Where its users connect.
    ///
    /// # Panics
    /// When it was never started.
    #[must_use]
    pub fn address(&self) -> String {
        self.stack.address(self.part)
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&self) {
        self.run("kill").await;
    }

    /// Starts it again; it is ready when this returns.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self) {
        self.run("start").await;
    }

    async fn run(&self, verb: &str) {
        let parts: &[&str] = if matches!(verb, "down" | "wipe") { &[] } else { &[self.part] };
        if let Err(error) = self.stack.run_script(verb, parts).await {
            panic!("{error:#}");
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let down = self.stack.script("down", &[]).stdout(std::process::Stdio::null()).status();
        if !down.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("a server beside the stack could not be stopped: {down:?}");
        }
    }
}
