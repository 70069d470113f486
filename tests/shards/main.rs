//! Shards of the primary that fail over, under load and with writes whose outcome nobody knows.
//!
//! A gateway knows one node of the primary. Tests kill or freeze the node that has a primary shard, which is another one,
//! or the gateway's own.

mod corner;
mod fails_over;
mod frozen;
mod writers;
