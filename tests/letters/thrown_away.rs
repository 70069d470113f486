//! `drop`, and what is left of letters that are decided.

use serde_json::json;

use crate::{Broken, letters, listed};

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_dropped_and_in_the_end_deleted() {
    let broken = Broken::new("letters are dropped").await;
    let stage = &broken.stage;
    for id in ["a", "b", "c"] {
        broken.refused(id, "text").await;
    }
    broken.undecided(3.0).await;
    let said = letters(stage, &["drop", "0:1"]).await.expect(64);
    assert!(said.err.contains("--yes"), "nobody can be asked: {}", said.err);
    let said = letters(stage, &["drop", "0:1", "0:8", "--yes"]).await.expect(2);
    assert!(said.err.contains("no dead letter 0:8"), "{}", said.err);
    assert_eq!(listed(stage).await, ["0:0", "0:1", "0:2"], "nothing was dropped");

    let said = letters(stage, &["drop", "0:1", "--yes"]).await.expect(0).out;
    assert_eq!(said, "1 letter of backup is dropped.\n");
    assert_eq!(listed(stage).await, ["0:0", "0:2"]);
    assert_eq!(broken.offsets().await, (0, 3), "one before it is undecided");
    assert_eq!(broken.marks().await, [format!("dead/{}/0/1", stage.topic("dead.backup"))]);
    let all = letters(stage, &["list", "--all"]).await.expect(0).out;
    assert!(all.contains("DROPPED 20") && all.contains("2 dead letters of backup, and 1 that"), "{all}");

    letters(stage, &["drop", "0:0", "--yes"]).await.expect(0);
    assert_eq!(broken.offsets().await, (2, 3));
    assert!(broken.marks().await.is_empty());
    assert_eq!(listed(stage).await, ["0:2"]);
    let said = letters(stage, &["show", "0:1"]).await.expect(2).err;
    assert!(said.contains("0:1 is gone"), "{said}");

    letters(stage, &["drop", "--all", "--yes"]).await.expect(0);
    assert!(listed(stage).await.is_empty());
    assert!(stage.records("dead.backup").await.is_empty());
    broken.undecided(0.0).await;
    broken.refused("d", "text").await;
    assert_eq!(listed(stage).await, ["0:3"], "the next one is listed");
    // Gateways go by the control topic too.
    let gateway = stage.gateway().await;
    stage.through(&gateway).put(&format!("/{}/_doc/e", broken.index), "{}").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_may_be_redriven_while_it_is_kept() {
    let broken = Broken::new("dropped and redriven").await;
    let stage = &broken.stage;
    broken.refused("a", "text").await;
    broken.refused("b", "text").await;
    letters(stage, &["drop", "0:1", "--yes"]).await.expect(0);
    let shown = letters(stage, &["show", "0:1"]).await.expect(0).out;
    assert!(shown.contains("became     dropped at 20") && shown.contains("can be taken back"), "{shown}");
    broken.mend().await;
    letters(stage, &["redrive", "0:1"]).await.expect(0);
    stage.wait_drained().await;
    assert_eq!(broken.on_backup("b").await, json!({"o": {"x": "text"}}));
    assert_eq!(listed(stage).await, ["0:0"]);
}
