//! Documents of a megabyte, and updates that change a few bytes of them. They are few: each is read, published, applied and
//! compared as a whole.

use serde_json::json;

use super::{Maker, body};
use crate::operation::{Action, Operation};

const IDS: [&str; 3] = ["large-1", "large-2", "large-3"];

fn id(maker: &mut Maker<'_>) -> Option<String> {
    Some((*maker.dice.pick(&IDS)).to_owned())
}

/// Once there were enough, a small one takes its place.
pub fn large(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.index(), id(maker));
    if maker.dice.percent(15) {
        return maker.operation(Action::Delete, &index, id);
    }
    let source = if maker.world.one_more_large() { body::large(maker) } else { body::plain(maker) };
    maker.operation(Action::Index, &index, id).storing(source)
}

/// What is replicated is the whole document.
pub fn update(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.index(), if maker.world.one_more_large() { id(maker) } else { Some(maker.id()) });
    let body = json!({"doc": {"w": maker.w, "n": maker.dice.below(1_000)}}).to_string();
    maker.operation(Action::Update, &index, id).saying(body)
}
