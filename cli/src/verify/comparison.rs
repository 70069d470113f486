//! A primary and a target, from the listing of indices to the report.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use understudy_common::config::IndexPattern;

use super::{
    Arguments,
    indices::{self, IndexState, Planned},
    lookup::Lookup,
    pairing::Pair,
    progress::Progress,
    report::{ComparisonReport, Example, IndexReport, Outcome},
    side::{Failure, Side},
    suspects::Suspects,
};

/// A comparison under way.
pub struct Comparison<'a> {
    pub(super) pair: &'a Pair,
    pub(super) primary: &'a Side,
    pub(super) target: &'a Side,
    pub(super) arguments: &'a Arguments,
    pub(super) lookup: Lookup<'a>,
    pub(super) suspects: Suspects,
    pub(super) indices: BTreeMap<Arc<str>, IndexReport>,
    pub(super) examples: Vec<Example>,
    pub(super) progress: Progress,
    /// The list of suspects was full once and none of them was lag: what differs from then on is counted at first
    /// sight.
    pub(super) counting_on: bool,
    started: Instant,
}

impl<'a> Comparison<'a> {
    /// One that did not begin yet.
    pub fn new(pair: &'a Pair, primary: &'a Side, target: &'a Side, arguments: &'a Arguments) -> Self {
        Self {
            pair,
            primary,
            target,
            arguments,
            lookup: Lookup::new(primary, target),
            suspects: Suspects::default(),
            indices: BTreeMap::new(),
            examples: Vec::new(),
            progress: Progress::new(),
            counting_on: false,
            started: Instant::now(),
        }
    }

    /// Compares.
    pub async fn run(&mut self) -> Result<(), Failure> {
        let planned = self.plan().await?;
        for Planned { index, primary, target } in &planned {
            let report = IndexReport::new(index.clone(), primary.is_some(), target.is_some());
            self.indices.insert(index.clone(), report);
        }
        for index in &planned {
            self.compare_index(index).await?;
        }
        self.settle().await?;
        let late: Vec<_> = planned.into_iter().filter_map(|index| self.turned_up(index)).collect();
        for index in &late {
            self.forget(&index.index);
            self.compare_index(index).await?;
        }
        if !late.is_empty() {
            self.settle().await?;
        }
        self.count_again().await
    }

    /// What was found, however it ended.
    pub fn into_report(mut self, ended: Result<(), Failure>) -> ComparisonReport {
        self.progress.end();
        let error = ended.err().map(|failure| failure.to_string());
        // Cut short, what is still on the list is unknown.
        for (suspect, _) in self.suspects.take() {
            if let Some(report) = self.indices.get_mut(&suspect.index) {
                report.undecided += 1;
            }
        }
        self.indices.values_mut().for_each(IndexReport::conclude);
        let found = self.indices.values().map(|index| index.result).max().unwrap_or(Outcome::Equal);
        ComparisonReport {
            placement: self.pair.placement.clone(),
            primary: self.pair.primary.clone(),
            target: self.pair.target.clone(),
            result: if error.is_some() { Outcome::Incomplete } else { found },
            error,
            seconds: (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            indices: self.indices.into_values().collect(),
            differences: self.examples,
        }
    }

    async fn plan(&self) -> Result<Vec<Planned>, Failure> {
        // Both are asked before either error is told: when both are down, both are named.
        let (ours, theirs) = futures::join!(self.primary.cluster_uuid(), self.target.cluster_uuid());
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) if ours == theirs => {
                let same = format!("is the same cluster as {} (cluster_uuid {ours})", self.primary.name());
                return Err(self.target.failure(same));
            }
            (Ok(_), Ok(_)) => {}
            (Err(one), Err(other)) => return Err(Failure::Cluster(format!("{one}\n{other}"))),
            (Err(failure), _) | (_, Err(failure)) => return Err(failure),
        }
        let (ours, theirs) = futures::try_join!(indices::list(self.primary), indices::list(self.target))?;
        let only = self.arguments.index.as_deref().map(IndexPattern::new);
        let planned = indices::plan(&ours, &theirs, &self.pair.indices, only.as_ref());
        match &self.arguments.index {
            // A slip of the pen must not look like equality.
            Some(pattern) if planned.is_empty() => Err(Failure::Cluster(format!(
                "--index {pattern}: no index of placement {} matches on either side",
                self.pair.placement
            ))),
            _ => Ok(planned),
        }
    }

    pub(super) fn report(&mut self, index: &Arc<str>) -> &mut IndexReport {
        self.indices.entry(index.clone()).or_insert_with(|| IndexReport::new(index.clone(), true, true))
    }

    /// An index that was on one side only and is on both now: its other half was not scanned.
    fn turned_up(&self, mut planned: Planned) -> Option<Planned> {
        let report = self.indices.get(&planned.index)?;
        let half = planned.primary.is_none() != planned.target.is_none();
        if !half || !report.on_primary || !report.on_target || report.error.is_some() {
            return None;
        }
        planned.primary = Some(IndexState::Open);
        planned.target = Some(IndexState::Open);
        Some(planned)
    }

    /// Forgets what was found in an index, except that lag was seen.
    fn forget(&mut self, index: &Arc<str>) {
        self.suspects.forget_index(index);
        self.examples.retain(|example| example.index != *index);
        let report = self.report(index);
        *report = IndexReport { settled: report.settled, ..IndexReport::new(index.clone(), true, true) };
    }

    /// Where something settled, the documents that were scanned are not those that are there.
    async fn count_again(&mut self) -> Result<(), Failure> {
        let (primary, target) = (self.primary, self.target);
        let settled = |report: &&mut IndexReport| report.settled > 0 && report.error.is_none();
        for report in self.indices.values_mut().filter(settled) {
            let index = report.index.clone();
            let count = |side, there: bool| {
                let index = index.clone();
                async move {
                    if !there {
                        return Ok(0);
                    }
                    indices::refresh(side, &index).await?;
                    indices::count(side, &index).await
                }
            };
            match futures::try_join!(count(primary, report.on_primary), count(target, report.on_target)) {
                Ok((ours, theirs)) => (report.primary_docs, report.target_docs) = (ours, theirs),
                Err(Failure::Index(error)) => report.error = Some(error),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}
