//! Every document of an index, first as the primary has them, then as the target does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    compare::{DocumentDifference, DocumentKey, Print, Stored, compare},
    comparison::Comparison,
    indices::{self, IndexState, Planned},
    scan::{Page, Scan},
    side::Failure,
    suspects::{self, Difference, Suspect},
};

/// How much longer than a wait a scroll is kept.
const SCROLL_SLACK: Duration = Duration::from_secs(300);

impl Comparison<'_> {
    /// An error of the index alone goes to its report.
    pub(super) async fn compare_index(&mut self, planned: &Planned) -> Result<(), Failure> {
        let index = &planned.index;
        match self.compare_index_inner(planned).await {
            Err(Failure::Index(error)) => {
                self.report(index).error = Some(error);
                futures::join!(self.primary.clear_scroll(), self.target.clear_scroll());
                Ok(())
            }
            result => {
                self.report(index).scanned = result.is_ok();
                result
            }
        }
    }

    async fn compare_index_inner(&mut self, planned: &Planned) -> Result<(), Failure> {
        let index = &planned.index;
        let (primary, target) = (self.primary, self.target);
        for (side, state) in [(primary, planned.primary), (target, planned.target)] {
            if state == Some(IndexState::Closed) {
                return Err(side.index_failure(index, "closed; open it to compare it"));
            }
        }
        let refresh = |side, state: Option<IndexState>| async move {
            if state.is_some() { indices::refresh(side, index).await } else { Ok(()) }
        };
        futures::try_join!(refresh(primary, planned.primary), refresh(target, planned.target))?;
        let sight = self.look_at_index(index).await?;
        if sight.difference.is_some() {
            let suspect = Suspect { index: index.clone(), document: None };
            self.suspects.note(suspect, Difference::Index, Some((sight.primary, sight.target)), Instant::now());
        }
        if planned.primary.is_some() {
            let mean_bytes = indices::mean_bytes(primary, index).await?;
            self.lookup.expect(mean_bytes);
            self.scan_primary(index).await?;
        }
        if planned.target.is_some() {
            self.scan_target(index).await?;
        }
        Ok(())
    }

    /// Every document of the primary: is it on the target, and alike?
    async fn scan_primary(&mut self, index: &Arc<str>) -> Result<(), Failure> {
        self.progress.say(format!("{index}: every document of {}", self.primary.name()));
        let (mut scan, mut page) = Scan::open(self.primary, index, self.keep_seconds()).await?;
        self.progress.expect(page.total);
        while !page.keys.is_empty() {
            self.report(index).primary_docs += page.keys.len() as u64;
            // The next page is fetched while this one is compared.
            let (found, next) = futures::try_join!(self.lookup.judge(&page.keys, found), scan.next())?;
            self.progress.advance(page.keys.len());
            for (key, found) in page.keys.into_iter().zip(found) {
                if let Some((difference, primary, target)) = found {
                    self.suspect(key, difference, Some((primary, target))).await?;
                }
            }
            page = next;
        }
        self.primary.clear_scroll().await;
        Ok(())
    }

    /// Every document of the target: does the primary have it? Whether it is alike was seen from the other side.
    async fn scan_target(&mut self, index: &Arc<str>) -> Result<(), Failure> {
        self.progress.say(format!("{index}: every document of {}", self.target.name()));
        let (mut scan, mut page) = Scan::open(self.target, index, self.keep_seconds()).await?;
        self.progress.expect(page.total);
        while !page.keys.is_empty() {
            self.report(index).target_docs += page.keys.len() as u64;
            let (found, next): (Vec<bool>, Page) = futures::try_join!(self.lookup.on_primary(&page.keys), scan.next())?;
            self.progress.advance(page.keys.len());
            for (key, _) in page.keys.into_iter().zip(found).filter(|(_, found)| !found) {
                self.suspect(key, DocumentDifference::Extra, None).await?;
            }
            page = next;
        }
        self.target.clear_scroll().await;
        Ok(())
    }

    async fn suspect(
        &mut self,
        key: DocumentKey,
        difference: DocumentDifference,
        states: Option<(Print, Print)>,
    ) -> Result<(), Failure> {
        if self.counting_on {
            let report = self.report(&key.index);
            report.not_looked_at_again += 1;
            report.count(difference);
            return Ok(());
        }
        let index = key.index.clone();
        let suspect = Suspect { index: index.clone(), document: Some(key) };
        self.suspects.note(suspect, Difference::Document(difference), states, Instant::now());
        if self.suspects.len() >= suspects::MOST {
            self.counting_on = !self.settle().await?;
            if let Some(error) = self.report(&index).error.clone() {
                return Err(Failure::Index(error));
            }
        }
        Ok(())
    }

    fn keep_seconds(&self) -> u64 {
        (self.arguments.patience + self.arguments.settle + SCROLL_SLACK).as_secs()
    }
}

/// What differs, with what both sides had.
pub(super) fn found(
    _: &DocumentKey,
    primary: &Stored<'_>,
    target: &Stored<'_>,
) -> Option<(DocumentDifference, Print, Print)> {
    compare(primary, target).map(|difference| (difference, primary.print(), target.print()))
}
