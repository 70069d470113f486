//! Looks at both clusters and at Kafka, by code of its own.

mod clusters;
mod effects;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context;
use serde_json::Value;
use understudy_tests::{Record, Stage};

use crate::{
    history::Histories,
    ledger::Entry,
    seen::{Letter, Published, Seen, Shards},
    world::{MAPPED_BY_HAND, PICKY},
};

/// Everything the judge needs.
///
/// # Errors
/// When somebody does not answer.
pub async fn everything(stage: &Stage, entries: &[Entry], ticket_lifetime: Duration) -> anyhow::Result<Seen> {
    let (log, unreadable) = log(stage, ticket_lifetime).await?;
    let shards = shards(stage, entries, &log).await?;
    let mut seen = Seen { shards, log, unreadable, ..sides(stage).await? };
    seen.dead = dead_letters(stage).await?;
    seen.open = open_intents(stage).await?;
    seen.offsets = offsets(stage).await?;
    Ok(seen)
}

/// The effects of the backup's topic, and what cannot be read as such.
///
/// # Errors
/// When Kafka does not answer.
pub async fn log(stage: &Stage, ticket_lifetime: Duration) -> anyhow::Result<(Vec<Published>, Vec<String>)> {
    Ok(effects::of(&records(stage, "target.backup").await?, ticket_lifetime))
}

/// Both clusters, and nothing else.
///
/// # Errors
/// When one does not answer.
pub async fn sides(stage: &Stage) -> anyhow::Result<Seen> {
    let primary = clusters::side(&stage.primary(), &stage.index("*")).await.context("primary")?;
    let mut backup = clusters::side(&stage.backup(), &stage.index("*")).await.context("backup")?;
    // The one field that was mapped there by hand, and is no concern of whoever replicates.
    if let Some(fields) = backup.fields.get_mut(&stage.index(PICKY)) {
        fields.remove(MAPPED_BY_HAND);
    }
    Ok(Seen { primary, backup, ..Seen::default() })
}

/// The shard of every routing of the ledger and of the log, as the primary tells.
///
/// # Errors
/// When it does not answer.
pub async fn shards(stage: &Stage, entries: &[Entry], log: &[Published]) -> anyhow::Result<Shards> {
    let mut routings: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for attempt in Histories::of(entries, &Shards::default()).all() {
        let item = &attempt.item;
        if let Some(id) = &item.id {
            let by = item.routing.as_ref().unwrap_or(id).clone();
            routings.entry((item.index.clone(), id.clone())).or_default().insert(by);
        }
    }
    for effect in log {
        let by = effect.routing.as_ref().unwrap_or(&effect.id).clone();
        routings.entry((effect.index.clone(), effect.id.clone())).or_default().insert(by);
    }
    // Where an id has one routing it is one document, and it does not matter where.
    let mut wanted: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for ((index, _), routings) in routings.into_iter().filter(|(_, routings)| routings.len() > 1) {
        wanted.entry(index).or_default().extend(routings.into_iter().map(|routing| (routing, 0)));
    }
    for (index, routings) in &mut wanted {
        if clusters::number_of_shards(&stage.primary(), index).await? < 2 {
            routings.clear();
        }
        for (routing, shard) in routings {
            *shard = clusters::shard_of(&stage.primary(), index, routing).await?;
        }
    }
    Ok(Shards(wanted))
}

/// Intents without a tombstone behind them, and the ids of their documents.
///
/// # Errors
/// When Kafka does not answer.
pub async fn open_intents(stage: &Stage) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut open = BTreeMap::new();
    // Keys that begin with `look/` are notes beside the intents.
    for record in records(stage, "intents").await?.iter().filter(|record| !record.key_text().starts_with("look/")) {
        let Some(value) = &record.value else {
            open.remove(&record.key_text());
            continue;
        };
        let intent: Value = serde_json::from_slice(value).unwrap_or_default();
        let documents = intent["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ids = documents.iter().filter_map(|document| document[1].as_str()).map(str::to_owned).collect();
        open.insert(record.key_text(), ids);
    }
    Ok(open)
}

/// For each partition of the target's topic what is committed, and where it ends. What nobody committed is at its begin.
///
/// # Errors
/// When Kafka does not answer.
pub async fn offsets(stage: &Stage) -> anyhow::Result<BTreeMap<i32, (i64, i64)>> {
    let topic = stage.topic("target.backup");
    let committed = stage.kafka().committed(&stage.group(), &topic).await?;
    let ends = stage.kafka().offsets(&topic).await?;
    let of = |(partition, (first, next))| (partition, (committed.get(&partition).copied().unwrap_or(first), next));
    Ok(ends.into_iter().map(of).collect())
}

async fn records(stage: &Stage, topic: &str) -> anyhow::Result<Vec<Record>> {
    stage.kafka().records(&stage.topic(topic)).await.with_context(|| topic.to_owned())
}

/// Dead letters that stand in their topic: whoever decides upon one deletes it.
///
/// # Errors
/// When Kafka does not answer.
pub async fn dead_letters(stage: &Stage) -> anyhow::Result<Vec<Letter>> {
    Ok(records(stage, "dead.backup").await?.iter().map(letter).collect())
}

fn letter(record: &Record) -> Letter {
    let (partition, offset) = (record.partition, record.offset);
    let header = |name: &str| record.headers.get(name).cloned().unwrap_or_default();
    Letter {
        effect: effects::of_letter(record),
        status: header("understudy-dead-status"),
        error: header("understudy-dead-type"),
        shown: format!("partition {partition}, offset {offset}: {:?} {}", record.headers, record.text()),
    }
}
