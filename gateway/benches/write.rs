//! The hot pure parts of a write: a bulk of a hundred documents of a kibibyte, from its bytes to records.
//! `cargo bench --package understudy-gateway`

#![allow(missing_docs, reason = "criterion's macro makes a function without")]

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hyper::StatusCode;
use understudy_common::{
    intent::IntentDocument,
    record::{self, Provenance},
    shard::ShardLayout,
    state::{IndexLookup, IndexState, Sight, StateId},
};
use understudy_gateway::{
    document_id::IdGenerator,
    route::Query,
    write::{
        answer::Answer,
        bulk,
        decide::decide,
        plan::{AnswerShape, Limits, PlannedWrite},
    },
};

const DOCUMENTS: u64 = 100;
const SIZE: usize = 1024;
const PARTITIONS: i32 = 12;

fn body() -> Bytes {
    let text = "x".repeat(SIZE - r#"{"text":""}"#.len());
    (0..DOCUMENTS)
        .map(|id| format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"text\":\"{text}\"}}\n"))
        .collect::<String>()
        .into()
}

fn answer() -> Bytes {
    let item = |id| {
        format!(
            r#"{{"index":{{"_index":"flights","_type":"_doc","_id":"{id}","_version":1,"result":"created","_shards":{{"total":2,"successful":1,"failed":0}},"_seq_no":{id},"_primary_term":1,"status":201}}}}"#
        )
    };
    let items: Vec<String> = (0..DOCUMENTS).map(item).collect();
    format!(r#"{{"took":7,"errors":false,"items":[{}]}}"#, items.join(",")).into()
}

fn plan(body: &Bytes, ids: &IdGenerator) -> PlannedWrite {
    let query = Query::parse("").expect("a query");
    bulk::plan(Some("flights"), query, body, ids, Limits { record_bytes: 10 << 20 }, |_| Ok(())).expect("a plan")
}

fn sight() -> Sight {
    let state = IndexState {
        uuid: "u".into(),
        metadata_version: 1,
        mapping_version: 1,
        settings_version: 1,
        aliases_version: 1,
        shards: ShardLayout { number: 1, routing: 1024, partition: 1 },
        has_pipeline: false,
        terms: BTreeMap::from([(0, 1)]),
    };
    Sight {
        state: StateId { cluster_uuid: "c".into(), version: 1, state_uuid: "s".into() },
        indices: BTreeMap::from([("flights".into(), IndexLookup::Concrete(Arc::new(state)))]),
    }
}

fn write(criterion: &mut Criterion) {
    let (body, answer, ids, sight) = (body(), answer(), IdGenerator::new(), sight());
    let planned = plan(&body, &ids);
    let read = |items| Answer::read(AnswerShape::Bulk, StatusCode::OK, &answer, items);
    let decision = decide(1, &planned.items, &sight, read(planned.items.len()), Some(&sight), false);
    assert_eq!(decision.effects.len() as u64, DOCUMENTS);
    let provenance =
        Provenance { request: "r".into(), ticket_ms: 1, answered_ms: 1, epoch: 1, gateway: "gateway-1".into() };

    let mut group = criterion.benchmark_group("bulk of 100");
    group.throughput(Throughput::Elements(DOCUMENTS));
    group.bench_function("plan", |bench| bench.iter(|| plan(black_box(&body), &ids)));
    group.bench_function("documents of its intent", |bench| {
        bench.iter(|| {
            let documents = planned.items.iter().map(|item| IntentDocument::from(item.key.clone()));
            serde_json::to_vec(&documents.collect::<Vec<_>>())
        });
    });
    group.bench_function("read the answer", |bench| bench.iter(|| read(black_box(planned.items.len()))));
    group.bench_function("read the answer, decide", |bench| {
        bench.iter(|| decide(1, &planned.items, &sight, read(planned.items.len()), Some(&sight), false));
    });
    group.bench_function("encode", |bench| {
        bench.iter(|| record::encode(&provenance, &decision.indices, &decision.effects, PARTITIONS, 1 << 20));
    });
    group.finish();
}

criterion_group!(benches, write);
criterion_main!(benches);
