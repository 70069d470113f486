//! Writes to an index that changes under them, and those of the scene with a frozen gateway.

use super::{Kind, Maker, body, kind, through};
use crate::operation::{Action, Operation};

/// Into an index whose default pipeline comes and goes.
pub fn turned(maker: &mut Maker<'_>) -> Operation {
    through::into_turned(maker)
}

/// The document that a frozen gateway has written and not published.
pub static LATE_PUT: Kind = kind("late-put", 0, super::Bulks::Never, |maker| {
    let (index, source) = (maker.world.single.clone(), body::plain(maker));
    maker.operation(Action::Index, &index, Some("late".to_owned())).storing(source)
});
/// It is deleted by way of another gateway meanwhile.
pub static LATE_DELETE: Kind = kind("late-delete", 0, super::Bulks::Never, |maker| {
    let index = maker.world.single.clone();
    maker.operation(Action::Delete, &index, Some("late".to_owned()))
});
/// Another document of that shard.
pub static BESIDE: Kind = kind("late-beside", 0, super::Bulks::Never, |maker| {
    let (index, source) = (maker.world.single.clone(), body::plain(maker));
    maker.operation(Action::Index, &index, Some("beside".to_owned())).storing(source)
});
