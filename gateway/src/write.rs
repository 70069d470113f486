//! Writes of documents: what a request asks for, what is sent to the primary, what its answer means.
//!
//! ```text
//! request ─► plan (bulk.rs, document.rs) ─► PlannedWrite ─► primary ─► answer.rs ─► outcomes ─► decide.rs ─► Decision
//!                                                                                   index states before, after ─┘
//! ```
//!
//! Everything here is pure: no I/O, no clock.

pub mod answer;
pub mod bulk;
pub mod decide;
pub mod document;
pub mod plan;
mod update;
