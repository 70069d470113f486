//! `understudy status`, on real Kafka, real clusters and real processes: what it says in each state, and by which exit status.
//! One test after another, for servers die here too.

mod servers;
mod standby;

use std::time::{Duration, Instant};

use serde_json::Value;
use understudy_tests::{Process, Stage, try_eventually};

/// How long a state may take to show.
const SHOWS: Duration = Duration::from_secs(90);
/// How long one look may take, with a busy machine allowed for.
const LOOK: Duration = Duration::from_secs(7);

/// What was said, and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {}\n{}", self.out, self.err))
    }

    /// Names of what was found.
    fn codes(&self) -> Vec<String> {
        let report = self.json();
        let findings = report["findings"].as_array().expect("findings").iter();
        findings.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
    }
}

/// `understudy status`, with the admin ports of these processes.
async fn status(stage: &Stage, processes: &[&Process], arguments: &[&str]) -> Said {
    let mut all = vec!["status".to_owned()];
    for process in processes {
        all.extend(["--admin".to_owned(), process.admin().base().replace("http://", "")]);
    }
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let output = stage.run("understudy", &all).await;
    assert!(begun.elapsed() < LOOK, "it took {:?}", begun.elapsed());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Waits until it ends with this exit status and these findings, the worst first; then prints what a person sees, for those who
/// run tests with `--nocapture`, and answers both.
async fn shows(stage: &Stage, processes: &[&Process], code: i32, findings: &[&str]) -> (Value, String) {
    let looked = async || {
        let said = status(stage, processes, &["--json"]).await;
        if said.code == Some(code) && said.codes() == findings {
            Ok(said.json())
        } else {
            Err(format!("exit status {:?} and {:?}: {}{}", said.code, said.codes(), said.out, said.err))
        }
    };
    let shown = try_eventually(SHOWS, looked).await;
    let report = shown.unwrap_or_else(|last| panic!("{code} and {findings:?} do not show: {last}"));
    let said = status(stage, processes, &[]).await;
    println!("--- {findings:?}\n{}{}", said.out, said.err);
    (report, said.out)
}
