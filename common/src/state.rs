//! What the primary's cluster state says: which state it is (one tiny call), and what indices are like in it.

mod aliases;
mod blocks;
mod look;
mod metadata;
mod sight;

pub(crate) use blocks::Blocks;
pub use look::Looks;
pub(crate) use metadata::{IndexBody, in_paths};
pub use metadata::{Metadata, MetadataError};
pub use sight::{AliasState, AliasWrite, IndexLookup, IndexState, Sight, StateId};
