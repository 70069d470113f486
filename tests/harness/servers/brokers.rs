//! A Kafka of three brokers.

use crate::{Stack, process_lives};

/// Three brokers beside the stack that tests share, numbered from 1, with three replicas of which two must be in sync. A
/// broker counts as gone 3 s after its last sign of life. Stopped at its end; its logs stay.
pub struct Brokers {
    stack: Stack,
}

/// A broker that is back leads its partitions again after a few seconds, under whatever load there is; by default the
/// controller looks every five minutes.
const LEADERS: &str = "leader.imbalance.check.interval.seconds=3\nleader.imbalance.per.broker.percentage=0\n";

const PARTS: [&str; 3] = ["kafka", "kafka-2", "kafka-3"];

impl Brokers {
    /// Starts them, in a run directory beside that of the stack, so that what a killed test left is found and ended.
    ///
    /// # Panics
    /// When there is no stack beside which they could stand, or when they do not start.
    pub async fn start() -> Self {
        let shared = Stack::of_tests();
        let name = format!("{}-brokers", shared.run().file_name().unwrap_or_default().to_string_lossy());
        let run = shared.run().with_file_name(name);
        std::fs::create_dir_all(&run).unwrap_or_else(|error| panic!("{}: {error}", run.display()));
        let properties = run.join("leaders.properties");
        std::fs::write(&properties, LEADERS).unwrap_or_else(|error| panic!("{}: {error}", properties.display()));
        let stack = Stack::at(run)
            .with("PORTS", "free")
            .with("KAFKA_BROKERS", "3")
            .with("KAFKA_PROPERTIES", properties.display().to_string());
        let brokers = Self { stack };
        for verb in ["down", "wipe"] {
            brokers.run(verb, &[]).await;
        }
        brokers.run("up", &PARTS).await;
        brokers
    }

    /// `host:port` of each.
    ///
    /// # Panics
    /// When one was never started.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        PARTS.iter().map(|part| self.stack.address(part)).collect()
    }

    /// `kill -9`; its process is gone when this returns.
    ///
    /// # Panics
    /// When it did not run, or is still there.
    pub async fn kill(&self, broker: usize) {
        let part = self.stack.part(part(broker)).unwrap_or_else(|error| panic!("{error:#}"));
        let pid = part.pid.unwrap_or_else(|| panic!("broker {broker} does not run"));
        self.run("kill", &[self::part(broker)]).await;
        assert!(!process_lives(pid), "broker {broker} (pid {pid}) outlived kill -9");
    }

    /// Ends it orderly: what it leads is handed to others before it goes.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&self, broker: usize) {
        self.run("stop", &[part(broker)]).await;
    }

    /// Stops its process without ending it (SIGSTOP): connections stand and nobody answers.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn freeze(&self, broker: usize) {
        self.run("freeze", &[part(broker)]).await;
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Panics
    /// When it does not run.
    pub async fn thaw(&self, broker: usize) {
        self.run("thaw", &[part(broker)]).await;
    }

    /// Starts it again; it knows all others that run when this returns.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self, broker: usize) {
        self.run("start", &[part(broker)]).await;
    }

    /// Starts all that do not run, together: two of them have no quorum alone.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn restart_all(&self) {
        self.run("start", &PARTS).await;
    }

    async fn run(&self, verb: &str, parts: &[&str]) {
        if let Err(error) = self.stack.run_script(verb, parts).await {
            panic!("{error:#}");
        }
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let down = self.stack.script("down", &[]).stdout(std::process::Stdio::null()).status();
        if !down.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("the three brokers could not be stopped: {down:?}");
        }
    }
}

fn part(broker: usize) -> &'static str {
    PARTS.get(broker.wrapping_sub(1)).unwrap_or_else(|| panic!("there is no broker {broker}"))
}
