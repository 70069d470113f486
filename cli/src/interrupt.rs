//! Ending before the end.

/// What a shell says of a process that was interrupted.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Done when this process is asked to end.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
