//! A soak: most of what a gateway can take, for a long time, with clients that misbehave beside those that do not. In the end
//! nothing is left behind: no memory, no connection, no difference.
//!
//! ```sh
//! tests/run --test soak                        # 40 s: it runs, and leaves no connection
//! SECONDS_OF_SOAK=1200 tests/run --test soak   # memory must be flat too
//! ```

mod load;
mod misbehave;
mod usage;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use understudy_tests::{Servers, Stage, eventually};

use crate::{
    load::{Load, Writers},
    usage::{Growth, Watch},
};

/// How much of what it can take a gateway gets.
const SHARE: f64 = 0.7;
/// How long what it can take is measured.
const MEASURE: Duration = Duration::from_secs(10);
/// A run that is shorter says nothing of memory: windows, pools and queues are still filling.
const TELLS_MEMORY: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(120);

fn seconds() -> Duration {
    let seconds = std::env::var("SECONDS_OF_SOAK").ok().filter(|seconds| !seconds.is_empty());
    Duration::from_secs(seconds.map_or(40, |seconds| seconds.parse().expect("SECONDS_OF_SOAK: a number of seconds")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_with_clients_that_misbehave_leaves_nothing_behind() {
    // Alone: what a gateway can take is measured.
    let _servers = Servers::take().await;
    // A log of every request would be most of the work.
    let stage = Stage::new("soak").set("log.level", "warn");
    let (gateway, consumer) = (stage.gateway().await, stage.consumer().await);
    let writers = Arc::new(Writers::new(stage.through(&gateway), stage.index("soaked")));
    writers.create().await;

    let most = writers.run(Load::AsMuchAsItTakes, MEASURE).await.per_second();
    let load = Load::PerSecond(most * SHARE);
    println!("it takes {most:.0} bulks a second; {load} for {:?}", seconds());
    let watch = [Watch::of(&gateway), Watch::of(&consumer)];
    let rested = watch.each_ref().map(Watch::handles);

    let stop = CancellationToken::new();
    let rabble = tokio::spawn(misbehave::misbehave(gateway.address().to_owned(), stage.index("soaked"), stop.clone()));
    let looking = tokio::spawn(usage::sample(watch, stop.clone()));
    let told = writers.run(load, seconds()).await;
    stop.cancel();
    let misbehaved = rabble.await.expect("the rabble does not panic");
    let samples = looking.await.expect("looking does not panic");

    println!("{told}; beside them {misbehaved} connections misbehaved");
    assert!(told.failed.is_empty(), "clients that behave are served: {:?}", told.failed);
    assert!(misbehaved > 0 && told.bulks > 0);
    let watch = [Watch::of(&gateway), Watch::of(&consumer)];
    for ((watch, rested), samples) in watch.iter().zip(rested).zip(&samples) {
        // What idle connections of pools hold is closed within a minute.
        let closed = async || {
            let handles = watch.handles();
            if handles <= rested + usage::SPARE_HANDLES {
                Ok(())
            } else {
                Err(format!("{handles} handles, {rested} before"))
            }
        };
        eventually(SOON, "connections are closed", closed).await;
        let growth = Growth::of(samples);
        println!("{}: {growth}; {} handles, {rested} before", watch.name(), watch.handles());
        if seconds() >= TELLS_MEMORY {
            assert!(growth.is_flat(), "{}: {growth}", watch.name());
        }
    }
    stage.wait_settled().await;
    stage.wait_drained_within(SOON).await;
    stage.assert_equal(&stage.index("soaked")).await;
}
