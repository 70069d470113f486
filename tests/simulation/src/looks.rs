//! Looks at the primary: at its cluster state, and at documents. What they mean is decided by the code that gateways,
//! reconcilers and redrives run.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, sync::Arc, time::Duration};

use tokio::time::Instant;
use understudy_common::{
    document::DocumentKey,
    effect::Effect,
    observe::{Around, ClusterSight, Greatest, Looked, Observation, Observed, SeenCopy, Terms, conclude, still},
    state::{IndexLookup, IndexState, Sight},
    version::PackedVersion,
};

use crate::{
    primary::Shown,
    rules::Rule,
    world::{World, number, times},
};

/// The eyes of one process.
pub(crate) struct Eyes {
    pub(crate) world: Rc<World>,
    terms: Terms,
    /// The look that is under way: until when, and what it saw.
    looking: RefCell<Option<(u64, Rc<Shown>)>>,
}

impl Eyes {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        let rest = if world.holds(Rule::TermRests) { times::STALE_PRIMARY } else { 0 };
        let terms = Terms::new(Duration::from_millis(rest));
        Self { world: world.clone(), terms, looking: RefCell::default() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_std(self.world.instant())
    }

    async fn wait(&self) {
        let world = &self.world;
        let slow = world.fault(world.scenario.slow_look);
        world.sleep(if slow { world.chance.between(100, 3_000) } else { world.latency() }).await;
    }

    /// A look at the cluster state that begins now.
    pub(crate) async fn look(&self) -> Rc<Shown> {
        let world = &self.world;
        let under_way = self.looking.borrow().clone().filter(|(until, _)| *until > world.now());
        if let Some((until, seen)) = under_way.filter(|_| !world.holds(Rule::LookLater)) {
            world.executor.sleep_until(until).await;
            return seen;
        }
        let seen = world.primary.borrow_mut().master(world.now());
        let slow = world.fault(world.scenario.slow_look);
        let takes = if slow { world.chance.between(100, 3_000) } else { world.chance.between(1, 4) };
        *self.looking.borrow_mut() = Some((world.now() + takes, seen.clone()));
        world.sleep(takes).await;
        if let Some(index) = seen.index() {
            self.terms.note(&index.state.uuid, &index.state.terms, self.now());
        }
        seen
    }

    /// What is behind the one name that there is.
    pub(crate) fn sight(&self, seen: &Shown) -> Sight {
        let mut sight = seen.sight.clone();
        if !self.world.holds(Rule::SettingsVersion) {
            for lookup in sight.indices.values_mut() {
                if let IndexLookup::Concrete(state) = lookup {
                    *lookup = IndexLookup::Concrete(Arc::new(IndexState { settings_version: 1, ..(**state).clone() }));
                }
            }
        }
        sight
    }

    /// Reads documents back.
    pub(crate) async fn observe(&self, epoch: u64, keys: &[DocumentKey]) -> Observation {
        let world = &self.world;
        let mut before = self.look().await;
        let mut greatest = self.greatest(&before.cluster);
        self.wait().await;
        let looked: Vec<(Looked, u64)> = keys.iter().map(|key| self.get(&before.cluster, key)).collect();
        self.wait().await;
        if !world.holds(Rule::MaxSeqBefore) {
            greatest = self.greatest(&before.cluster);
        }
        let after = self.look().await;
        if !world.holds(Rule::TermTwice) {
            before = after.clone();
        }
        let around =
            Around { epoch, before: &before.cluster, after: &after.cluster, terms: &self.terms, now: self.now() };
        let (looked, terms): (Vec<Looked>, Vec<u64>) = looked.into_iter().unzip();
        let mut observation = conclude(&around, keys, &greatest, looked, usize::MAX);
        if !world.holds(Rule::EmptyShard) {
            for found in &mut observation.found {
                if matches!(found, Observed::Effect(effect) if effect.version.seq_no() == PackedVersion::MAX_SEQ_NO) {
                    *found = Observed::Nothing;
                }
            }
        }
        if !world.holds(Rule::CurrentTerm) {
            for (found, term) in observation.found.iter_mut().zip(terms) {
                if let Observed::Effect(effect) = found
                    && term > 0
                {
                    own_term(effect, epoch, term);
                }
            }
        }
        observation
    }

    /// Whether those copies are still primaries.
    pub(crate) async fn still(&self, copies: &BTreeSet<SeenCopy>) -> bool {
        let now = self.look().await;
        !self.world.holds(Rule::StillThere) || still(copies, &now.cluster)
    }

    /// The routing of documents, by any copy.
    pub(crate) async fn routings(&self, keys: &[&DocumentKey]) -> Vec<Option<(u64, Option<Arc<str>>)>> {
        let world = &self.world;
        world.sleep(world.latency()).await;
        let primary = world.primary.borrow();
        let of = |key: &&DocumentKey| {
            let shard = &primary.shards[primary.layout.shard_of(key) as usize];
            let copy = if world.chance.chance(0.5) { &shard.primary } else { &shard.replica };
            let doc = copy.docs.get(&number(&key.id))?;
            Some((doc.seq, doc.routing.clone()))
        };
        keys.iter().map(of).collect()
    }

    fn greatest(&self, before: &ClusterSight) -> Greatest {
        let (primary, now) = (self.world.primary.borrow(), self.world.now());
        let mut greatest = Greatest::new();
        for index in before.indices.values() {
            for shard in index.primaries.keys() {
                let asked = if self.world.holds(Rule::ShardMaxSeq) { *shard } else { 0 };
                let Some(node) = index.primaries.get(&asked) else { continue };
                if let Some(copy) = primary.copy_on(asked, node, now) {
                    greatest.insert((index.state.uuid.clone(), *shard), copy.max_seq);
                }
            }
        }
        greatest
    }

    /// What the copy that was the primary says, and under which term it has it.
    fn get(&self, before: &ClusterSight, key: &DocumentKey) -> (Looked, u64) {
        let Some(index) = before.indices.get(&key.index) else { return (Looked::Failed("no index".into()), 0) };
        let (primary, now) = (self.world.primary.borrow(), self.world.now());
        let number_of = index.state.shards.shard_of(key);
        let mut copy = index.primaries.get(&number_of).and_then(|node| primary.copy_on(number_of, node, now));
        if !self.world.holds(Rule::PrimaryLook) && self.world.chance.chance(0.5) {
            copy = Some(&primary.shards[number_of as usize].replica);
        }
        let Some(copy) = copy else { return (Looked::Failed("the node has no such copy".into()), 0) };
        match copy.docs.get(&number(&key.id)) {
            Some(doc) => {
                let (source, seq_no, routing) = (doc.source.clone(), doc.seq, doc.routing.clone());
                (Looked::Found { source, seq_no, routing }, doc.term)
            }
            None => (Looked::Missing, 0),
        }
    }
}

fn own_term(effect: &mut Effect, epoch: u64, term: u64) {
    if let Ok(version) = PackedVersion::pack(epoch, term, effect.version.seq_no()) {
        effect.version = version;
    }
}
