//! Who watches: a real Prometheus scrapes real processes by `deploy/prometheus`, and everything that rules and dashboard ask is
//! asked of it. Servers die here; one test after another where they do.

mod dashboard;
mod expression;
mod faults;
mod files;
mod prometheus;
mod questions;

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use understudy_tests::{Process, Stage};

/// How long something may take to show.
const SOON: Duration = Duration::from_secs(40);

/// Has gateways that start from now on show a certificate.
fn with_tls(stage: Stage) -> Stage {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let [cert_file, key_file] = ["front.pem", "front.key"].map(|name| stage.folder().join(name));
    std::fs::write(&cert_file, params.self_signed(&key).expect("a certificate").pem()).expect("a file");
    std::fs::write(&key_file, key.serialize_pem()).expect("a file");
    stage
        .set("gateway.tls.cert_file", cert_file.display().to_string())
        .set("gateway.tls.key_file", key_file.display().to_string())
}

/// The name of a process as Prometheus has it.
fn instance(process: &Process) -> String {
    process.admin().base().replace("http://", "")
}
