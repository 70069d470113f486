//! What chance would play too seldom: a gateway that stands still between the primary's answer and the publish, while others
//! delete the document and the backup forgets that it did; and a log that is applied from its beginning once more.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;
use understudy_tests::{Process, Servers, Stage, eventually};

use crate::{
    aside::forget,
    kinds::{
        Kind,
        late::{BESIDE, FITS, LATE_DELETE, LATE_PUT, MISFITS},
    },
    ledger::Outcome,
    report::say,
    world::World,
    writers::Writer,
};

const PATIENCE: Duration = Duration::from_secs(15);
/// Several times as long as the backup remembers a delete.
const FORGOTTEN: Duration = Duration::from_millis(500);

/// The first gateway stands still for so long; its late effect must not bring the document back.
///
/// # Panics
/// When the other gateway's writes are not acknowledged, or do not arrive.
pub async fn of_a_frozen_gateway(
    stage: &Stage,
    world: &Arc<World>,
    folder: &Path,
    gateways: &[Process],
    frozen: Duration,
) {
    let mut writer = Writer::new("late", folder, world, stage, gateways);
    acknowledged(&mut writer, &BESIDE).await;
    forget(&stage.backup(), &stage.index("*")).await;
    let begun = Instant::now();
    writer.write_frozen(&LATE_PUT, 0, stage, &gateways[0]).await;
    acknowledged(&mut writer, &LATE_DELETE).await;
    stage.wait_drained().await;
    // A delete is forgotten by the next write after its time.
    tokio::time::sleep(FORGOTTEN).await;
    acknowledged(&mut writer, &BESIDE).await;
    stage.wait_drained().await;
    tokio::time::sleep_until(begun + frozen).await;
    go_on(stage, &gateways[0]).await;
}

/// The group of the consumers begins at the beginning of a log that holds every write and delete, on a backup that was
/// restarted and knows of no delete any more; then a gateway goes on that was stopped with a write in hand, which was deleted
/// meanwhile.
///
/// # Panics
/// When somebody does not stop or start, or the group has nothing to apply again.
pub async fn of_a_log_applied_again(
    stage: &Stage,
    servers: &Servers,
    world: &Arc<World>,
    folder: &Path,
    (gateways, consumers): (&[Process], &mut [Process]),
) {
    let mut writer = Writer::new("late", folder, world, stage, gateways);
    acknowledged(&mut writer, &BESIDE).await;
    forget(&stage.backup(), &stage.index("*")).await;
    writer.write_frozen(&LATE_PUT, 0, stage, &gateways[0]).await;
    acknowledged(&mut writer, &LATE_DELETE).await;
    stage.wait_drained().await;
    for consumer in &mut *consumers {
        consumer.stop().await;
    }
    // Deletes are remembered in a node's memory alone, and not as long as this.
    tokio::time::sleep(FORGOTTEN).await;
    servers.kill("backup").await;
    servers.start("backup").await;
    begin_again(stage).await;
    let lag = stage.lag().await;
    assert!(lag > 0, "there is nothing to apply again");
    say(&format!("  {lag} records are applied once more"));
    for consumer in consumers {
        consumer.restart().await;
    }
    stage.wait_drained().await;
    // The deletes that were applied anew are forgotten by the next write after their time.
    tokio::time::sleep(FORGOTTEN).await;
    acknowledged(&mut writer, &BESIDE).await;
    stage.wait_drained().await;
    go_on(stage, &gateways[0]).await;
}

/// Sets the group of the consumers to the beginning, once Kafka has heard that all of them have left.
pub async fn begin_again(stage: &Stage) {
    let (group, topic) = (stage.group(), stage.topic("target.backup"));
    let begin = async || stage.kafka().begin_again(&group, &topic).await;
    eventually(PATIENCE, "the group begins again", begin).await;
}

async fn acknowledged(writer: &mut Writer, kind: &'static Kind) {
    let outcomes = writer.write(kind, &[kind], 1, PATIENCE).await;
    assert!(matches!(outcomes[..], [Outcome::Acknowledged(_)]), "{outcomes:?}");
}

/// The gateway goes on, and what it held is out and done.
async fn go_on(stage: &Stage, gateway: &Process) {
    gateway.thaw();
    let gone_on = async || gateway.admin().get("/livez").await.status == 200;
    eventually(PATIENCE, "the gateway goes on", gone_on).await;
    // What it holds goes out at once; judged before, it would not be there yet.
    tokio::time::sleep(FORGOTTEN).await;
    stage.wait_drained().await;
}

/// Before the load: the index has arrived on the backup, where somebody maps a field that the primary does not map. From then on
/// the backup refuses some documents that the primary takes, also one of which it has an earlier state.
///
/// # Panics
/// When the first document does not arrive, or its misfit is not acknowledged.
pub async fn of_a_field_mapped_by_hand(stage: &Stage, world: &Arc<World>, folder: &Path, gateways: &[Process]) {
    let mut writer = Writer::new("picky", folder, world, stage, gateways);
    // Fakes may be at work, and refuse it.
    let mut acknowledged = async |kind: &'static Kind| {
        let outcomes = writer.write(kind, &[kind], 0, PATIENCE).await;
        matches!(outcomes[..], [Outcome::Acknowledged(_)])
    };
    eventually(PATIENCE, "the first document is written", async || acknowledged(&FITS).await).await;
    let there = async || stage.backup().get(&format!("/{}/_doc/fits", world.picky)).await.status == 200;
    eventually(PATIENCE, "the first document has arrived", there).await;
    world.map_by_hand(stage, false).await;
    eventually(PATIENCE, "what the backup refuses is written", async || acknowledged(&MISFITS).await).await;
}
