//! The dead-letter topic: what a target will never take, with the reason.

use std::time::Duration;

use understudy_common::{
    kafka::{PublishError, Publisher},
    record::dead_header as header,
};

use crate::{
    backoff::{Backoff, dice},
    engine::DeadLetter,
    request,
};

/// Bytes of a reason that are kept.
const REASON_BYTES: usize = 1_000;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes dead letters.
pub struct DeadLetters {
    publisher: Publisher,
    from: String,
    to: String,
    max_backoff: Duration,
}

impl DeadLetters {
    /// From the topic `from` to the topic `to`.
    #[must_use]
    pub fn new(publisher: Publisher, from: String, to: String, max_backoff: Duration) -> Self {
        Self { publisher, from, to, max_backoff }
    }

    /// Keeps a dead letter; done when Kafka acknowledged it. Tries for ever.
    pub async fn keep(&self, letter: &DeadLetter) {
        let record = &letter.origin.record;
        let reason = cut(&letter.reason.text, REASON_BYTES);
        tracing::error!(
            partition = record.partition, offset = record.offset, request = %letter.origin.request,
            document = letter.effect.as_ref().map(|effect| effect.key.record_key()),
            status = letter.reason.status, kind = letter.reason.kind, reason,
            "the target refuses it for good: dead letter"
        );
        let value = match &letter.effect {
            Some(effect) => request::body(std::iter::once(effect)),
            None => record.value.clone(),
        };
        let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let headers = self.headers(letter, reason);
        let headers: Vec<(&str, String)> = headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let mut headers = headers;
        let mut value = value;
        let mut backoff = Backoff::new(self.max_backoff);
        let mut warned = false;
        while let Err(error) = self.append(record.partition, &key, value.as_deref(), &headers).await {
            if error == PublishError::TooLarge && value.is_some() {
                // With its reason it is larger than it was. Where it stands is said in the headers.
                value = None;
                headers.push((header::REFERENCE, "true".to_owned()));
                continue;
            }
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!(%error, "a dead letter is not kept yet; trying again");
            }
            tokio::time::sleep(backoff.next(dice())).await;
        }
    }

    fn headers(&self, letter: &DeadLetter, reason: &str) -> Vec<(String, String)> {
        let record = &letter.origin.record;
        let mut headers: Vec<(String, String)> =
            record.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        add(header::STATUS, letter.reason.status.to_string());
        add(header::TYPE, letter.reason.kind.clone());
        add(header::REASON, reason.to_owned());
        add(header::TOPIC, self.from.clone());
        add(header::PARTITION, record.partition.to_string());
        add(header::OFFSET, record.offset.to_string());
        headers
    }

    async fn append(
        &self,
        partition: i32,
        key: &str,
        value: Option<&[u8]>,
        headers: &[(&str, String)],
    ) -> Result<(), PublishError> {
        self.publisher.append(&self.to, partition, key, value, headers, TIMEOUT).await
    }
}

/// As much of a text as fits, in whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(cut("häh", 2), "h");
        assert_eq!(cut("häh", 3), "hä");
        assert_eq!(cut("häh", 30), "häh");
    }
}
