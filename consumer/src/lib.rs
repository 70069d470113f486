//! The consumer: applies a target's topic to its cluster, and keeps its offsets.
//!
//! ```text
//! source ─► engine (window, batcher, offsets) ─► request ─► service ─► target
//!              ▲    │                                          │
//!              │    ├─► schema: the target's indices           │
//!              │    └─► dead_letter                            │
//!              └────────────── verdict ◄───────────────────────┘
//! ```
//!
//! Pure decisions: [`engine`], [`window`], [`batcher`], [`offsets`], [`verdict`], [`request`], [`backoff`], `schema::plan`.
//! I/O: [`source`] (the only one that consumes by rdkafka), [`service`], [`force`], `schema::{follow, prepare}`,
//! [`dead_letter`], [`mod@reference`] (reads from the primary), [`report`],
//! [`identity`], [`undecided`], and [`driver`], the task that brings all of them together. Beside them, [`reconciler`] finishes what gateways
//! left open, for all targets.

pub mod backoff;
pub mod batcher;
pub mod begun;
pub mod dead_letter;
pub mod driver;
pub mod engine;
pub mod force;
pub mod identity;
pub mod metrics;
pub mod offsets;
pub mod reconciler;
pub mod reference;
pub mod report;
pub mod request;
pub mod schema;
pub mod service;
pub mod source;
pub mod undecided;
pub mod verdict;
pub mod window;

mod setup;

pub use setup::{ConsumerError, check, run};
