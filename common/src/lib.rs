//! What the gateway and the consumer of Understudy both speak.
//!
//! ```text
//! version, document, shard,      what a write did to one document
//!   effect
//! bulk, record, intent, schema,  how it is written down
//!   control, topics
//! lag                            how far a target is behind
//! kafka, cluster, servers        the two kinds of server, and which of them were tested
//! log, state, observe            what is said to the one and asked of the other: tickets and effects, looks at the
//!                                primary's cluster state, documents read back from its shards
//! config, telemetry, admin,      what every process has
//!   process, process_metrics,
//!   on_look, exposition
//! ```

pub mod admin;
pub mod bulk;
pub mod cluster;
pub mod config;
pub mod control;
pub mod document;
pub mod effect;
pub mod exposition;
pub mod intent;
pub mod kafka;
pub mod lag;
pub mod log;
pub mod object;
pub mod observe;
pub mod on_look;
pub mod planted;
pub mod process;
pub mod process_metrics;
pub mod record;
pub mod schema;
pub mod servers;
pub mod shard;
pub mod state;
pub mod telemetry;
pub mod tls;
pub mod topics;
pub mod undecided;
pub mod version;
