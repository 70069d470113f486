//! Where an assigned partition begins.

use std::time::Duration;

use super::{Done, Driver};
use crate::source::{self, Beginning, Gap};

impl Driver {
    /// Looks for a partition's beginning, for as long as it is assigned.
    pub(super) fn begin(&mut self, partition: i32, generation: u64) {
        let (config, hasher, protocol) = (self.source_config.clone(), self.hasher, self.protocol);
        let (assigned, places) = (self.assigned.subscribe(), self.beginnings.clone());
        self.spawn(async move {
            let gone = || Done::Begins(partition, generation, Beginning::Gap(Gap("it was taken away".into()), None));
            loop {
                let Ok(place) = places.acquire().await else { return gone() };
                if !assigned.borrow().contains(&(partition, generation)) {
                    return gone();
                }
                let config = config.clone();
                let found = tokio::task::spawn_blocking(move || {
                    source::begin(&config, partition, &hasher, protocol.ticket_lifetime, protocol.window())
                });
                match found.await {
                    Ok(Ok(beginning)) => return Done::Begins(partition, generation, beginning),
                    Ok(Err(error)) => tracing::warn!(partition, %error, "where the partition begins is not known yet"),
                    Err(error) => tracing::error!(partition, %error, "where the partition begins"),
                }
                drop(place);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
}
