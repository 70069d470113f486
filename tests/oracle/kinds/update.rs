//! Updates. Each that changes a document sets its write id; scripts also keep a trail of those before.

use serde_json::{Value, json};

use super::{Maker, body};
use crate::{
    ledger::Leaves,
    operation::{Action, Operation},
};

/// One text for all, because a cluster compiles only some scripts a minute.
const TRAIL: &str = "if (ctx._source.trail == null) { ctx._source.trail = [] } \
                     if (ctx._source.trail.size() > 9) { ctx._source.trail.remove(0) } \
                     ctx._source.trail.add(params.w); ctx._source.w = params.w";

fn update(maker: &mut Maker<'_>, body: &Value) -> Operation {
    let (index, id) = (maker.index(), maker.id());
    let operation = maker.operation(Action::Update, &index, Some(id)).saying(body.to_string());
    let operation = if maker.dice.percent(25) { operation.routed(maker.routing()) } else { operation };
    if maker.dice.percent(50) { operation.with("retry_on_conflict", 3) } else { operation }
}

pub fn doc(maker: &mut Maker<'_>) -> Operation {
    let partial = json!({"doc": {"w": maker.w, "n": maker.dice.below(1_000)}});
    update(maker, &partial)
}

pub fn upsert(maker: &mut Maker<'_>) -> Operation {
    let body = json!({
        "script": {"source": TRAIL, "params": {"w": maker.w}},
        "upsert": {"w": maker.w, "trail": []},
        "scripted_upsert": maker.dice.percent(50),
    });
    update(maker, &body)
}

pub fn doc_as_upsert(maker: &mut Maker<'_>) -> Operation {
    let body = json!({"doc": {"w": maker.w, "part": maker.dice.below(9)}, "doc_as_upsert": true});
    update(maker, &body)
}

pub fn script(maker: &mut Maker<'_>) -> Operation {
    let body = json!({"script": {"source": TRAIL, "params": {"w": maker.w}}});
    update(maker, &body)
}

pub fn script_delete(maker: &mut Maker<'_>) -> Operation {
    let mut operation = update(maker, &json!({"script": {"source": "ctx.op = 'delete'"}}));
    operation.item.leaves = Leaves::Nothing;
    operation
}

pub fn script_none(maker: &mut Maker<'_>) -> Operation {
    let mut operation = update(maker, &json!({"script": {"source": "ctx.op = 'none'"}}));
    operation.item.leaves = Leaves::Unchanged;
    operation
}

/// A partial document that says nothing new; without `detect_noop` it is written all the same, with the old write id, so
/// that it says a new one then.
pub fn noop(maker: &mut Maker<'_>) -> Operation {
    if maker.dice.percent(25) {
        let source: Value = serde_json::from_str(&body::plain(maker)).expect("a source is JSON");
        return update(maker, &json!({"doc": source, "detect_noop": false}));
    }
    let mut operation = update(maker, &json!({"doc": {}}));
    operation.item.leaves = Leaves::Unchanged;
    operation
}
