//! What became of the writes: an application that is answered, refused or left in the dark.

use anyhow::{bail, ensure};
use serde_json::Value;
use understudy_tests::Reply;

use crate::screen::number;

/// Documents, by what became of their writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub indexed: u64,
    pub created: u64,
    pub deleted: u64,
    /// `create` of what was there, `delete` of what was not.
    pub declined: u64,
    /// Answered with an error that says: nothing was written.
    pub refused: u64,
    /// Answered with an error that says: it may have been written. Or not answered at all.
    pub unknown: u64,
}

/// A request.
pub enum Write {
    /// One document, and what is done with it.
    One(&'static str),
    /// A bulk of so many.
    Bulk(usize),
}

/// What a gateway answers when it cannot tell, or cannot promise that the backup will have it.
const UNKNOWN: [&str; 2] = ["outcome_unknown_exception", "replication_pending_exception"];

/// What an answer that must be a refusal is.
pub fn is_refusal(reply: &Reply) -> bool {
    reply.status == 503 && !reply.error_type().is_empty()
}

impl Tally {
    /// Documents whose write was acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.indexed + self.created + self.deleted
    }

    /// What came since an earlier one.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            indexed: self.indexed - earlier.indexed,
            created: self.created - earlier.created,
            deleted: self.deleted - earlier.deleted,
            declined: self.declined - earlier.declined,
            refused: self.refused - earlier.refused,
            unknown: self.unknown - earlier.unknown,
        }
    }

    /// Counts a request with its answer. An error is one that no application should see.
    pub fn count(&mut self, write: &Write, answer: &Result<Reply, String>) -> anyhow::Result<()> {
        let documents = match write {
            Write::One(_) => 1,
            Write::Bulk(documents) => *documents as u64,
        };
        match answer {
            Ok(reply) => match (reply.status, write) {
                // 503 without a body of ours is the load balancer's: it found no gateway to connect to.
                (429 | 503, _) => self.refused += documents,
                // 502 and 504 are the load balancer's: a gateway that died, or did not answer.
                (502 | 504, _) => self.unknown += documents,
                (500, _) if UNKNOWN.contains(&reply.error_type().as_str()) => self.unknown += documents,
                (status, Write::One(action)) => {
                    self.count_document(action, status).map_err(|error| error.context(reply.to_string()))?;
                }
                (200, Write::Bulk(_)) => self.count_items(documents, reply)?,
                _ => bail!("{reply}"),
            },
            Err(_) => self.unknown += documents,
        }
        Ok(())
    }

    fn count_items(&mut self, documents: u64, reply: &Reply) -> anyhow::Result<()> {
        let answer: Value = serde_json::from_slice(&reply.body)?;
        let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(items.len() as u64 == documents, "{} items for {documents} actions: {reply}", items.len());
        for item in items {
            let Some((action, result)) = item.as_object().and_then(|item| item.iter().next()) else {
                bail!("an item without an action: {reply}");
            };
            let status = result["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
            self.count_document(action, status).map_err(|error| error.context(result.to_string()))?;
        }
        Ok(())
    }

    fn count_document(&mut self, action: &str, status: u16) -> anyhow::Result<()> {
        match (action, status) {
            ("index", 200 | 201) => self.indexed += 1,
            ("create", 201) => self.created += 1,
            ("delete", 200) => self.deleted += 1,
            ("create", 409) | ("delete", 404) => self.declined += 1,
            _ => bail!("{action} was answered with {status}"),
        }
        Ok(())
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (acknowledged, refused) = (number(self.acknowledged()), number(self.refused));
        write!(f, "{acknowledged} documents acknowledged, {refused} refused, {} unknown", number(self.unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_answers_are_counted() {
        let mut tally = Tally::default();
        tally.count_document("index", 201).unwrap();
        tally.count_document("delete", 404).unwrap();
        assert!(tally.count_document("index", 409).is_err() && tally.count_document("create", 500).is_err());
        assert_eq!((tally.acknowledged(), tally.declined), (1, 1));
        tally.count(&Write::Bulk(25), &Err("the connection broke".to_owned())).unwrap();
        assert_eq!(tally.to_string(), "1 documents acknowledged, 0 refused, 25 unknown");
    }
}
