//! What the control topic says: what became of letters, and who is primary. Pure.

use std::collections::BTreeMap;

use understudy_common::control::{ClusterRecord, DeadLetterRecord, PlacementRecord, key};

use super::letter::{Letter, LetterId};

/// Facts that all processes share, as far as dead letters need them.
#[derive(Debug, Default)]
pub struct Facts {
    /// What became of letters.
    marks: BTreeMap<LetterId, DeadLetterRecord>,
    /// Roles; `None` until a gateway has written them.
    pub placement: Option<PlacementRecord>,
    /// `cluster_uuid` by name.
    pub clusters: BTreeMap<String, String>,
}

impl Facts {
    /// Learns a record, in their order. `topic` is that of the letters, `placement` the name of the one they are of.
    pub fn learn(&mut self, topic: &str, placement: &str, record_key: &str, value: Option<&[u8]>) {
        if let Some((partition, offset)) = key::read_dead_letter(topic, record_key) {
            let id = LetterId { partition, offset };
            match value.and_then(|value| serde_json::from_slice(value).ok()) {
                Some(mark) => self.marks.insert(id, mark),
                None => self.marks.remove(&id),
            };
        } else if record_key == key::placement(placement) {
            let Some(value) = value else {
                self.placement = None;
                return;
            };
            // Gateways hold it so: of several records the first counts, and one of a greater epoch more.
            let record: Option<PlacementRecord> = serde_json::from_slice(value).ok();
            let epoch = self.placement.as_ref().map_or(0, |known| known.epoch);
            if let Some(record) = record.filter(|record| record.epoch > epoch) {
                self.placement = Some(record);
            }
        } else if let Some(name) = record_key.strip_prefix(&key::cluster("")) {
            let record: Option<ClusterRecord> = value.and_then(|value| serde_json::from_slice(value).ok());
            match record {
                // As above: the first counts.
                Some(record) => {
                    self.clusters.entry(name.to_owned()).or_insert(record.cluster_uuid);
                }
                None => {
                    self.clusters.remove(name);
                }
            }
        }
    }

    /// What became of a letter; `None` while nobody has decided. A mark of another letter, that stood at this offset before
    /// its topic was made anew, is none.
    pub fn became(&self, letter: &Letter) -> Option<&DeadLetterRecord> {
        self.marks.get(&letter.id).filter(|mark| mark.letter_ms == letter.at_ms)
    }

    /// Notes what became of a letter.
    pub fn mark(&mut self, id: LetterId, mark: DeadLetterRecord) {
        self.marks.insert(id, mark);
    }

    /// Letters that are marked and stand below the first offset of their partition: they are deleted.
    pub fn marks_of_deleted(&self, firsts: &BTreeMap<i32, i64>) -> Vec<LetterId> {
        let deleted = |id: &&LetterId| firsts.get(&id.partition).is_some_and(|first| id.offset < *first);
        self.marks.keys().filter(deleted).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use understudy_common::control::Became;

    use super::{super::letter::tests::refused, *};

    #[test]
    fn marks_are_of_one_letter_of_one_topic() {
        let letter = refused(7, "flights", "1");
        let mark = DeadLetterRecord { became: Became::Dropped, at_ms: 1, letter_ms: letter.at_ms };
        let value = |mark: &DeadLetterRecord| serde_json::to_vec(mark).unwrap();
        let mut facts = Facts::default();
        facts.learn("t", "p", "dead/t2/0/7", Some(&value(&mark)));
        assert!(facts.became(&letter).is_none(), "of another topic");
        facts.learn("t", "p", "dead/t/0/7", Some(&value(&DeadLetterRecord { letter_ms: 3, ..mark.clone() })));
        assert!(facts.became(&letter).is_none(), "of one that stood there before");
        facts.learn("t", "p", "dead/t/0/7", Some(&value(&mark)));
        assert_eq!(facts.became(&letter), Some(&mark));
        assert!(facts.marks_of_deleted(&BTreeMap::from([(0, 7)])).is_empty());
        assert_eq!(facts.marks_of_deleted(&BTreeMap::from([(0, 8)])), [letter.id]);
        facts.learn("t", "p", "dead/t/0/7", None);
        assert!(facts.became(&letter).is_none());
    }

    #[test]
    fn roles_are_those_that_gateways_go_by() {
        let placement = |primary: &str, epoch| {
            let record = PlacementRecord { indices: "*".into(), primary: primary.into(), targets: vec![], epoch };
            serde_json::to_vec(&record).unwrap()
        };
        let mut facts = Facts::default();
        for (name, primary, epoch) in [("p", "a", 1), ("p", "b", 1), ("other", "c", 9)] {
            facts.learn("t", "p", &format!("placement/{name}"), Some(&placement(primary, epoch)));
        }
        assert_eq!(facts.placement.as_ref().unwrap().primary, "a");
        facts.learn("t", "p", "placement/p", Some(&placement("b", 2)));
        assert_eq!(facts.placement.as_ref().unwrap().primary, "b");
        for uuid in ["first", "second"] {
            facts.learn("t", "p", "cluster/a", Some(format!("{{\"cluster_uuid\":\"{uuid}\"}}").as_bytes()));
        }
        assert_eq!(facts.clusters["a"], "first");
    }
}
