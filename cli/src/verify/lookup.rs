//! The same documents on both sides, looked at side by side, in batches that fit their size.

use super::{
    batch::BatchSize,
    compare::{DocumentKey, Stored},
    mget::get,
    side::{Failure, MAX_ANSWER, Side},
};

/// Looks at documents on both sides.
pub struct Lookup<'a> {
    primary: &'a Side,
    target: &'a Side,
    batch: BatchSize,
}

/// Documents that are asked for at once where only their presence is of interest.
const WITHOUT_SOURCES: usize = 1000;

impl<'a> Lookup<'a> {
    /// Looks at documents of these clusters.
    pub fn new(primary: &'a Side, target: &'a Side) -> Self {
        Self { primary, target, batch: BatchSize::new() }
    }

    /// Documents of another index come, with a mean size of so many bytes on disk.
    pub fn expect(&mut self, mean_bytes: u64) {
        self.batch.expect(mean_bytes);
    }

    /// What `judge` finds in both copies of each document, all of one index, in their order.
    pub async fn judge<T>(
        &mut self,
        mut keys: &[DocumentKey],
        judge: impl Fn(&DocumentKey, &Stored<'_>, &Stored<'_>) -> T,
    ) -> Result<Vec<T>, Failure> {
        let mut judgements = Vec::with_capacity(keys.len());
        while !keys.is_empty() {
            let (batch, rest) = keys.split_at(self.batch.next().min(keys.len()));
            // One document alone has no halves.
            let limit = if batch.len() == 1 { MAX_ANSWER } else { BatchSize::MOST_BYTES };
            let (primary, target) =
                futures::try_join!(get(self.primary, batch, true, limit), get(self.target, batch, true, limit))?;
            let (Some(primary), Some(target)) = (primary, target) else {
                if batch.len() == 1 {
                    return Err(Failure::Index(format!(
                        "index {}: document {} is larger than {limit} bytes",
                        batch[0].index, batch[0].id
                    )));
                }
                self.batch.too_large(batch.len());
                continue;
            };
            let ours = primary.copies(self.primary, batch)?;
            let theirs = target.copies(self.target, batch)?;
            judgements
                .extend(batch.iter().zip(ours.iter().zip(&theirs)).map(|(key, (our, their))| judge(key, our, their)));
            self.batch.answered(batch.len(), primary.bytes().max(target.bytes()));
            keys = rest;
        }
        Ok(judgements)
    }

    /// Whether the primary has each of these documents, all of one index.
    pub async fn on_primary(&self, keys: &[DocumentKey]) -> Result<Vec<bool>, Failure> {
        let mut found = Vec::with_capacity(keys.len());
        for batch in keys.chunks(WITHOUT_SOURCES) {
            let Some(answer) = get(self.primary, batch, false, MAX_ANSWER).await? else {
                return Err(self.primary.index_failure(&batch[0].index, "_mget: the answer is too large"));
            };
            found.extend(answer.copies(self.primary, batch)?.iter().map(|copy| *copy != Stored::Absent));
        }
        Ok(found)
    }
}
