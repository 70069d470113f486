//! What the control topic says: what became of letters, and who is primary.

use std::collections::BTreeMap;

use understudy_common::{
    control::{self, DeadLetterRecord, key},
    kafka::LogRecord,
};

use super::letter::{Letter, LetterId};

/// Facts that all processes share, as far as dead letters need them.
#[derive(Debug, Default)]
pub struct Facts {
    /// What became of letters: of several records the last counts.
    marks: BTreeMap<LetterId, DeadLetterRecord>,
    /// Roles and clusters.
    pub shared: control::Facts,
}

impl Facts {
    /// Learns a record, in their order. `topic` is that of the letters.
    pub fn learn(&mut self, topic: &str, record: &LogRecord) {
        self.shared.learn(record);
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        if let Some((partition, offset)) = key::read_dead_letter(topic, &key) {
            let id = LetterId { partition, offset };
            match record.value.as_ref().and_then(|value| serde_json::from_slice(value).ok()) {
                Some(mark) => self.marks.insert(id, mark),
                None => self.marks.remove(&id),
            };
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

    use super::{
        super::letter::tests::{record, refused},
        *,
    };

    #[test]
    fn marks_are_of_one_letter_of_one_topic() {
        let letter = refused(7, "flights", "1");
        let mark = DeadLetterRecord { became: Became::Dropped, at_ms: 1, letter_ms: letter.at_ms };
        let learn = |facts: &mut Facts, key: &str, mark: Option<&DeadLetterRecord>| {
            let value = mark.map(|mark| serde_json::to_string(mark).unwrap());
            let mut record = record(0, value.as_deref(), &[]);
            record.key = Some(key.to_owned().into());
            facts.learn("t", &record);
        };
        let mut facts = Facts::default();
        learn(&mut facts, "dead/t2/0/7", Some(&mark));
        assert!(facts.became(&letter).is_none(), "of another topic");
        learn(&mut facts, "dead/t/0/7", Some(&DeadLetterRecord { letter_ms: 3, ..mark.clone() }));
        assert!(facts.became(&letter).is_none(), "of one that stood there before");
        learn(&mut facts, "dead/t/0/7", Some(&mark));
        assert_eq!(facts.became(&letter), Some(&mark));
        assert!(facts.marks_of_deleted(&BTreeMap::from([(0, 7)])).is_empty());
        assert_eq!(facts.marks_of_deleted(&BTreeMap::from([(0, 8)])), [letter.id]);
        learn(&mut facts, "dead/t/0/7", None);
        assert!(facts.became(&letter).is_none());
    }
}
