//! Writes that arrive as something else than they were sent: through aliases and pipelines.

use super::{Maker, body};
use crate::{
    operation::{Action, Operation},
    world::ALIAS_ROUTING,
};

fn whole(maker: &mut Maker<'_>, index: &str) -> Operation {
    let id = maker.id();
    match maker.dice.below(10) {
        0 | 1 => maker.operation(Action::Delete, index, Some(id)),
        2 => {
            let source = body::plain(maker);
            maker.operation(Action::Create, index, Some(id)).storing(source)
        }
        3 => {
            let source = body::plain(maker);
            maker.operation(Action::Index, index, None).storing(source)
        }
        _ => {
            let source = body::plain(maker);
            maker.operation(Action::Index, index, Some(id)).storing(source)
        }
    }
}

pub fn alias(maker: &mut Maker<'_>) -> Operation {
    let world = maker.world;
    let mut operation = whole(maker, &world.spread);
    operation.target.clone_from(&world.alias);
    operation
}

pub fn routed_alias(maker: &mut Maker<'_>) -> Operation {
    let world = maker.world;
    let mut operation = whole(maker, &world.spread);
    operation.target.clone_from(&world.routed_alias);
    operation.item.routing = Some(ALIAS_ROUTING.to_owned());
    operation
}

/// What is stored is not what was sent. Deletes run no pipeline.
fn piped(mut operation: Operation) -> Operation {
    operation.item.stored = None;
    operation
}

pub fn pipeline(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.index(), maker.id());
    let source = body::plain(maker);
    let pipeline = maker.dice.pick(&maker.world.pipelines).clone();
    piped(maker.operation(Action::Index, &index, Some(id)).storing(source).with("pipeline", pipeline))
}

/// Whether a pipeline runs is decided while it is under way.
pub fn turned(maker: &mut Maker<'_>) -> Operation {
    let index = maker.world.turned.clone();
    piped(whole(maker, &index))
}

pub fn default_pipeline(maker: &mut Maker<'_>) -> Operation {
    let index = maker.world.piped.clone();
    let operation = whole(maker, &index);
    // A client may also ask for no pipeline.
    if operation.action != Action::Delete && maker.dice.percent(20) {
        return operation.with("pipeline", "_none");
    }
    piped(operation)
}
