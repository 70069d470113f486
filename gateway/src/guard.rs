//! What an effect assumes about its index must have been true while the primary applied it.
//!
//! ```text
//! write ─► look ─► state A ─► request ─► primary ─► answer ─► look (begun after the answer) ─► state B
//!                    │                                                                         │
//!                    └─ states of the indices at A                A = B: nothing moved ────────┤
//!                                                                 A ≠ B: states of the indices at B
//! ```

mod look;
mod metadata;
mod sight;

pub use look::Looks;
pub use metadata::{Metadata, MetadataError};
pub use sight::{IndexLookup, IndexState, Sight, StateId};
