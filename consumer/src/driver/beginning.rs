//! Where an assigned partition begins.

use std::time::Duration;

use super::{Done, Driver};
use crate::{
    schema::{SchemaStore, follow},
    source::{self, Beginning, Gap, SourceConfig},
};

/// How long whoever follows the schema topic may take to be where it ended when a partition was assigned.
const FOLLOW: Duration = Duration::from_secs(3);

impl Driver {
    /// Looks for a partition's beginning, for as long as it is assigned.
    pub(super) fn begin(&mut self, partition: i32, generation: u64) {
        let (config, hasher, protocol) = (self.source_config.clone(), self.hasher, self.protocol);
        let (assigned, places) = (self.assigned.subscribe(), self.beginnings.clone());
        let store = self.preparer.store.clone();
        self.spawn(async move {
            let gone = || Done::Begins(partition, generation, Beginning::Gap(Gap("it was taken away".into()), None));
            loop {
                let Ok(place) = places.acquire().await else { return gone() };
                if !assigned.borrow().contains(&(partition, generation)) {
                    return gone();
                }
                let asked = config.clone();
                let found = tokio::task::spawn_blocking(move || {
                    source::begin(&asked, partition, &hasher, protocol.ticket_lifetime, protocol.window())
                });
                let beginning = match found.await {
                    Ok(Ok(Beginning::At(start, window, schemas))) => {
                        know_schemas(&config, &store, schemas).await.map(|()| Beginning::At(start, window, schemas))
                    }
                    Ok(Ok(gap)) => Ok(gap),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                match beginning {
                    Ok(beginning) => return Done::Begins(partition, generation, beginning),
                    Err(error) => tracing::warn!(partition, error, "where the partition begins is not known yet"),
                }
                drop(place);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
}

/// Waits until everything is known that the schema topic held before `end`. What was sent of the partition before it was
/// assigned may have had versions of clients, and that must be known from the beginning.
async fn know_schemas(config: &SourceConfig, store: &SchemaStore, end: i64) -> Result<(), String> {
    let followed = async {
        let mut changes = store.changes();
        while !store.has_read_to(end) {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    if tokio::time::timeout(FOLLOW, followed).await.is_ok() {
        return Ok(());
    }
    // The last offsets may hold no record any more, so that nobody ever gets there.
    let (config, store) = (config.clone(), store.clone());
    let read = move || follow::read_client_versions(&config.kafka, &config.schema, end, &store);
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?;
    read.map_err(|error| error.to_string())
}
