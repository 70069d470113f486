//! Reading back what the log says: the records of intents, and who is the primary.

use std::sync::{Arc, PoisonError};

use serde::Deserialize;
use tokio::task::spawn_blocking;
use understudy_common::{
    control::{Facts, Roles},
    intent::Intent,
    kafka::{LogRecord, RangeReader, ReadError},
};

use super::Looker;
use crate::reconciler::turn::Turn;

/// Records between two wanted ones that are rather read than passed over.
const NEAR: i64 = 200;

impl Looker {
    /// Reads the intents of a turn back. One that is no longer there was settled or replaced.
    pub(super) async fn read_back(&self, turn: &mut Turn) -> Result<(), String> {
        let mut wanted: Vec<i64> = turn.offsets().collect();
        wanted.sort_unstable();
        let ranges: Vec<&[i64]> = wanted.chunk_by(|one, next| next - one <= NEAR).collect();
        for offsets in ranges {
            for (offset, key, value) in self.read_offsets(turn.partition, offsets.to_vec()).await? {
                let intent = match parse(&value) {
                    Ok(intent) => self.check(intent).await?,
                    Err(reason) => Err(reason),
                };
                turn.read(offset, &key, intent);
            }
        }
        Ok(())
    }

    /// Another epoch or primary than the placement's: perhaps that changed a moment ago.
    async fn check(&self, intent: Intent) -> Result<Result<Intent, String>, String> {
        if self.roles().await?.check(&intent).is_ok() {
            return Ok(Ok(intent));
        }
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(self.roles().await?.check(&intent).map(|()| intent))
    }

    async fn read_offsets(
        &self,
        partition: i32,
        offsets: Vec<i64>,
    ) -> Result<Vec<(i64, bytes::Bytes, bytes::Bytes)>, String> {
        let (kafka, topic, reader) = (self.config.kafka.clone(), self.topics.intents(), self.reader.clone());
        let (Some(first), Some(last)) = (offsets.first().copied(), offsets.last().copied()) else {
            return Ok(Vec::new());
        };
        let read = spawn_blocking(move || {
            let mut kept = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = kept.take().map_or_else(|| RangeReader::new(&kafka), Ok)?;
            let mut found = Vec::with_capacity(offsets.len());
            reader.read(&topic, partition, first, last + 1, |LogRecord { offset, key, value, .. }| {
                if let (Ok(_), Some(key), Some(value)) = (offsets.binary_search(&offset), key, value) {
                    found.push((offset, key, value));
                }
            })?;
            *kept = Some(reader);
            Ok::<_, ReadError>(found)
        });
        let read = read.await.map_err(|error| error.to_string())?;
        read.map_err(|error| format!("intents cannot be read back: {error}"))
    }

    /// Who is the primary, as it was read last.
    pub(super) async fn roles(&self) -> Result<Arc<Roles>, String> {
        let known = || self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roles) = known().clone() {
            return Ok(roles);
        }
        let (kafka, control) = (self.config.kafka.clone(), self.topics.control());
        let read = spawn_blocking(move || Facts::read(&kafka, &control)).await;
        let read = read.map_err(|error| error.to_string())?;
        let read = read.map_err(|error| format!("the control topic cannot be read: {error}"))?;
        let roles = read.roles(&self.placement.name).map_err(|error| error.to_string())?;
        let roles = Arc::new(roles.ok_or("no gateway has recorded the primary yet")?);
        *known() = Some(roles.clone());
        Ok(roles)
    }
}

/// Reads an intent; an error says what it is instead.
fn parse(value: &[u8]) -> Result<Intent, String> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    // A newer format may have other fields.
    let head: Head = serde_json::from_slice(value).map_err(|error| format!("it cannot be read: {error}"))?;
    if head.format != Intent::FORMAT {
        return Err(format!("it is of format {}, and this build reads format {}", head.format, Intent::FORMAT));
    }
    serde_json::from_slice(value).map_err(|error| format!("it cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_format_is_told() {
        let intent = |format: u32, more: &str| {
            format!(
                r#"{{"format":{format},"gateway":"g","epoch":1,"primary":"p","targets":["b"],"documents":[["i","1"]]{more}}}"#
            )
        };
        assert!(parse(intent(1, "").as_bytes()).is_ok());
        assert!(parse(intent(2, r#","new":1"#).as_bytes()).unwrap_err().contains("format 2"));
        assert!(parse(intent(1, r#","new":1"#).as_bytes()).unwrap_err().contains("unknown field"));
        assert!(parse(b"{}").is_err());
    }
}
