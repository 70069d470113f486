//! Several targets, their versions and settings, Kafka over TLS and SASL, consumers that hand over. One test after another,
//! for many start servers of their own, or kill some.

mod handover;
mod kafka;
mod settings;
mod several;
mod untested;
mod versions;

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

const SOON: Duration = Duration::from_secs(30);

/// One test at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}
