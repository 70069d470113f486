//! Writing what became of letters to the control topic.

use std::time::Duration;

use futures::future::try_join_all;
use understudy_common::{
    control::{Became, DeadLetterRecord, key},
    kafka::Publisher,
    process::now_ms,
};

use super::{
    Failure,
    facts::Facts,
    letter::{Letter, LetterId},
    topic::Mailbox,
};

/// Records under way at once.
const AT_ONCE: usize = 500;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes marks.
pub struct Marker {
    publisher: Publisher,
    control: String,
    topic: String,
}

impl Marker {
    /// For the letters of `mailbox`.
    pub fn new(publisher: Publisher, mailbox: &Mailbox) -> Self {
        Self { publisher, control: mailbox.topics.control(), topic: mailbox.topic() }
    }

    /// Marks letters, in Kafka and in `facts`.
    ///
    /// # Errors
    /// When one is not acknowledged; some may be marked, and `facts` has none of them.
    pub async fn mark(&self, letters: &[&Letter], became: Became, facts: &mut Facts) -> Result<(), Failure> {
        let at_ms = now_ms();
        let mark = |letter: &Letter| DeadLetterRecord { became, at_ms, letter_ms: letter.at_ms };
        for part in letters.chunks(AT_ONCE) {
            try_join_all(part.iter().map(|letter| async {
                let value = serde_json::to_vec(&mark(letter)).map_err(|error| Failure(error.to_string()))?;
                self.append(letter.id, Some(&value)).await
            }))
            .await?;
            part.iter().for_each(|letter| facts.mark(letter.id, mark(letter)));
        }
        Ok(())
    }

    /// Takes marks away.
    ///
    /// # Errors
    /// When one is not acknowledged; some may be gone.
    pub async fn forget(&self, ids: &[LetterId]) -> Result<(), Failure> {
        for part in ids.chunks(AT_ONCE) {
            try_join_all(part.iter().map(|id| self.append(*id, None))).await?;
        }
        Ok(())
    }

    async fn append(&self, id: LetterId, value: Option<&[u8]>) -> Result<(), Failure> {
        let key = key::dead_letter(&self.topic, id.partition, id.offset);
        let appended = self.publisher.append(&self.control, 0, &key, value, &[], TIMEOUT).await;
        appended.map_err(|error| Failure(format!("cannot note in {} what became of {id}: {error}", self.control)))
    }
}
