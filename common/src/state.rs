//! What the primary's cluster state says: which state it is (one tiny call), and what indices are like in it.

mod aliases;
mod look;
mod metadata;
mod sight;

pub use look::Looks;
pub(crate) use metadata::IndexBody;
pub use metadata::{Metadata, MetadataError};
pub use sight::{AliasState, AliasWrite, IndexLookup, IndexState, Sight, StateId};
