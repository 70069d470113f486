//! What a Kubernetes cluster would do to gateways and consumers, rehearsed with real processes under load: the chart's own
//! figures, the local stack's load balancer, and a Service beside it.
//!
//! ```text
//! clients ─► balancer (haproxy: checks of /readyz; a Service's endpoints) ─► pods (gateways) ─► … ─► consumers ─► backup
//!    └► ledger                                                                                        pause ◄──┘
//! ```
//!
//! ```sh
//! tests/run --test rolling          # a short form
//! make rolling-test                 # ROLLING=full: more steps, 100 MB, and the faults that must be seen
//! FAULT=consumer-killed make rolling-test    # a fault planted in the rehearsal itself, which must fail; see `Fault`
//! ```

mod balancer;
mod bulk;
mod consumers;
mod figures;
mod grace;
mod ledger;
mod load;
mod pause;
mod pods;
mod table;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use understudy_tests::{Stage, eventually};

use crate::{
    balancer::Balancer,
    bulk::Upload,
    consumers::Consumers,
    figures::Figures,
    ledger::Ledger,
    load::Load,
    pause::{Meter, Pauses},
    pods::Gateways,
    table::{Table, seconds},
};

/// The chart's default.
const PARTITIONS: usize = 12;
/// The longest that a partition may stand still.
const PAUSE: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(60);
/// Requests that are answered between two steps.
const BETWEEN: usize = 100;

fn full() -> bool {
    std::env::var("ROLLING").is_ok_and(|form| form == "full")
}

/// Faults of the rehearsal itself, by which each check is seen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Gateways end with SIGKILL.
    GatewayKilled,
    /// The load balancer asks nobody whether he is ready, and tries no other one for a connection that is refused. (Either of
    /// the two is enough.)
    NoChecks,
    /// A pod stays an endpoint of the Service.
    StillEndpoint,
    /// A consumer ends with SIGKILL, and its session with its time-out.
    ConsumerKilled,
}

impl Fault {
    /// The one that `FAULT` names.
    pub fn planted() -> Option<Self> {
        Some(match std::env::var("FAULT").ok().filter(|fault| !fault.is_empty())?.as_str() {
            "gateway-killed" => Self::GatewayKilled,
            "no-checks" => Self::NoChecks,
            "still-endpoint" => Self::StillEndpoint,
            "consumer-killed" => Self::ConsumerKilled,
            other => panic!("FAULT={other}: gateway-killed, no-checks, still-endpoint or consumer-killed"),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_and_consumers_come_and_go_under_load_and_nobody_notices() {
    let (mut table, mut other) = (Table::default(), Table::default());
    if full() {
        under_load(&mut table).await;
        grace::too_short(&mut other).await;
    } else {
        // That one mostly waits.
        tokio::join!(under_load(&mut table), grace::too_short(&mut other));
    }
    table.append(other);
    table.end();
}

async fn under_load(table: &mut Table) {
    let stage = Stage::new("rolling")
        .set("kafka.partitions", PARTITIONS)
        .set("gateway.drain_notice", figures::drain_notice())
        // Of one node, which takes a large bulk, others must wait: whether it is slow is not what is looked at here.
        .set("gateway.intent_timeout", "8s")
        // A log of every request would be most of the work.
        .set("log.level", "info");
    let mut figures = Figures::of(&stage);
    if !full() {
        figures.pre_stop = figures.pre_stop.min(Duration::from_secs(2));
        figures.min_ready = Duration::ZERO;
    }
    let balancer = Balancer::start(&stage).await;
    let mut gateways = Gateways::start(&stage, &balancer, figures, 2).await;
    let index = stage.index("i");
    let settings = "{\"settings\":{\"number_of_shards\":2,\"number_of_replicas\":0},\"mappings\":{\"dynamic\":false}}";
    balancer.http().put(&format!("/{index}"), settings).await.expect(200);
    let mut consumers = Consumers::start(&stage, figures, PARTITIONS).await;
    let (ledger, numbers) = (Arc::<Ledger>::default(), Arc::<AtomicU64>::default());
    let meter = Meter::start(&stage, balancer.http(), &index, PARTITIONS, &ledger).await;
    meter.all_move(SOON).await;
    let load = Load::start(&balancer, &index, &ledger, &numbers);
    load.more(BETWEEN).await;

    rolling_update(&mut gateways, &load, table).await;
    if full() {
        scale_gateways(&mut gateways, &load, table).await;
    }
    rebalance(&stage, &mut consumers, &meter, table).await;
    large_bulk(&mut gateways, (&balancer, &load), (&index, &ledger), table).await;

    let mut failures = meter.end().await;
    let told = load.end().await;
    println!("{told}");
    failures.extend(told.failures);
    let some: String = failures.iter().take(10).map(|failure| format!("\n  {failure}")).collect();
    println!("failed requests: {}{some}", failures.len());
    table.row(
        "all requests",
        format!("{} of {} failed", failures.len(), told.served),
        "none fails",
        failures.is_empty(),
    );
    if full() {
        let load = Load::start(&balancer, &index, &ledger, &numbers);
        gateway_dies(&mut gateways, load, table).await;
    }
    nothing_is_lost(&stage, &index, &ledger, table).await;
}

/// Every gateway is replaced, one after the other.
async fn rolling_update(gateways: &mut Gateways<'_>, load: &Load, table: &mut Table) {
    let before = load.served();
    for turn in 1..=2 {
        let took = gateways.replace_oldest().await;
        load.more(BETWEEN).await;
        let what = format!("gateway replaced ({turn} of 2)");
        table.row(
            &what,
            format!("gone {} after SIGTERM, {}", seconds(took), failed(load)),
            "exit 0, none fails",
            load.failed().is_none(),
        );
    }
    println!("{} requests meanwhile", load.served() - before);
}

async fn scale_gateways(gateways: &mut Gateways<'_>, load: &Load, table: &mut Table) {
    gateways.more(3).await;
    gateways.all_serve().await;
    load.more(BETWEEN).await;
    table.row("gateways 2 → 5", format!("all five serve, {}", failed(load)), "none fails", load.failed().is_none());
    let took = gateways.fewer(3).await;
    load.more(BETWEEN).await;
    let measured = format!("gone {} after SIGTERM, {}", seconds(took), failed(load));
    table.row("gateways 5 → 2", measured, "exit 0, none fails", load.failed().is_none());
}

fn failed(load: &Load) -> String {
    load.failed().map_or_else(|| "none failed".to_owned(), |_| "SOME FAILED".to_owned())
}

/// Consumers come and go: 1 → 4 → 2, and one that is replaced.
async fn rebalance(stage: &Stage, consumers: &mut Consumers<'_>, meter: &Meter, table: &mut Table) {
    for to in [4, 2] {
        let what = format!("consumers {} → {to}", consumers.len());
        let pauses = if Fault::planted() == Some(Fault::ConsumerKilled) && to < consumers.len() {
            consumers.kill_oldest(meter).await
        } else {
            consumers.scale(to, meter).await
        };
        pause_row(&what, &pauses, table);
    }
    if full() {
        let pauses = consumers.replace_oldest(meter).await;
        pause_row("consumer replaced", &pauses, table);
        // The meter must be able to see a pause: nobody hears of a consumer that is killed before its session ends.
        let pauses = consumers.kill_oldest(meter).await;
        let seen = pauses.longest() > PAUSE;
        table.row("consumer killed (kill -9)", paused(&pauses), "seen: longer than 5 s", seen);
    }
    drained(stage).await;
}

fn paused(pauses: &Pauses) -> String {
    format!("{} at most, {} partitions paused", seconds(pauses.longest()), pauses.stood_still())
}

fn pause_row(what: &str, pauses: &Pauses, table: &mut Table) {
    let of_each: Vec<String> = pauses.by_partition.iter().map(|(longest, _)| seconds(*longest)).collect();
    println!(
        "{what}: longest pause of each partition: {}; behind at most {}",
        of_each.join(", "),
        seconds(pauses.behind())
    );
    table.row(what, paused(pauses), "each partition under 5 s", pauses.longest() < PAUSE);
}

/// Waits until nothing waits.
async fn drained(stage: &Stage) {
    // Load goes on, so there is always something under way.
    let drained = async || {
        let lag = stage.lag().await;
        if lag < 200 { Ok(()) } else { Err(format!("{lag} records wait")) }
    };
    eventually(SOON, "the lag falls", drained).await;
}

/// A gateway gets SIGTERM when half of a large bulk has come.
async fn large_bulk(
    gateways: &mut Gateways<'_>,
    (balancer, load): (&Balancer, &Load),
    (index, ledger): (&str, &Arc<Ledger>),
    table: &mut Table,
) {
    // Elasticsearch takes 100 MiB, and holds back a tenth of its heap for what is being indexed.
    let bytes = if full() { 100 << 20 } else { 32 << 20 };
    gateways.more(1).await;
    let upload = Upload::begin(balancer.address(), index, "bulk", bytes).await;
    let held = upload.held();
    let holder = async || {
        for pod in gateways.pods() {
            if pod.metric("understudy_bytes_in_flight", &[]).await >= held as f64 {
                return Some(pod.name().to_owned());
            }
        }
        None
    };
    let holder = eventually(SOON, "a gateway holds the bulk", holder).await;
    let pod = gateways.take(&holder);
    let address = pod.address().trim_start_matches("http://").to_owned();
    let documents = upload.len();
    let sending = async {
        // The rest comes when the gateway accepts nothing more.
        eventually(SOON, "nobody is let in", async || std::net::TcpStream::connect(&address).is_err()).await;
        upload.finish(ledger).await
    };
    let (answer, took) = tokio::join!(sending, gateways.delete(pod));
    load.more(BETWEEN).await;
    let what = format!("SIGTERM during a bulk of {} MiB", bytes >> 20);
    if answer.status != 200 {
        println!("{}", answer.text);
    }
    let measured = format!("{}, {} of {documents}, gone {}", answer.status, answer.acknowledged(), seconds(took));
    let holds = answer.status == 200 && answer.acknowledged() == documents && load.failed().is_none();
    table.row(&what, measured, "answered in full, exit 0", holds);
}

/// A fault that clients cannot but notice, so that they are known to notice.
async fn gateway_dies(gateways: &mut Gateways<'_>, load: Load, table: &mut Table) {
    load.more(BETWEEN).await;
    let name = gateways.pods()[0].name().to_owned();
    let mut pod = gateways.take(&name);
    // What is under way stays under way.
    pod.freeze();
    tokio::time::sleep(Duration::from_millis(300)).await;
    pod.kill();
    eventually(SOON, "somebody notices", async || load.failed().is_some()).await;
    let told = load.end().await;
    let measured = format!("{} of {} failed", told.failures.len(), told.served);
    table.row("gateway killed (kill -9)", measured, "seen: some fail", !told.failures.is_empty());
}

/// Everything that was acknowledged is on the primary, and when the lag is gone, on the backup.
async fn nothing_is_lost(stage: &Stage, index: &str, ledger: &Arc<Ledger>, table: &mut Table) {
    stage.wait_settled().await;
    stage.wait_drained().await;
    table.row("lag", "0 records", "back to zero", true);
    for (name, side) in [("primary", stage.primary()), ("backup", stage.backup())] {
        let missing = ledger.missing(&side, index).await;
        println!("missing on the {name}: {:?}", missing.iter().take(10).collect::<Vec<_>>());
        let measured = format!("{} of {} missing", missing.len(), ledger.len());
        table.row(&format!("acknowledged documents on the {name}"), measured, "none", missing.is_empty());
    }
    stage.assert_equal(index).await;
    table.row("primary and backup", "equal", "equal", true);
}
