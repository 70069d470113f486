//! The judgement: primary and targets are equal, and nothing that was acknowledged is missing.

use crate::{run::differences, target::Documents, world::World};

/// What does not hold.
pub(crate) fn judge(world: &World) -> Vec<String> {
    let mut errors = Vec::new();
    let primary = world.primary.borrow();
    let documents: Documents = primary
        .shards
        .iter()
        .enumerate()
        .flat_map(|(shard, of)| {
            let named = move |(id, doc): (&u64, &crate::primary::Doc)| {
                ((shard as u32, *id), (doc.source.clone(), doc.routing.clone()))
            };
            of.primary.docs.iter().map(named)
        })
        .collect();
    for (number, target) in world.targets.borrow().iter().enumerate() {
        let there = target.documents();
        for key in differences(&documents, &there) {
            let kind = match (documents.get(&key), there.get(&key)) {
                (Some(_), None) => "LOST",
                (None, _) => "EXTRA",
                _ => "STALE",
            };
            let (have, want) = (there.get(&key), documents.get(&key));
            errors.push(format!("{kind} d{} on target {number}: {have:?}, and the primary has {want:?}", key.1));
        }
        for field in target.mapping.keys().filter(|field| primary.mapping.contains_key(field)) {
            if target.mapping[field] != primary.mapping[field] {
                errors.push(format!("MAPPING of f{field} on target {number}"));
            }
        }
    }
    for promise in world.acknowledged.borrow().iter() {
        let newest = primary.shards[promise.shard as usize].primary.newest.get(&promise.id);
        if newest.is_none_or(|newest| *newest < promise.order) {
            errors.push(format!(
                "GONE d{}: write {} was acknowledged as {:?}, and the primary has {newest:?}",
                promise.id, promise.write, promise.order
            ));
        }
    }
    errors.extend(world.dead_letters.borrow().iter().map(|letter| format!("DEAD {letter}")));
    errors
}
