//! The version of an effect: `epoch · 2^53 + primary_term · 2^40 + seq_no`.

use serde::{Deserialize, Serialize};

const EPOCH_BITS: u32 = 10;
const TERM_BITS: u32 = 13;
const SEQ_NO_BITS: u32 = 40;

/// What orders two effects of one document, and what a target stores as external version.
///
/// `seq_no` orders the writes of a shard, `primary_term` orders histories within one primary, `epoch` is raised whenever
/// another cluster becomes primary. External versions of Elasticsearch range over 0 … 2^63−1, so 63 bits are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackedVersion(u64);

/// A part of a version does not fit into its bits. The write is refused; nothing ever wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} {value} does not fit into {bits} bits of a packed version")]
pub struct VersionOverflow {
    part: &'static str,
    value: u64,
    bits: u32,
}

impl PackedVersion {
    /// The greatest sequence number that a version can have.
    pub const MAX_SEQ_NO: u64 = (1 << SEQ_NO_BITS) - 1;

    /// Packs the three parts.
    ///
    /// # Errors
    /// When a part needs more bits than it has (epoch 10, term 13, `seq_no` 40).
    pub fn pack(epoch: u64, primary_term: u64, seq_no: u64) -> Result<Self, VersionOverflow> {
        let fits = |part, value: u64, bits| {
            if value >> bits == 0 { Ok(value) } else { Err(VersionOverflow { part, value, bits }) }
        };
        let epoch = fits("epoch", epoch, EPOCH_BITS)?;
        let term = fits("primary_term", primary_term, TERM_BITS)?;
        let seq_no = fits("seq_no", seq_no, SEQ_NO_BITS)?;
        Ok(Self(epoch << (TERM_BITS + SEQ_NO_BITS) | term << SEQ_NO_BITS | seq_no))
    }

    /// Takes a version as it stands in a record.
    ///
    /// # Errors
    /// When it is beyond what an external version may be.
    pub fn from_raw(raw: u64) -> Result<Self, VersionOverflow> {
        if raw >> 63 == 0 { Ok(Self(raw)) } else { Err(VersionOverflow { part: "version", value: raw, bits: 63 }) }
    }

    /// The number that targets store.
    #[must_use]
    pub fn raw(self) -> u64 {
        self.0
    }

    /// The sequence number in it.
    #[must_use]
    pub fn seq_no(self) -> u64 {
        self.0 & Self::MAX_SEQ_NO
    }

    /// The epoch it was made in.
    #[must_use]
    pub fn epoch(self) -> u64 {
        self.0 >> (TERM_BITS + SEQ_NO_BITS)
    }
}

impl std::fmt::Display for PackedVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let term = self.0 >> SEQ_NO_BITS & ((1 << TERM_BITS) - 1);
        write!(f, "{}/{}/{}", self.epoch(), term, self.0 & Self::MAX_SEQ_NO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_outweighs_term_and_term_outweighs_seq_no() {
        let v = |e, t, s| PackedVersion::pack(e, t, s).unwrap();
        assert!(v(2, 0, 0) > v(1, (1 << 13) - 1, (1 << 40) - 1));
        assert!(v(1, 2, 0) > v(1, 1, (1 << 40) - 1));
        assert!(v(1, 1, 8) > v(1, 1, 7));
        assert_eq!(v(1, 1, 7).raw(), (1 << 53) + (1 << 40) + 7);
    }

    #[test]
    fn the_greatest_version_fits_an_external_version() {
        let greatest = PackedVersion::pack((1 << 10) - 1, (1 << 13) - 1, (1 << 40) - 1).unwrap();
        assert_eq!(greatest.raw(), i64::MAX as u64);
    }

    #[test]
    fn overflow_is_an_error_in_every_part() {
        for (e, t, s, part) in [(1 << 10, 1, 1, "epoch"), (1, 1 << 13, 1, "primary_term"), (1, 1, 1 << 40, "seq_no")] {
            let error = PackedVersion::pack(e, t, s).unwrap_err();
            assert!(error.to_string().starts_with(part), "{error}");
        }
        assert!(PackedVersion::from_raw(1 << 63).is_err());
    }
}
