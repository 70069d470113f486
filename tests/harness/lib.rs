//! The vocabulary of the tests: real binaries as processes, real Kafka and real clusters, and faults.
//!
//! ```text
//! Stage       one test's own corner of the stack: topics, indices, configuration, folder
//!   Process   a gateway or a consumer: kill, stop, freeze, thaw, restart, log, metric
//!   Http      a client; stage.primary(), stage.backup(), stage.through(&gateway)
//!   Kafka     records, offsets and lag as Kafka itself tells them
//! Servers     kill and start Kafka, primary, backup; one holder at a time, all up again at its end
//! Nodes       a primary of three nodes beside the stack: kill, freeze, thaw, restart each of them
//! Secured     an Elasticsearch 8.19 with HTTPS and users beside the stack
//! Brokers     a Kafka of three brokers
//! Beside      one more server beside the stack: a cluster of any kind, a Kafka with listeners of its own
//! Fake        an HTTP server that misbehaves as a test says, alone or in front of a real cluster
//! RawConnection  half a request, or one that no client would send
//! eventually  awaits a condition, with a deadline
//! ```
//!
//! ```no_run
//! # use understudy_tests::*;
//! # async fn example() {
//! let stage = Stage::new("a write reaches the backup").set("kafka.partitions", 3);
//! let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
//! let flights = stage.index("flights");
//! stage.through(&gateway).put(&format!("/{flights}/_doc/1"), r#"{"delay": 14}"#).await.expect(201);
//! stage.assert_converges(&flights).await;
//! # }
//! ```
//!
//! All tests share one stack, which `make test` starts; see [`Stack::of_tests`].

mod compare;
mod eventually;
mod failpoint;
mod fake;
mod http;
mod kafka;
mod ports;
mod process;
mod servers;
mod socket;
mod stack;
mod stage;

pub use compare::{Difference, differences};
pub use eventually::{Seen, eventually, try_eventually};
pub use fake::{Fake, FakeAnswer, FakeRequest};
pub use http::{Call, Http, Reply};
pub use kafka::{Kafka, Record};
pub use ports::free_address;
pub use process::{Process, program, programs};
pub use servers::{Authority, Beside, Brokers, Nodes, Secured, Servers};
pub use socket::RawConnection;
pub use stack::{Part, Stack, process_lives, repository};
pub use stage::Stage;
pub use understudy_common::exposition::Metrics;
