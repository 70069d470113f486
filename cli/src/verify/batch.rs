//! How many documents are asked for at once: as many as make an answer of some megabytes. Pure.
//!
//! A server gathers such an answer in its memory before it sends it, and tells no sizes beforehand. So batches grow slowly,
//! shrink at once, and are never larger than the mean size of a document on disk makes sensible.

/// The size of batches of documents with their sources.
pub struct BatchSize {
    now: usize,
    most: usize,
}

impl BatchSize {
    const FIRST: usize = 100;
    const MOST: usize = 500;
    const WANTED_BYTES: u64 = 4 << 20;
    /// Answers above this are not read, but asked for again in halves.
    pub const MOST_BYTES: usize = 64 << 20;

    /// That of the first batch.
    pub fn new() -> Self {
        Self { now: Self::FIRST, most: Self::MOST }
    }

    /// Documents of another index come, with a mean size of so many bytes on disk.
    pub fn expect(&mut self, mean_bytes: u64) {
        self.most = fitting(Self::WANTED_BYTES, mean_bytes).clamp(1, Self::MOST);
        self.now = self.now.min(Self::FIRST);
    }

    /// So many documents are to be asked for next.
    pub fn next(&self) -> usize {
        self.now.min(self.most)
    }

    /// So many documents made an answer of so many bytes.
    pub fn answered(&mut self, asked: usize, bytes: usize) {
        let fitting = fitting(asked as u64 * Self::WANTED_BYTES, bytes as u64);
        self.now = fitting.clamp(1, (self.now * 2).min(Self::MOST));
    }

    /// So many documents made too large an answer.
    pub fn too_large(&mut self, asked: usize) {
        self.now = (asked / 2).max(1);
    }
}

fn fitting(wanted: u64, each: u64) -> usize {
    usize::try_from(wanted / each.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_follow_the_size_of_documents() {
        let mut batch = BatchSize::new();
        assert_eq!(batch.next(), 100);
        for grown in [200, 400, BatchSize::MOST, BatchSize::MOST] {
            let asked = batch.next();
            batch.answered(asked, asked * 100);
            assert_eq!(batch.next(), grown);
        }
        batch.answered(500, 60 << 20);
        assert_eq!(batch.next(), 33);
        batch.too_large(33);
        assert_eq!(batch.next(), 16);
        batch.answered(1, 100 << 20);
        assert_eq!(batch.next(), 1);
        batch.answered(1, 0);
        assert_eq!(batch.next(), 2);
    }

    #[test]
    fn the_mean_size_is_the_limit() {
        let mut batch = BatchSize::new();
        batch.expect(1 << 20);
        assert_eq!(batch.next(), 4);
        batch.answered(4, 100);
        assert_eq!(batch.next(), 4);
        batch.expect(100 << 20);
        assert_eq!(batch.next(), 1);
        batch.expect(0);
        assert_eq!(batch.next(), 100);
    }
}
