//! Whole documents under the gateway's or the client's id.

use super::{Maker, body};
use crate::operation::{Action, Operation};

pub fn index(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.index(), maker.id());
    let source = body::plain(maker);
    maker.operation(Action::Index, &index, Some(id)).storing(source)
}

pub fn create(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.index(), maker.id());
    let source = body::plain(maker);
    maker.operation(Action::Create, &index, Some(id)).storing(source)
}

pub fn delete(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.index(), maker.id());
    let operation = maker.operation(Action::Delete, &index, Some(id));
    if maker.dice.percent(30) { operation.routed(maker.routing()) } else { operation }
}

/// Compares with what some writer was told last, or with what may never have been.
pub fn conditional(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.index(), maker.id());
    let routing = maker.dice.percent(30).then(|| maker.routing());
    let known = maker.world.place(&index, &id, routing.as_deref()).filter(|_| maker.dice.percent(85));
    let (term, seq_no) = known.unwrap_or_else(|| (1, maker.dice.below(50)));
    let operation = if maker.dice.percent(25) {
        maker.operation(Action::Delete, &index, Some(id))
    } else {
        let source = body::plain(maker);
        maker.operation(Action::Index, &index, Some(id)).storing(source)
    };
    let operation = operation.with("if_seq_no", seq_no).with("if_primary_term", term);
    match routing {
        Some(routing) => operation.routed(routing),
        None => operation,
    }
}

pub fn auto_id(maker: &mut Maker<'_>) -> Operation {
    let index = maker.index();
    let source = body::plain(maker);
    let operation = maker.operation(Action::Index, &index, None).storing(source);
    if maker.dice.percent(20) { operation.routed(maker.routing()) } else { operation }
}

pub fn routing(maker: &mut Maker<'_>) -> Operation {
    let (index, id, routing) = (maker.index(), maker.id(), maker.routing());
    let source = body::plain(maker);
    let action = if maker.dice.percent(75) { Action::Index } else { Action::Create };
    maker.operation(action, &index, Some(id)).storing(source).routed(routing)
}

pub fn awkward(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.index(), maker.id());
    let source = body::awkward(maker);
    maker.operation(Action::Index, &index, Some(id)).storing(source)
}

pub fn pretty(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.index(), maker.id());
    let source = body::pretty(maker);
    maker.operation(Action::Index, &index, Some(id)).storing(source)
}

pub fn grown(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.world.grown.clone(), maker.id());
    if maker.dice.percent(15) {
        return maker.operation(Action::Delete, &index, Some(id));
    }
    let source = body::grown(maker);
    maker.operation(Action::Index, &index, Some(id)).storing(source)
}

/// Into the index whose copy refuses some.
pub fn misfit(maker: &mut Maker<'_>) -> Operation {
    let (index, id) = (maker.world.picky.clone(), maker.id());
    if maker.dice.percent(15) {
        return maker.operation(Action::Delete, &index, Some(id));
    }
    let source = body::misfit(maker);
    maker.operation(Action::Index, &index, Some(id)).storing(source)
}
