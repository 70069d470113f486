//! The writes of scenes.

use super::{Bulks, Kind, body, kind};
use crate::operation::Action;

/// The document that a frozen gateway has written and not published.
pub static LATE_PUT: Kind = kind("late-put", 0, Bulks::Never, |maker| {
    let (index, source) = (maker.world.single.clone(), body::plain(maker));
    maker.operation(Action::Index, &index, Some("late".to_owned())).storing(source)
});
/// It is deleted by way of another gateway meanwhile.
pub static LATE_DELETE: Kind = kind("late-delete", 0, Bulks::Never, |maker| {
    let index = maker.world.single.clone();
    maker.operation(Action::Delete, &index, Some("late".to_owned()))
});
/// Another document of that shard.
pub static BESIDE: Kind = kind("late-beside", 0, Bulks::Never, |maker| {
    let (index, source) = (maker.world.single.clone(), body::plain(maker));
    maker.operation(Action::Index, &index, Some("beside".to_owned())).storing(source)
});
/// A document that the picky index has before it is picky, ...
pub static FITS: Kind = kind("fits", 0, Bulks::Never, |maker| {
    let (index, source) = (maker.world.picky.clone(), body::plain(maker));
    maker.operation(Action::Index, &index, Some("fits".to_owned())).storing(source)
});
/// ... and what it refuses then: it keeps what it had.
pub static MISFITS: Kind = kind("misfits", 0, Bulks::Never, |maker| {
    let source = format!(r#"{{"w":"{}","o":{{"x":"no number"}}}}"#, maker.w);
    let index = maker.world.picky.clone();
    maker.operation(Action::Index, &index, Some("fits".to_owned())).storing(source)
});
