//! What the engine wants is done.

use std::time::Duration;

use tokio::time::Instant;
use understudy_common::planted::{Bug, planted};

use super::{Done, Driver};
use crate::{
    engine::{Bulk, Command, DeadLetter},
    offsets::Commit,
    verdict::{BulkVerdict, Verdict},
};

impl Driver {
    pub(super) fn execute(&mut self, command: Command) {
        match command {
            Command::Send(bulk) => self.send(bulk),
            Command::Prepare { index, mapping, sequence } => {
                let preparer = self.preparer.clone();
                self.spawn(async move {
                    let prepared = preparer.prepare(&index, mapping).await;
                    Done::Prepared(index, sequence, prepared)
                });
            }
            Command::DeadLetter(letter) => self.keep(letter),
            Command::Commit(commits) => {
                self.commits.extend(commits.into_iter().map(|commit| (commit.partition, commit)));
                self.commit();
            }
            Command::Pause { partition, generation } => self.pause(partition, generation, true),
            Command::Resume { partition, generation } => self.pause(partition, generation, false),
            Command::ReadFrom { partition, generation, offset, reason } => {
                tracing::warn!(partition, offset, reason, "reading again");
                if let Some(source) = &self.source {
                    source.read_from(partition, generation, offset);
                }
            }
            Command::Stopped { partition, generation, reason, detail } => {
                if let Some(source) = &self.source {
                    source.halt(partition, generation);
                }
                super::target::stopped(partition, reason, &detail);
            }
            Command::Released { partition, commit } => self.released(partition, commit),
            Command::TargetDown(reason) => self.set_up(false, &reason.to_string()),
            Command::TargetUp => self.set_up(true, ""),
            Command::Blocked { partition, reason } => {
                tracing::error!(partition, %reason, target = self.target, "the target refuses effects for now, which wait; somebody may have to act");
            }
            Command::Unblocked { partition } => {
                tracing::info!(partition, target = self.target, "the target takes the effects again");
            }
            Command::Unsettled { partition, taken_over } => self.unsettled(partition, taken_over),
            Command::Settled { partition } => self.settled(partition),
            Command::Report { partition, from, to } => self.report(partition, from, to),
            Command::Read(reference) => self.read(reference),
        }
    }

    fn send(&mut self, bulk: Bulk) {
        let (service, decided) = (self.service.clone(), Instant::now());
        if planted(Bug::Concurrent) {
            self.spawn(async move {
                let (id, done) = (bulk.id, vec![Verdict::Applied; bulk.effects.len()]);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(500 * (id % 3))).await;
                    service.send(&bulk, Instant::now()).await
                });
                Done::Answered(id, BulkVerdict::Items(done))
            });
            return;
        }
        self.spawn(async move {
            let verdict = service.send(&bulk, decided).await;
            Done::Answered(bulk.id, verdict)
        });
    }

    /// One commit at a time; what comes in between is committed with the next one.
    pub(super) fn commit(&mut self) {
        if self.committing || self.commits.is_empty() {
            return;
        }
        if let Some(source) = &self.source {
            let committed = source.commit(std::mem::take(&mut self.commits).into_values().collect());
            self.committing = true;
            self.spawn(async move { Done::Committed(committed.await) });
        }
    }

    fn pause(&self, partition: i32, generation: u64, paused: bool) {
        tracing::debug!(partition, paused, "buffer");
        if let Some(source) = &self.source {
            source.pause(partition, generation, paused);
        }
    }

    fn released(&mut self, partition: i32, commit: Option<Commit>) {
        let Some(revocation) = &mut self.revocation else { return };
        revocation.waiting.remove(&partition);
        revocation.commits.extend(commit);
        if revocation.waiting.is_empty()
            && let Some(revocation) = self.revocation.take()
        {
            let _ = revocation.done.try_send(revocation.commits);
            self.tell_assigned();
        }
    }

    fn keep(&mut self, letter: DeadLetter) {
        let letters = self.letters.clone();
        self.spawn(async move {
            letters.keep(&letter).await;
            Done::Kept(letter.ticket)
        });
    }
}
