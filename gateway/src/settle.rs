//! Settling intents: off the reply's path, after a second look.
//!
//! ```text
//! write (answered, its effects acknowledged) ─► queue ─► settle_after later: one look for all ─┬─ as it was ─► tombstone
//!                                                                                             └─ moved ────► stays open
//! ```
//!
//! Nodes act on a cluster state a moment before the master shows it. So what the guard trusted may have changed before the
//! write was applied, and only a look that begins some time after the answer would show it (`second_look`). What moved is
//! left to the reconciler, who reads the documents back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use understudy_common::{
    log::{LogTimes, Ticket},
    planted::{Bug, planted},
    state::{IndexLookup, IndexState, Sight},
};

use crate::gateway::Gateway;

/// An intent whose write is done.
pub struct Done {
    /// The intent.
    pub ticket: Ticket,
    /// What it says, for another one in its place.
    pub intent: Bytes,
    /// When the primary had answered.
    pub answered: Instant,
    /// What the guard saw after the answer, and trusted.
    pub seen: Sight,
    /// The mapping version that the effects named, by concrete index.
    pub mappings: BTreeMap<Arc<str>, u64>,
}

/// Where intents wait for the second look.
pub struct Settling {
    queue: mpsc::Sender<(Done, OwnedSemaphorePermit)>,
    bytes: Arc<Semaphore>,
}

/// Takes what waits, for the task that looks.
pub struct Waiting(mpsc::Receiver<(Done, OwnedSemaphorePermit)>);

/// Intents that may wait; more stay open, and the reconciler looks after them.
const INTENTS: usize = 65_536;
/// Bytes of their lists of documents.
const BYTES: usize = 64 << 20;
/// Settlements that are under way at once.
const AT_ONCE: usize = 256;

impl Settling {
    /// An empty queue, and its end.
    #[must_use]
    pub fn new() -> (Self, Waiting) {
        let (queue, waiting) = mpsc::channel(INTENTS);
        (Self { queue, bytes: Arc::new(Semaphore::new(BYTES)) }, Waiting(waiting))
    }

    /// Puts an intent into the queue; gives it back when there is no room.
    ///
    /// # Errors
    /// With the intent.
    pub fn put(&self, done: Done) -> Result<(), Box<Done>> {
        let bytes = u32::try_from(done.intent.len()).unwrap_or(u32::MAX);
        match self.bytes.clone().try_acquire_many_owned(bytes) {
            Ok(permit) => self.queue.try_send((done, permit)).map_err(|error| Box::new(error.into_inner().0)),
            Err(_) => Err(Box::new(done)),
        }
    }
}

impl Waiting {
    /// The next one; `None` when there is none and none comes any more.
    async fn next(&mut self, drained: &CancellationToken) -> Option<(Done, OwnedSemaphorePermit)> {
        tokio::select! {
            biased;
            next = self.0.recv() => next,
            () = drained.cancelled() => None,
        }
    }
}

/// Looks once more, and settles, until `drained` and nothing waits any more.
pub async fn run(gateway: &Gateway, mut waiting: Waiting, settle_after: Duration, drained: &CancellationToken) {
    let mut next = waiting.next(drained).await;
    while let Some(first) = next.take() {
        tokio::time::sleep_until(first.0.answered + settle_after).await;
        let now = Instant::now();
        let mut due = vec![first];
        while let Ok(another) = waiting.0.try_recv() {
            if another.0.answered + settle_after > now {
                next = Some(another);
                break;
            }
            due.push(another);
        }
        look_and_settle(gateway, due).await;
        if next.is_none() {
            next = waiting.next(drained).await;
        }
    }
}

async fn look_and_settle(gateway: &Gateway, mut due: Vec<(Done, OwnedSemaphorePermit)>) {
    let state = match gateway.looks.look().await {
        Ok(state) => state,
        Err(error) => {
            tracing::warn!(%error, intents = due.len(), "no second look at the cluster state: intents stay open");
            for (done, _) in due {
                gateway.stays_open(&done.ticket, done.intent, false);
            }
            return;
        }
    };
    let mut settlements = Vec::new();
    while !due.is_empty() {
        for (done, permit) in due.drain(..due.len().min(AT_ONCE)) {
            let names = done.seen.indices.keys().cloned().collect();
            let holds = if state == done.seen.state {
                Ok(())
            } else {
                match gateway.metadata.at(&state, &names).await {
                    Ok(now) => still_holds(&done.seen, &done.mappings, &now),
                    Err(error) => Err(error.to_string()),
                }
            };
            match holds {
                Ok(()) => settlements.push(async move {
                    let _permit = permit;
                    gateway.log.settle(&done.ticket).await;
                }),
                Err(_) if planted(Bug::NoGuard) => gateway.log.settle(&done.ticket).await,
                Err(reason) => {
                    tracing::info!(
                        request = &*done.ticket.request,
                        reason,
                        "an intent stays open after the second look"
                    );
                    gateway.stays_open(&done.ticket, done.intent, false);
                }
            }
        }
        futures::future::join_all(settlements.drain(..)).await;
    }
}

/// Whether a write that leaves its intent open must open another one (`reopen`): others may have settled the first one by
/// now, because this gateway was frozen or slow. `late`: its effects came too late to count, or it may have been sent so late
/// that it lingers longer than the reconciler waits.
#[must_use]
pub fn reopens(ticket: &Ticket, late: bool, times: LogTimes, now: std::time::Instant) -> bool {
    late || ticket.is_late(times, now)
}

/// Whether what the guard trusted is still so: the same UUIDs, settings and shard terms, the same aliases, and no newer
/// mapping than the effects named.
///
/// # Errors
/// With what changed.
pub fn still_holds(seen: &Sight, mappings: &BTreeMap<Arc<str>, u64>, now: &Sight) -> Result<(), String> {
    if seen.state.cluster_uuid != now.state.cluster_uuid {
        return Err("another cluster stands behind the primary's address".to_owned());
    }
    for (name, before) in &seen.indices {
        match (before, now.lookup(name)) {
            (IndexLookup::Concrete(before), IndexLookup::Concrete(now)) => {
                same(name, before, now, mappings.get(name))?;
            }
            (IndexLookup::Alias(before), IndexLookup::Alias(now)) => match (&before.write, &now.write) {
                (None, None) => {}
                (Some(before), Some(now)) if before.index == now.index && before.routing == now.routing => {
                    same(&now.index, &before.state, &now.state, mappings.get(&now.index))?;
                }
                _ => return Err(format!("the alias [{name}] changed")),
            },
            // A write that was refused left nothing behind.
            (IndexLookup::Absent, IndexLookup::Absent) => {}
            _ => return Err(format!("[{name}] is not what it was")),
        }
    }
    Ok(())
}

fn same(name: &str, before: &IndexState, now: &IndexState, named: Option<&u64>) -> Result<(), String> {
    if before.uuid != now.uuid {
        Err(format!("index [{name}] was made anew"))
    } else if before.settings_version != now.settings_version {
        Err(format!("the settings of index [{name}] changed"))
    } else if before.terms != now.terms {
        Err(format!("a shard of index [{name}] has another primary"))
    } else if named.is_some_and(|named| now.mapping_version > *named) {
        Err(format!("the mapping of index [{name}] grew"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
