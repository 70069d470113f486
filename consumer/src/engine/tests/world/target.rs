//! A target that forgets deletes, and in which bulks linger.

use super::*;

/// What a target has of a document: its `_version`, and its source where it is not deleted.
#[derive(Clone, Debug)]
struct Stored {
    version: u64,
    source: Option<Bytes>,
}

#[derive(Default)]
pub(super) struct Target {
    documents: BTreeMap<String, Stored>,
    /// How often each document was changed: what compare-and-set compares.
    changes: BTreeMap<String, u64>,
    /// The greatest version that it ever took, whatever it remembers.
    pub(super) ever: BTreeMap<String, PackedVersion>,
    /// Bulks that may still arrive, until then.
    lingering: Vec<(Duration, Flight)>,
}

/// A bulk on its way, with what compare-and-set saw when it began.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) bulk: Bulk,
    seen: BTreeMap<String, u64>,
}

pub(super) fn id(effect: &Effect) -> String {
    effect.key.id.to_string()
}

impl Target {
    pub(super) fn take_off(&self, bulk: Bulk) -> Flight {
        Flight { bulk, seen: self.changes.clone() }
    }

    /// Applies an effect that is answered.
    pub(super) fn apply(&mut self, effect: &Effect, way: Way) -> Verdict {
        let source = match &effect.state {
            DocumentState::Put(source) if source.starts_with(b"{\"poison") => return Verdict::Refused(reason(400)),
            DocumentState::Put(source) => Some(source.clone()),
            DocumentState::Deleted => None,
            DocumentState::Reference => panic!("a reference is sent: {effect:?}"),
        };
        let id = id(effect);
        let known = self.documents.get(&id);
        let version = match way {
            Way::Versions => {
                let stored = effect.stored_version();
                let gte = effect.version_type() == "external_gte";
                if known.is_some_and(|known| if gte { known.version > stored } else { known.version >= stored }) {
                    return Verdict::Superseded;
                }
                stored
            }
            Way::Force => {
                let there = known.filter(|known| known.source.is_some());
                let same = match (there, &source) {
                    (None, None) => true,
                    (Some(there), Some(_)) => there.version == effect.stored_version() && there.source == source,
                    _ => false,
                };
                let ever = self.ever.entry(id.clone()).or_insert(effect.version);
                *ever = (*ever).max(effect.version);
                if same {
                    return Verdict::Applied;
                }
                known.map_or(1, |known| known.version + 1)
            }
        };
        self.documents.insert(id.clone(), Stored { version, source });
        *self.changes.entry(id.clone()).or_default() += 1;
        let ever = self.ever.entry(id).or_insert(effect.version);
        *ever = (*ever).max(effect.version);
        Verdict::Applied
    }

    /// Nobody waits for a bulk, or for one item of it, any more.
    pub(super) fn linger(&mut self, until: Duration, flight: Flight, item: Option<usize>) {
        let mut flight = flight;
        if let Some(item) = item {
            flight.bulk.effects = vec![flight.bulk.effects[item].clone()];
        }
        self.lingering.push((until, flight));
    }

    /// One of the bulks that linger arrives.
    pub(super) fn land(&mut self, dice: usize) {
        if !self.lingering.is_empty() {
            let (_, flight) = self.lingering.remove(dice % self.lingering.len());
            self.arrive(&flight);
        }
    }

    /// All that can linger no longer arrive.
    pub(super) fn land_until(&mut self, now: Duration) {
        let (late, still): (Vec<_>, Vec<_>) = self.lingering.drain(..).partition(|(until, _)| *until <= now);
        self.lingering = still;
        late.iter().for_each(|(_, flight)| self.arrive(flight));
    }

    fn arrive(&mut self, flight: &Flight) {
        for effect in &flight.bulk.effects {
            let id = id(effect);
            let same = self.changes.get(&id) == flight.seen.get(&id);
            if flight.bulk.way == Way::Versions || same {
                self.apply(effect, flight.bulk.way);
            }
        }
    }

    /// Whether something of these documents may still arrive.
    pub(super) fn awaits(&self, of: impl Fn(&Effect) -> bool) -> bool {
        self.lingering.iter().flat_map(|(_, flight)| &flight.bulk.effects).any(of)
    }

    pub(super) fn source(&self, id: &str) -> Option<&Bytes> {
        self.documents.get(id)?.source.as_ref()
    }

    /// A node restarts: its tombstones are gone.
    pub(super) fn forget_deletes(&mut self) {
        self.documents.retain(|_, stored| stored.source.is_some());
    }
}

pub(in super::super) fn reason(status: u16) -> Reason {
    Reason { status, kind: "k".into(), text: "t".into() }
}
