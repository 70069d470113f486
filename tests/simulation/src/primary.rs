//! The primary: one index, its shards with a primary copy and a replica each, primary terms, sequence numbers, tombstones that
//! are forgotten, and a cluster state that the master shows a moment after the nodes act on it.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use understudy_common::{
    bulk::Action,
    observe::{ClusterSight, IndexSight, PrimaryCopy},
    shard::ShardLayout,
    state::{IndexLookup, IndexState, Sight, StateId},
};

use crate::text::{append, append_number};

/// Tombstones are forgotten after this time (`index.gc_deletes`), in ms.
const GC_DELETES: u64 = 60_000;

pub(crate) const INDEX: &str = "x";

/// What a document says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) n: u64,
    /// The pipeline that ran over it.
    pub(crate) pipeline: u32,
    pub(crate) field: Option<Field>,
}

/// A field, and whether what stands in it looks like a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) date: bool,
}

impl Value {
    pub(crate) fn source(&self) -> Bytes {
        let mut text = String::with_capacity(48);
        text.push_str("{\"n\":");
        append_number(&mut text, self.n);
        if self.pipeline > 0 {
            text.push_str(",\"p\":");
            append_number(&mut text, u64::from(self.pipeline));
        }
        if let Some(Field { number, date }) = self.field {
            text.push_str(",\"f");
            append_number(&mut text, number);
            append(&mut text, &["\":\"", if date { "2026-01-01" } else { "text" }, "\""]);
        }
        text.push('}');
        text.into()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Doc {
    pub(crate) seq: u64,
    pub(crate) term: u64,
    pub(crate) version: u64,
    pub(crate) value: Value,
    pub(crate) source: Bytes,
    pub(crate) routing: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
struct Tomb {
    version: u64,
    at: u64,
    order: (u64, u64),
}

/// One copy of a shard. An id is one document in it.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) node: PrimaryCopy,
    pub(crate) docs: BTreeMap<u64, Doc>,
    tombs: BTreeMap<u64, Tomb>,
    /// Term and sequence number of the newest write of each id.
    pub(crate) newest: BTreeMap<u64, (u64, u64)>,
    pub(crate) max_seq: i64,
}

/// A write that the primary copy has, and the replica perhaps not yet.
#[derive(Debug)]
pub(crate) struct Entry {
    id: u64,
    pub(crate) seq: u64,
    pub(crate) term: u64,
    version: u64,
    doc: Option<Doc>,
    at: u64,
    pub(crate) lost: Cell<bool>,
}

pub(crate) struct Shard {
    pub(crate) term: u64,
    pub(crate) primary: Copy,
    pub(crate) replica: Copy,
    pending: Vec<Rc<Entry>>,
    /// The copy that was demoted, and until when it goes on answering.
    pub(crate) old: Option<(Copy, u64)>,
}

/// What the master shows from a time on.
pub(crate) struct Shown {
    at: Cell<u64>,
    /// As the guard sees it.
    pub(crate) sight: Sight,
    /// As observations see it.
    pub(crate) cluster: ClusterSight,
}

impl Shown {
    /// The index, where it exists.
    pub(crate) fn index(&self) -> Option<&IndexSight> {
        self.cluster.indices.values().next()
    }
}

pub(crate) struct Primary {
    pub(crate) exists: bool,
    pub(crate) layout: ShardLayout,
    pub(crate) shards: Vec<Shard>,
    pub(crate) pipeline: u32,
    /// Whether each field is a date.
    pub(crate) mapping: BTreeMap<u64, bool>,
    pub(crate) mapping_version: u64,
    settings_version: u64,
    version: u64,
    shown: VecDeque<Rc<Shown>>,
    copies: u32,
    uuid: Arc<str>,
    cluster: Arc<str>,
    name: Arc<str>,
}

/// A write to one document, as the primary takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) id: u64,
    pub(crate) routing: Option<&'a Arc<str>>,
    pub(crate) shard: u32,
    pub(crate) action: Action,
    pub(crate) value: Value,
    pub(crate) client_version: Option<u64>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) enum Did {
    Done { result: &'static str, seq: u64, term: u64, version: u64, source: Option<Bytes> },
    Conflict,
    Missing,
    NoIndex,
    Refused,
    Unknown,
}

impl Primary {
    pub(crate) fn new(shards: u32, exists: bool) -> Self {
        let mut primary = Self {
            exists,
            layout: ShardLayout { number: shards, routing: 1024 / shards * shards, partition: 1 },
            shards: Vec::new(),
            pipeline: 0,
            mapping: BTreeMap::new(),
            mapping_version: 1,
            settings_version: 1,
            version: 0,
            shown: VecDeque::new(),
            copies: 0,
            uuid: "u".into(),
            cluster: "c".into(),
            name: INDEX.into(),
        };
        for _ in 0..shards {
            let (primary_copy, replica) = (primary.copy(), primary.copy());
            primary.shards.push(Shard { term: 1, primary: primary_copy, replica, pending: Vec::new(), old: None });
        }
        primary.moves(0, 0);
        primary
    }

    fn copy(&mut self) -> Copy {
        let (docs, tombs, newest) = Default::default();
        Copy { node: self.place(), docs, tombs, newest, max_seq: -1 }
    }

    fn place(&mut self) -> PrimaryCopy {
        self.copies += 1;
        let name: Arc<str> = self.copies.to_string().into();
        PrimaryCopy { node: name.clone(), allocation: name }
    }

    /// The nodes act on a new cluster state now; the master shows it `lag` ms later.
    pub(crate) fn moves(&mut self, now: u64, lag: u64) {
        self.version += 1;
        let at = self.shown.back().map_or(0, |last| last.at.get()).max(now + lag);
        let state_uuid: Arc<str> = "s".into();
        let id = StateId { cluster_uuid: self.cluster.clone(), version: self.version, state_uuid };
        let state = self.exists.then(|| {
            let terms = self.shards.iter().enumerate().map(|(number, shard)| (number as u32, shard.term));
            Arc::new(IndexState {
                uuid: self.uuid.clone(),
                metadata_version: self.version,
                mapping_version: self.mapping_version,
                settings_version: self.settings_version,
                aliases_version: 1,
                shards: self.layout,
                has_pipeline: self.pipeline > 0,
                terms: terms.collect(),
            })
        });
        let primaries = self.shards.iter().enumerate();
        let primaries = primaries.map(|(number, shard)| (number as u32, shard.primary.node.clone()));
        let sight =
            state.clone().map(|state| IndexSight { state, single_copies: false, primaries: primaries.collect() });
        let lookup = state.map_or(IndexLookup::Absent, IndexLookup::Concrete);
        let name = &self.name;
        let cluster = ClusterSight { indices: sight.into_iter().map(|sight| (name.clone(), sight)).collect() };
        let sight = Sight { state: id, indices: BTreeMap::from([(name.clone(), lookup)]) };
        self.shown.push_back(Rc::new(Shown { at: Cell::new(at), sight, cluster }));
    }

    /// The master shows now what it would have shown later.
    pub(crate) fn catches_up(&self, now: u64) {
        self.shown.iter().for_each(|shown| shown.at.set(shown.at.get().min(now)));
    }

    pub(crate) fn master(&mut self, now: u64) -> Rc<Shown> {
        while self.shown.get(1).is_some_and(|next| next.at.get() <= now) {
            self.shown.pop_front();
        }
        self.shown[0].clone()
    }

    pub(crate) fn set_pipeline(&mut self, pipeline: u32) {
        self.pipeline = pipeline;
        self.settings_version += 1;
    }

    /// One write in the primary copy of its shard.
    pub(crate) fn execute(&mut self, order: &Order<'_>, now: u64) -> (Did, Option<Rc<Entry>>) {
        let pipeline = self.pipeline;
        let shard = &mut self.shards[order.shard as usize];
        let copy = &mut shard.primary;
        let id = order.id;
        if copy.tombs.get(&id).is_some_and(|tomb| now - tomb.at > GC_DELETES) {
            copy.tombs.remove(&id);
        }
        let current = copy.docs.get(&id);
        let have = current.map(|doc| doc.version).or_else(|| copy.tombs.get(&id).map(|tomb| tomb.version));
        if let (Some(given), Some(have)) = (order.client_version, have)
            && have >= given
        {
            return (Did::Conflict, None);
        }
        let (value, routing) = match (order.action, current) {
            (Action::Create, Some(_)) => return (Did::Conflict, None),
            (Action::Update, None) => return (Did::Missing, None),
            (Action::Update, Some(doc)) => {
                if doc.value.n == order.value.n {
                    let (seq, term, version) = (doc.seq, doc.term, doc.version);
                    let source = Some(doc.source.clone());
                    return (Did::Done { result: "noop", seq, term, version, source }, None);
                }
                (Value { n: order.value.n, ..doc.value }, doc.routing.clone())
            }
            _ => (Value { pipeline, ..order.value }, order.routing.cloned()),
        };
        let result = match (order.action, current.is_some()) {
            (Action::Delete, true) => "deleted",
            (Action::Delete, false) => "not_found",
            (_, true) => "updated",
            (_, false) => "created",
        };
        let seq = (copy.max_seq + 1) as u64;
        let version = order.client_version.unwrap_or(have.unwrap_or(0) + 1);
        let term = shard.term;
        let doc = (order.action != Action::Delete).then(|| {
            let source = value.source();
            Doc { seq, term, version, value, source, routing }
        });
        let source = doc.as_ref().filter(|_| order.action == Action::Update).map(|doc| doc.source.clone());
        let entry = Rc::new(Entry { id, seq, term, version, doc, at: now, lost: Cell::new(false) });
        copy.store(&entry);
        shard.pending.push(entry.clone());
        (Did::Done { result, seq, term, version, source }, Some(entry))
    }

    /// The replica has it now, unless it was lost.
    pub(crate) fn replicate(&mut self, shard: u32, entry: &Rc<Entry>) {
        let shard = &mut self.shards[shard as usize];
        let pending = shard.pending.len();
        shard.pending.retain(|pending| !Rc::ptr_eq(pending, entry));
        if shard.pending.len() < pending {
            shard.replica.store(entry);
        }
    }

    /// The replica becomes the primary; what it does not have is lost.
    pub(crate) fn fail_over(&mut self, number: usize, answers_until: u64) -> usize {
        let place = self.place();
        let shard = &mut self.shards[number];
        let lost = shard.pending.len();
        shard.pending.drain(..).for_each(|entry| entry.lost.set(true));
        let replica = Copy { node: place, ..shard.replica.clone() };
        let promoted = std::mem::replace(&mut shard.replica, replica);
        let old = std::mem::replace(&mut shard.primary, promoted);
        shard.old = Some((old, answers_until));
        shard.term += 1;
        lost
    }

    /// The copy on a node that still answers as a primary.
    pub(crate) fn copy_on(&self, shard: u32, node: &PrimaryCopy, now: u64) -> Option<&Copy> {
        let shard = &self.shards[shard as usize];
        if shard.primary.node == *node {
            return Some(&shard.primary);
        }
        shard.old.as_ref().filter(|(old, until)| old.node == *node && *until > now).map(|(old, _)| old)
    }
}

impl Copy {
    fn store(&mut self, entry: &Entry) {
        self.max_seq = self.max_seq.max(entry.seq as i64);
        let order = (entry.term, entry.seq);
        let known = self.docs.get(&entry.id).map(|doc| (doc.term, doc.seq));
        let known = known.max(self.tombs.get(&entry.id).map(|tomb| tomb.order));
        if known.is_some_and(|known| known > order) {
            return;
        }
        let newest = self.newest.entry(entry.id).or_insert(order);
        *newest = order.max(*newest);
        match &entry.doc {
            Some(doc) => {
                self.docs.insert(entry.id, doc.clone());
                self.tombs.remove(&entry.id);
            }
            None => {
                self.docs.remove(&entry.id);
                self.tombs.insert(entry.id, Tomb { version: entry.version, at: entry.at, order });
            }
        }
    }
}
