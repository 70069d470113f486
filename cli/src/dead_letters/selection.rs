//! Which letters are meant. Pure.

use understudy_common::config::IndexPattern;

use super::{
    arguments::{Choice, Filter},
    letter::Letter,
    topic::Letters,
};

impl Filter {
    /// Whether it leaves a letter. One that names no document is of no index.
    pub fn leaves(&self, letter: &Letter) -> bool {
        let index = letter.document().map_or("", |document| &document.index);
        matches(self.index.as_deref(), index) && matches(self.kind.as_deref(), &letter.kind)
    }
}

fn matches(pattern: Option<&str>, text: &str) -> bool {
    pattern.is_none_or(|pattern| !text.is_empty() && IndexPattern::new(pattern).matches(text))
}

impl Choice {
    /// The letters, each once.
    ///
    /// # Errors
    /// A line for each that is not there: then none is touched.
    pub fn of<'a>(&self, letters: &'a Letters, topic: &str) -> Result<Vec<&'a Letter>, Vec<String>> {
        if self.all {
            let filter = Filter { index: self.index.clone(), kind: self.kind.clone() };
            return Ok(letters.undecided().filter(|letter| filter.leaves(letter)).collect());
        }
        let mut ids = self.ids.clone();
        ids.sort_unstable();
        ids.dedup();
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        for id in ids {
            match letters.find(id, topic) {
                Ok(letter) => found.push(letter),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(found) } else { Err(errors) }
    }
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use understudy_common::control::{Became, DeadLetterRecord};

    use super::{
        super::{
            facts::Facts,
            letter::{
                LetterId,
                tests::{record, refused},
            },
        },
        *,
    };

    /// Letters at 5, 6, 7 of partition 0: of the index `a`, of `b` and already redriven, and a whole record.
    pub fn letters() -> Letters {
        let foreign = [("understudy-dead-type", "unreadable_record")];
        let all = vec![refused(5, "a", "1"), refused(6, "b", "2"), Letter::of(record(7, Some("?"), &foreign))];
        let mut facts = Facts::default();
        let mark = DeadLetterRecord { became: Became::Redriven, at_ms: 0, letter_ms: all[1].at_ms };
        facts.mark(all[1].id, mark);
        Letters { all, facts, offsets: BTreeMap::from([(0, (5, 8))]) }
    }

    fn choice(ids: &[&str], index: Option<&str>, kind: Option<&str>) -> Choice {
        let (index, kind) = (index.map(str::to_owned), kind.map(str::to_owned));
        Choice { ids: ids.iter().map(|id| id.parse().unwrap()).collect(), all: ids.is_empty(), index, kind }
    }

    #[test]
    fn all_are_those_that_nobody_decided_and_filters_leave() {
        let letters = letters();
        let chosen = |index, kind| -> Vec<String> {
            choice(&[], index, kind).of(&letters, "t").unwrap().iter().map(|letter| letter.id.to_string()).collect()
        };
        assert_eq!(chosen(None, None), ["0:5", "0:7"]);
        assert_eq!(chosen(Some("*"), None), ["0:5"], "a whole record is of no index");
        assert_eq!(chosen(None, Some("unreadable*")), ["0:7"]);
        assert!(chosen(Some("b"), None).is_empty());
    }

    #[test]
    fn each_unknown_name_is_told_and_nothing_is_chosen() {
        let letters = letters();
        let errors = choice(&["0:6", "0:4", "0:9", "3:1"], None, None).of(&letters, "t").unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors[0].contains("0:4 is gone") && errors[1].contains("no dead letter 0:9"), "{errors:?}");
        let twice = choice(&["0:6", "0:5", "0:6"], None, None);
        let ids: Vec<LetterId> = twice.of(&letters, "t").unwrap().iter().map(|letter| letter.id).collect();
        assert_eq!(ids.len(), 2);
    }
}
