//! The official Python clients, unchanged, against the gateway; then the backup is compared with the primary.

use std::{path::PathBuf, time::Duration};

use understudy_tests::{Process, Stage, repository};

use crate::{full, table::Table};

const SCRIPTS: [&str; 2] = ["elasticsearch_py", "opensearch_py"];
const RUN: Duration = Duration::from_secs(240);

/// Where `tests/conformance/clients/install` puts them.
fn python() -> PathBuf {
    repository().join("target/conformance/venv/bin/python")
}

/// Runs the scripts where the clients are installed, as `make conformance` sees to.
pub async fn compare(stage: &Stage, gateway: &Process, table: &mut Table) {
    if !python().exists() {
        assert!(!full(), "the official clients belong to the full form: tests/conformance/clients/install");
        println!("the official clients are not installed: tests/conformance/clients/install");
        return;
    }
    for script in SCRIPTS {
        let index = stage.index(&script.replace('_', "-"));
        let file = repository().join(format!("tests/conformance/clients/{script}.py"));
        let mut command = tokio::process::Command::new(python());
        command.arg(&file).args([gateway.address(), &index]).kill_on_drop(true);
        let output = tokio::time::timeout(RUN, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{script} does not end within {RUN:?}"));
        let output = output.unwrap_or_else(|error| panic!("{script}: {error}"));
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let calls = said.lines().filter(|line| line.starts_with("ok ")).count();
        let mut unexpected: Vec<String> =
            said.lines().filter(|line| line.starts_with("WRONG ")).map(|line| format!("{script}: {line}")).collect();
        if !output.status.success() && unexpected.is_empty() {
            unexpected.push(format!("{script}: {}\n{wrong}", output.status));
        }
        table.add_many(script, calls + unexpected.len(), unexpected);
        stage.assert_converges(&index).await;
    }
}
