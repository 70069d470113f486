//! What is written: documents of a kibibyte, the same in every run.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

/// Bytes of a document's source.
pub const SIZE: usize = 1024;

/// Makes documents. Their text is of words from a vocabulary of 4,096, in no order: it compresses about as logs do.
pub struct Documents {
    next: AtomicU64,
}

impl Documents {
    /// Begins with the first.
    pub fn new() -> Self {
        Self::from(0)
    }

    /// Begins with that one.
    pub fn from(first: u64) -> Self {
        Self { next: AtomicU64::new(first) }
    }

    /// A bulk of new documents.
    pub fn bulk(&self, count: u64) -> Bytes {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let mut body = String::with_capacity(count as usize * (SIZE + 40));
        for number in first..first + count {
            let _ = writeln!(body, "{{\"index\":{{\"_id\":\"{number}\"}}}}");
            document(&mut body, number);
            body.push('\n');
        }
        body.into()
    }

    /// A new document, with its id.
    pub fn one(&self) -> (u64, Bytes) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut body = String::with_capacity(SIZE);
        document(&mut body, number);
        (number, body.into())
    }
}

fn document(out: &mut String, number: u64) {
    let begun = out.len();
    let _ = write!(out, "{{\"number\":{number},\"text\":\"");
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while out.len() - begun < SIZE - 12 {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = write!(out, "w{:x} ", (state >> 20) & 0xfff);
    }
    let rest = SIZE - 2 - (out.len() - begun);
    out.extend(std::iter::repeat_n('.', rest));
    out.push_str("\"}");
}

#[test]
fn documents_have_their_size_and_are_json() {
    let documents = Documents::new();
    let body = documents.bulk(50);
    for line in body.split(|byte| *byte == b'\n').skip(1).step_by(2) {
        assert_eq!(line.len(), SIZE);
        serde_json::from_slice::<serde_json::Value>(line).expect("JSON");
    }
    assert_eq!(documents.one().0, 50);
}
