//! The verdict: `understudy verify`, document by document.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use understudy_tests::program;

use crate::{
    screen::{Screen, number, seconds},
    system::System,
};

/// What an equal comparison says.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// Documents on either side.
    pub documents: u64,
}

#[derive(Deserialize)]
struct Report {
    comparisons: Vec<Comparison>,
}

#[derive(Deserialize)]
struct Comparison {
    error: Option<String>,
    indices: Vec<Index>,
    differences: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Index {
    primary_docs: u64,
    missing: u64,
    extra: u64,
    different: u64,
}

/// A comparison of everything takes seconds.
const PATIENCE: Duration = Duration::from_secs(300);
const SHOWN: usize = 3;

/// Compares both sides. Everything but equality is an error.
pub async fn verify(system: &System, screen: Screen) -> anyhow::Result<Verified> {
    let began = Instant::now();
    let waiting = screen.wait("understudy verify: every document, on both sides");
    let mut command = tokio::process::Command::from(program("understudy")?);
    command.arg("verify").arg("--json").arg("--config").arg(system.stack.config()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| anyhow::anyhow!("understudy verify did not end within {PATIENCE:?}"))??;
    drop(waiting);
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0 | 1) => {}
        _ => bail!("understudy verify could not compare ({}): {}", output.status, said()),
    }
    let report: Report = serde_json::from_slice(&output.stdout).context("what understudy verify printed")?;
    let indices = || report.comparisons.iter().flat_map(|comparison| &comparison.indices);
    let documents = indices().map(|index| index.primary_docs).sum();
    if output.status.success() {
        screen.verified(&format!(
            "{} documents and their mappings, equal on both sides (compared in {})",
            number(documents),
            seconds(began.elapsed())
        ));
        return Ok(Verified { documents });
    }
    let count = |of: fn(&Index) -> u64| number(indices().map(of).sum());
    let mut text = format!(
        "primary and backup differ: {} documents missing on the backup, {} there only, {} different",
        count(|index| index.missing),
        count(|index| index.extra),
        count(|index| index.different)
    );
    let differences = report.comparisons.iter().flat_map(|comparison| &comparison.differences).take(SHOWN);
    for difference in differences {
        text.push_str(&format!("\n{difference}"));
    }
    for error in report.comparisons.iter().filter_map(|comparison| comparison.error.as_deref()) {
        text.push_str(&format!("\n{error}"));
    }
    bail!(text)
}
