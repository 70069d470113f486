//! How many documents are looked at at once. Pure.

use understudy_common::observe::DOCUMENTS;

/// As many documents as one look may have, and fewer where their sources are large: those of one look are held in memory.
#[derive(Clone, Copy, Debug)]
pub struct ChunkSize(usize);

const FIRST: usize = 100;
/// Sources of one look, about.
const BYTES: usize = 16 << 20;

impl Default for ChunkSize {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl ChunkSize {
    /// Documents of the next look.
    #[must_use]
    pub fn documents(self) -> usize {
        self.0
    }

    /// A look at so many documents held so many bytes of sources.
    pub fn learn(&mut self, documents: usize, bytes: usize) {
        let average = bytes / documents.max(1);
        self.0 = (BYTES / average.max(1)).clamp(1, (2 * self.0).min(DOCUMENTS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_sources_make_small_looks() {
        let mut size = ChunkSize::default();
        size.learn(100, 100 * 200);
        assert_eq!(size.documents(), 200, "it grows step by step");
        for _ in 0..9 {
            size.learn(size.documents(), 0);
        }
        assert_eq!(size.documents(), DOCUMENTS);
        size.learn(500, 500 << 20);
        assert_eq!(size.documents(), 16);
        size.learn(1, 100 << 20);
        assert_eq!(size.documents(), 1);
    }
}
