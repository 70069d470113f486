//! What chance would play too seldom: a gateway that stands still between the primary's answer and the publish, while others
//! delete the document and the backup forgets that it did.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;
use understudy_tests::{Process, Stage, eventually};

use crate::{
    aside::forget,
    kinds::late::{BESIDE, LATE_DELETE, LATE_PUT},
    ledger::Outcome,
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
    let acknowledged = async |writer: &mut Writer, kind| {
        let outcomes = writer.write(kind, &[kind], 1, PATIENCE).await;
        assert!(matches!(outcomes[..], [Outcome::Acknowledged(_)]), "{outcomes:?}");
    };
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
    gateways[0].thaw();
    let gone_on = async || gateways[0].admin().get("/livez").await.status == 200;
    eventually(PATIENCE, "the gateway goes on", gone_on).await;
    // What it holds goes out at once; judged before, it would not be there yet.
    tokio::time::sleep(FORGOTTEN).await;
    stage.wait_drained().await;
}
