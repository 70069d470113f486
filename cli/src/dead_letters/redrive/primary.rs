//! The primary, as roles say: its documents are read and published.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use understudy_common::{
    cluster::ClusterClient,
    control::{Roles, check_cluster},
    document::DocumentKey,
    effect::DocumentState,
    intent::{Intent, IntentDocument},
    log::{EffectsError, Log, Ticket},
    observe::{Observed, Observer, SeenCopy, Terms},
    process::now_ms,
    record::{Provenance, encode, largest_source},
    schema::{SchemaError, Schemas},
    servers::{Part, Versions},
    state::Metadata,
};

use super::tasks::Told;
use crate::dead_letters::{Failure, facts::Facts, topic::Mailbox};

/// How intents and records name this command.
const NAME: &str = "understudy-dead-letters";
/// How long the primary may take to say what its state is.
const STATE: Duration = Duration::from_secs(5);
/// Values of records that hold more than one effect stay below this, as those of gateways.
const RECORD_BYTES: usize = 1 << 20;

/// The primary of a placement, and the way to one target's topic.
pub struct Primary {
    roles: Roles,
    target: Arc<str>,
    partitions: i32,
    cluster: ClusterClient,
    versions: Versions,
    observer: Observer,
    schemas: Schemas,
    log: Log,
}

/// What a look at documents came to.
#[derive(Default)]
pub struct Seen {
    /// Documents that are published, or of which nothing is to be published.
    pub told: Vec<(DocumentKey, Told)>,
    /// Documents that cannot be told now, and why.
    pub unknown: Vec<(DocumentKey, String)>,
    /// Who answered.
    pub copies: BTreeSet<SeenCopy>,
    /// Whether something was handed to Kafka.
    pub published: bool,
}

/// Who is primary, by the control topic.
pub fn roles_of(mailbox: &Mailbox, facts: &Facts) -> Result<Roles, Failure> {
    let (placement, target) = (&mailbox.placement.name, &mailbox.target);
    let roles = facts.shared.roles(placement).map_err(|error| Failure(error.to_string()))?;
    let roles = roles.ok_or_else(|| {
        let topic = mailbox.topics.control();
        Failure(format!("who is the primary of {placement} is not recorded in {topic}: no gateway has run yet"))
    })?;
    if *roles.primary == **target {
        return Err(Failure(format!(
            "{target} is the primary of {placement} by now (epoch {}): it follows nobody, and its letters are of no use",
            roles.epoch
        )));
    }
    Ok(roles)
}

impl Primary {
    /// Connects to nothing yet.
    pub fn new(mailbox: &Mailbox, roles: Roles, log: Log, terms: Arc<Terms>) -> Result<Self, Failure> {
        let config = &mailbox.config;
        let Some(settings) = config.clusters.get(&*roles.primary) else {
            return Err(Failure(format!(
                "the primary is {} by now, and the configuration has no such cluster",
                roles.primary
            )));
        };
        let cluster = ClusterClient::new(&roles.primary, settings);
        tokio::spawn(cluster.watch());
        let metadata = Arc::new(Metadata::new(cluster.clone(), STATE, terms.clone()));
        let (timeout, largest) = (config.gateway.primary_timeout, largest_source(&config.kafka));
        Ok(Self {
            target: mailbox.target.as_str().into(),
            partitions: config.kafka.partitions,
            observer: Observer::new(cluster.clone(), terms, timeout, largest),
            schemas: Schemas::new(cluster.clone(), log.clone(), metadata, STATE),
            versions: Versions::new(cluster.clone(), settings, Part::Primary),
            cluster,
            roles,
            log,
        })
    }

    /// Who it is.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.roles.primary
    }

    /// The intent to publish these documents.
    pub fn intent(&self, keys: &[DocumentKey]) -> Intent {
        Intent {
            format: Intent::FORMAT,
            gateway: NAME.into(),
            epoch: self.roles.epoch,
            primary: self.roles.primary.clone(),
            targets: vec![self.target.clone()],
            documents: keys.iter().cloned().map(IntentDocument::from).collect(),
            aliases: BTreeMap::new(),
        }
    }

    /// Whether it answers, is the cluster that it was when replication began, and of a tested version.
    ///
    /// # Errors
    /// When another cluster stands behind its address: nothing of it may be published.
    pub async fn answers(&self) -> Result<Result<(), String>, Failure> {
        match self.cluster.cluster_uuid(STATE).await {
            Ok(seen) => check_cluster(&self.roles.primary, &self.roles.cluster_uuid, &seen).map_err(Failure)?,
            Err(error) => return Ok(Err(error.to_string())),
        }
        Ok(self.versions.check(STATE).await)
    }

    /// Reads documents, and publishes what they are now. The ticket was taken before.
    ///
    /// # Errors
    /// When Kafka does not take them: they may be published or not.
    pub async fn publish(&self, ticket: &Ticket, keys: &[DocumentKey]) -> Result<Seen, Failure> {
        let none = |reason: String| Seen {
            unknown: keys.iter().map(|key| (key.clone(), reason.clone())).collect(),
            ..Seen::default()
        };
        if let Err(reason) = self.answers().await? {
            return Ok(none(reason));
        }
        let observation = match self.observer.observe(self.roles.epoch, keys).await {
            Ok(observation) => observation,
            Err(error) => return Ok(none(error.to_string())),
        };
        // Another cluster that took its address in between would say that nothing is there.
        if let Err(reason) = self.answers().await? {
            return Ok(none(reason));
        }
        let mut seen = Seen { copies: observation.copies, ..Seen::default() };
        let mut effects = Vec::new();
        for (key, observed) in keys.iter().zip(observation.found) {
            match observed {
                Observed::Effect(effect) => {
                    let deleted = effect.state == DocumentState::Deleted;
                    seen.told.push((key.clone(), if deleted { Told::Deleted } else { Told::Present }));
                    effects.push(effect);
                }
                Observed::Nothing => seen.told.push((key.clone(), Told::Nothing)),
                Observed::Unknown(reason) => seen.unknown.push((key.clone(), reason)),
            }
        }
        if effects.is_empty() {
            return Ok(seen);
        }
        match self.schemas.ensure(self.roles.epoch, &observation.indices).await {
            Ok(()) => {}
            Err(SchemaError::Publish(error)) => return Err(Failure(format!("no schema is published: {error}"))),
            Err(error) => return Ok(none(error.to_string())),
        }
        let provenance = Provenance {
            request: ticket.request.clone(),
            ticket_ms: ticket.at_ms,
            answered_ms: now_ms(),
            epoch: self.roles.epoch,
            gateway: NAME.into(),
        };
        let records = encode(&provenance, &observation.indices, &effects, self.partitions, RECORD_BYTES);
        seen.published = true;
        match self.log.effects(&self.target, ticket, &records).await {
            Ok(()) => Ok(seen),
            // Some of them may count.
            Err(error @ EffectsError::Void { .. }) => Ok(Seen { published: true, ..none(error.to_string()) }),
            Err(EffectsError::Publish(error)) => Err(Failure(format!("documents are not surely published: {error}"))),
        }
    }

    /// Whether those who answered are still the primaries of their shards; what keeps it from being told is "no".
    pub async fn still(&self, copies: &BTreeSet<SeenCopy>) -> bool {
        self.observer.still(copies).await.unwrap_or(false)
    }
}
