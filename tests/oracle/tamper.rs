//! Damage behind the system's back: a judge that never found anything proves nothing.

use anyhow::{Context, ensure};
use serde_json::json;
use understudy_tests::Stage;

use crate::{
    history::Histories,
    judge::Rule,
    ledger::{Leaves, Outcome, now},
    seen::{Document, Seen},
};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// A document disappears from the backup.
    Lost,
    /// A document of the backup becomes what an earlier write had made of it.
    Stale,
    /// The log gets a document that nobody wrote.
    Extra,
    /// A document disappears from both sides: they are equal, and yet a write is lost.
    Vanished,
}

/// All of them.
pub const ALL: [(&str, Tamper); 4] =
    [("lost", Tamper::Lost), ("stale", Tamper::Stale), ("extra", Tamper::Extra), ("vanished", Tamper::Vanished)];

impl Tamper {
    /// By its name.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, tamper)| *tamper).ok_or_else(|| format!("[{name}] is none of lost, stale, extra, vanished"))
    }

    /// What the judge must say of it.
    pub fn breaks(self) -> &'static [Rule] {
        match self {
            Self::Lost | Self::Stale => &[Rule::Different],
            Self::Extra => &[Rule::LogUnwritten, Rule::Unwritten, Rule::Different],
            Self::Vanished => &[Rule::Lost],
        }
    }

    /// Does it, once both sides are equal; answers the id of the document.
    ///
    /// # Errors
    /// When there is no document that fits.
    pub async fn commit(self, stage: &Stage, seen: &Seen, histories: &Histories) -> anyhow::Result<String> {
        let excused = |document: &&Document| {
            let key = seen.shards.key(&document.index, &document.id, document.routing.as_deref());
            // No write of unknown outcome may excuse what is done here, and no routing be in the way.
            let mut attempts = histories.of_document(&key);
            document.routing.is_some() || attempts.any(|attempt| matches!(attempt.outcome, Outcome::Unknown(_)))
        };
        let mut fit = seen.backup.documents.iter().filter(|document| !excused(document));
        let mut document = || fit.next().context("every document has writes of unknown outcome");
        match self {
            Self::Lost => {
                let document = document()?;
                delete(&stage.backup(), document).await?;
                Ok(document.id.clone())
            }
            Self::Vanished => {
                let document = document()?;
                delete(&stage.primary(), document).await?;
                delete(&stage.backup(), document).await?;
                Ok(document.id.clone())
            }
            Self::Stale => {
                let (document, older) = stale(seen, histories).context("no document has an earlier state")?;
                let path = path(document)?;
                // The same version, so that nothing but the source tells it apart.
                let path = format!("{path}?version={}&version_type=external_gte", document.version);
                let reply = stage.backup().put(&path, older).await;
                ensure!(reply.status < 300, "{reply}");
                Ok(document.id.clone())
            }
            Self::Extra => {
                let document = document()?;
                publish(stage, seen, document).await?;
                Ok("extra".to_owned())
            }
        }
    }
}

/// A document of the backup, and the source that an earlier acknowledged write had given it.
fn stale<'a>(seen: &'a Seen, histories: &Histories) -> Option<(&'a Document, String)> {
    seen.backup.documents.iter().filter(|document| document.routing.is_none()).find_map(|document| {
        let key = seen.shards.key(&document.index, &document.id, None);
        let current = document.write_id()?;
        let mut earlier = histories.of_document(&key).filter(|attempt| {
            let item = &attempt.item;
            let stood = attempt.outcome.written().is_some() && item.leaves == Leaves::Document;
            stood && item.w != current && item.routing.is_none() && item.stored.is_some()
        });
        Some((document, earlier.next()?.item.stored.clone()?))
    })
}

async fn delete(cluster: &understudy_tests::Http, document: &Document) -> anyhow::Result<()> {
    let version = document.version + 1;
    let reply = cluster.delete(&format!("{}?version={version}&version_type=external", path(document)?)).await;
    ensure!(reply.status == 200, "{reply}");
    Ok(())
}

fn path(document: &Document) -> anyhow::Result<String> {
    let id: String = document.id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    Ok(format!("/{}/_doc/{id}", document.index))
}

/// Appends an effect as a gateway would, of a write that never was, beside another document's.
async fn publish(stage: &Stage, seen: &Seen, beside: &Document) -> anyhow::Result<()> {
    let records = stage.kafka().records(&stage.topic("target.backup")).await?;
    let like = seen.log.iter().rev().find(|effect| effect.index == beside.index).context("no record of that index")?;
    let like = records.iter().find(|record| (record.partition, record.offset) == (like.partition, like.offset));
    let mut headers = like.context("the record is there")?.headers.clone();
    headers.insert("understudy-ticket".to_owned(), now().to_string());
    headers.remove("understudy-lines");
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let version = (1_u64 << 53) + (1 << 40) + (1 << 30);
    let fields = json!({"_index": beside.index, "_id": "extra", "version": version, "version_type": "external"});
    let value = format!("{{\"index\":{fields}}}\n{{\"w\":\"nobody-1\"}}\n");
    stage.append("target.backup", &format!("{}/extra", beside.index), value.as_bytes(), &headers).await;
    Ok(())
}
