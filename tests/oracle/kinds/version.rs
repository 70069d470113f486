//! Versions that clients keep themselves.

use super::{Maker, body};
use crate::operation::{Action, Operation};

/// Mostly rising. Sometimes an old one, which is a conflict, or falls where a delete is forgotten.
fn version(maker: &mut Maker<'_>) -> u64 {
    let next = maker.world.next_version();
    if maker.dice.percent(25) { maker.dice.between(1, next) } else { next }
}

fn put(maker: &mut Maker<'_>, index: &str, how: &str) -> Operation {
    let id = maker.id();
    let (version, source) = (version(maker), body::plain(maker));
    let operation = maker.operation(Action::Index, index, Some(id)).storing(source);
    operation.with("version", version).with("version_type", how)
}

fn delete(maker: &mut Maker<'_>, index: &str) -> Operation {
    let (id, version) = (maker.id(), version(maker));
    let operation = maker.operation(Action::Delete, index, Some(id));
    operation.with("version", version).with("version_type", "external")
}

pub fn external(maker: &mut Maker<'_>) -> Operation {
    let index = maker.world.versions.clone();
    put(maker, &index, "external")
}

pub fn external_gte(maker: &mut Maker<'_>) -> Operation {
    let index = maker.world.versions.clone();
    put(maker, &index, "external_gte")
}

pub fn external_delete(maker: &mut Maker<'_>) -> Operation {
    let index = maker.world.versions.clone();
    delete(maker, &index)
}

/// Writes with a client's version and without one, of the same documents.
pub fn mixed(maker: &mut Maker<'_>) -> Operation {
    let index = maker.world.mixed.clone();
    match maker.dice.below(10) {
        0..=3 => put(maker, &index, "external"),
        4 => put(maker, &index, "external_gte"),
        5 => delete(maker, &index),
        6 => {
            let id = maker.id();
            maker.operation(Action::Delete, &index, Some(id))
        }
        _ => {
            let (id, source) = (maker.id(), body::plain(maker));
            maker.operation(Action::Index, &index, Some(id)).storing(source)
        }
    }
}
