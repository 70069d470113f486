//! Rows a and f: what a gateway needs, against nginx, in front of a cluster that takes no time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use understudy_tests::{Http, Process, Stage};

use super::{index, micros_each, stage};
use crate::{
    Size, cpu,
    documents::Documents,
    load::closed,
    nginx::Nginx,
    null::NullCluster,
    table::{Spread, Table},
};

/// Documents of a bulk.
const BULK: u64 = 100;
const BULKS: usize = 64;
const WRITERS: usize = 8;
const READERS: usize = 16;
/// Where gateway and nginx run, and where everything else does.
const PROXIES: usize = 1;

/// A way to the cluster.
struct Way {
    name: &'static str,
    http: Http,
    index: String,
    pids: Vec<u32>,
}

/// Rounds of one way.
#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    micros: Vec<f64>,
}

pub async fn measure(table: &mut Table, size: Size) {
    let stage = stage("bench proxies");
    let null = NullCluster::before(stage.primary()).await;
    let stage = stage.with_cluster("primary", null.address());
    let (gateway, ways, _nginx) = ways(&stage, &null).await;
    let pinned = ways.iter().flat_map(|way| &way.pids).all(|pid| cpu::pin(*pid, PROXIES));
    table.tell(
        'a',
        "gateway and nginx have a processor of their own",
        if pinned { "yes" } else { "no: taskset fails" },
    );

    let documents = Documents::new();
    let bodies: Arc<Vec<Bytes>> = Arc::new((0..BULKS).map(|_| documents.bulk(BULK)).collect());
    let writes = rounds(&ways, size, BULK, WRITERS, move |way, turn| {
        way.http.request("POST", &format!("/{}/_bulk", way.index)).body(bodies[turn % BULKS].clone())
    });
    let writes = writes.await;
    tell(table, 'a', &writes, "documents a second", "µs of processor time a document");
    let replicated = Spread::of(writes["gateway, replicated"].micros.clone());
    table.judge('a', "gateway with replication, µs a document", replicated, "≤ 5", replicated.median <= 5.0);
    let ratio = |of: &str, to: &str| {
        Spread::of(writes[of].per_second.clone()).median / Spread::of(writes[to].per_second.clone()).median
    };
    table.tell(
        'a',
        "documents a second, replicated : nginx",
        crate::table::short(ratio("gateway, replicated", "nginx")),
    );

    let reads =
        rounds(&ways, size, 1, READERS, |way, _| way.http.request("GET", &format!("/{}/_doc/1", way.index))).await;
    tell(table, 'f', &reads, "reads a second", "µs of processor time a read");
    let ratio = Spread::of(reads["gateway, replicated"].per_second.clone()).median
        / Spread::of(reads["nginx"].per_second.clone()).median;
    table.judge('f', "reads a second, gateway : nginx", crate::table::short(ratio), "≥ 0.8", ratio >= 0.8);
    drop(gateway);
}

async fn ways(stage: &Stage, null: &NullCluster) -> (Process, Vec<Way>, Nginx) {
    let gateway = stage.gateway().await;
    let nginx = Nginx::before(null.address(), stage.folder()).await;
    let through = stage.through(&gateway);
    let (inside, outside) = (stage.index("bench"), format!("outside-{}", stage.index("bench")));
    for name in [&inside, &outside] {
        index(&through, name).await;
        through.put(&format!("/{name}/_doc/1"), "{\"number\":1,\"text\":\"one\"}").await.expect(201);
    }
    let way = |name, http: Http, index: &str, pids| Way { name, http, index: index.to_owned(), pids };
    let ways = vec![
        way("direct", Http::new(null.address()), &outside, Vec::new()),
        way("nginx", Http::new(nginx.address()), &outside, nginx.pids()),
        way("gateway, not replicated", through.clone(), &outside, vec![gateway.pid()]),
        way("gateway, replicated", through, &inside, vec![gateway.pid()]),
    ];
    (gateway, ways, nginx)
}

/// One way after the other, again and again.
async fn rounds(
    ways: &[Way],
    size: Size,
    each: u64,
    clients: usize,
    call: impl Fn(&Arc<Way>, usize) -> understudy_tests::Call + Clone + Send + Sync + 'static,
) -> BTreeMap<&'static str, Rounds> {
    let mut all: BTreeMap<&'static str, Rounds> = BTreeMap::new();
    for round in 0..=size.rounds {
        for way in ways {
            let shared = Arc::new(Way {
                name: way.name,
                http: way.http.clone(),
                index: way.index.clone(),
                pids: way.pids.clone(),
            });
            let (call, turn) = (call.clone(), std::sync::atomic::AtomicUsize::new(0));
            let before = cpu::time(&way.pids);
            let load = closed(clients, Duration::from_secs(size.seconds), move || {
                call(&shared, turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            });
            let load = load.await;
            // The first round fills pools and caches.
            if round > 0 {
                let rounds = all.entry(way.name).or_default();
                rounds.per_second.push(load.per_second() * each as f64);
                rounds.micros.push(micros_each(cpu::time(&way.pids) - before, load.requests * each));
            }
        }
    }
    all
}

fn tell(table: &mut Table, letter: char, all: &BTreeMap<&'static str, Rounds>, rate: &str, time: &str) {
    for (name, rounds) in all {
        table.tell(letter, &format!("{name}: {rate}"), Spread::of(rounds.per_second.clone()));
        if *name != "direct" {
            table.tell(letter, &format!("{name}: {time}"), Spread::of(rounds.micros.clone()));
        }
    }
}
