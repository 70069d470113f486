//! Whatever happens in between, targets end with the greatest version that was validly published, and no commit passes
//! an effect that is not there. The engine runs as it is, against a model of Kafka and of a target that forgets deletes.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;
use understudy_common::{
    document::DocumentKey,
    effect::{DocumentState, Effect},
    kafka::LogRecord,
    record::{EffectsRecord, IndexNeed, Provenance, Unreadable, is_void},
    shard::ShardLayout,
    version::PackedVersion,
};

use super::*;
use crate::verdict::{BulkVerdict, Reason, Verdict};

mod rules;
mod scenarios;
mod world;

use world::{Kind, Request, World, Write};

const SHARDS: ShardLayout = ShardLayout { number: 1, routing: 1024, partition: 1 };

/// Requests of clients that give versions of their own in `versioned` of ten writes.
fn requests(versioned: u8) -> impl Strategy<Value = Vec<Request>> {
    // Delays reach beyond the ticket's lifetime (60 s), so some requests are void, and they overtake each other.
    let delay = prop_oneof![3 => 0i64..3_000, 2 => 0i64..59_999, 1 => 60_000i64..90_000];
    let kind = prop_oneof![
        8 => Just(Kind::Put),
        6 => Just(Kind::Delete),
        1 => Just(Kind::Poison),
        2 => Just(Kind::Observed),
        2 => Just(Kind::Reference),
    ];
    let write = (0u8..5, kind, 0u8..10, 1u64..12).prop_map(move |(document, kind, has_version, version)| Write {
        document,
        kind,
        client: (has_version < versioned).then_some(version),
    });
    let request = (prop::collection::vec(write, 1..5), 0i64..20_000, delay, 0u8..12, 0i64..=100);
    prop::collection::vec(request, 1..30).prop_map(|all| {
        let mut ticket_ms = 1_000_000;
        all.into_iter()
            .map(|(writes, after, delay, twice, before)| {
                ticket_ms += after;
                Request { ticket_ms, delay, before, writes, twice: twice == 0 }
            })
            .collect()
    })
}

fn converges(requests: &[Request], script: Vec<(u8, u32)>, actions: usize) {
    let mut world = World::new(requests, actions);
    for (action, dice) in script {
        world.act(action, dice);
    }
    world.settle();
    world.check_equal();
}

fn script() -> impl Strategy<Value = Vec<(u8, u32)>> {
    prop::collection::vec((0u8..100, any::<u32>()), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]
    #[test]
    fn targets_converge_and_commits_never_run_ahead(requests in requests(0), script in script(), actions in 1usize..8) {
        converges(&requests, script, actions);
    }

    #[test]
    fn so_they_do_where_clients_give_versions(requests in requests(4), script in script(), actions in 1usize..8) {
        converges(&requests, script, actions);
    }
}
