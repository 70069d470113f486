//! A primary of several nodes, and one with TLS and users. One test after another: each has servers of its own.

#[path = "../shards/corner.rs"]
#[allow(dead_code, reason = "shared with the tests of shards, which use more of it")]
mod corner;
mod load;
mod restarted;
mod secured;

/// Machines are small: what has servers of its own waits for its turn.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
