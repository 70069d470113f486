//! Deleting letters that are decided, so that neither they nor their marks grow for ever.
//!
//! Kafka deletes from the beginning of a partition on, so a letter stays for as long as one before it is undecided. Marks
//! go only after their letters: a letter without its mark would count as undecided again.

use std::collections::BTreeMap;

use understudy_common::kafka::delete_records;

use super::{
    Failure,
    mark::Marker,
    topic::{Letters, Mailbox},
};

/// Below which offset of each partition every letter is decided. Never beyond a letter that was read.
pub fn decided(letters: &Letters) -> BTreeMap<i32, i64> {
    let mut by_partition: BTreeMap<i32, Vec<(i64, bool)>> = BTreeMap::new();
    for letter in &letters.all {
        let is_decided = letters.facts.became(letter).is_some();
        by_partition.entry(letter.id.partition).or_default().push((letter.id.offset, is_decided));
    }
    let below = |mut places: Vec<(i64, bool)>| {
        places.sort_unstable();
        places.into_iter().take_while(|(_, is_decided)| *is_decided).last().map(|(offset, _)| offset + 1)
    };
    by_partition.into_iter().filter_map(|(partition, places)| Some((partition, below(places)?))).collect()
}

/// Deletes what is decided, then the marks of what is deleted.
pub async fn tidy(mailbox: &Mailbox, letters: &Letters, marker: &Marker) -> Result<(), Failure> {
    let (topic, below) = (mailbox.topic(), decided(letters));
    if !below.is_empty() {
        let deleted = delete_records(&mailbox.config.kafka, &topic, &below).await;
        deleted.map_err(|error| Failure(format!("cannot delete decided letters from {topic}: {error}")))?;
    }
    // An earlier run may have ended between the two.
    let firsts = mailbox.offsets(&topic).await?.into_iter().map(|(partition, (first, _))| (partition, first)).collect();
    marker.forget(&letters.facts.marks_of_deleted(&firsts)).await
}

#[cfg(test)]
mod tests {
    use understudy_common::control::{Became, DeadLetterRecord};

    use super::{
        super::{facts::Facts, letter::tests::refused},
        *,
    };

    #[test]
    fn letters_go_from_the_beginning_on_and_never_an_undecided_one() {
        // Offsets have gaps: a stranger's transaction leaves some.
        let all: Vec<_> = [3, 4, 6, 7, 9].into_iter().map(|offset| refused(offset, "i", "1")).collect();
        let mut letters = Letters { all, facts: Facts::default(), offsets: BTreeMap::from([(0, (3, 12))]) };
        let mut below = |marked: &[usize]| {
            for place in marked {
                let letter = &letters.all[*place];
                let mark = DeadLetterRecord { became: Became::Dropped, at_ms: 0, letter_ms: letter.at_ms };
                letters.facts.mark(letter.id, mark);
            }
            decided(&letters).get(&0).copied()
        };
        assert_eq!(below(&[]), None);
        assert_eq!(below(&[1, 3]), None, "the first is undecided");
        assert_eq!(below(&[0]), Some(5), "and 6 stays");
        assert_eq!(below(&[2]), Some(8));
        assert_eq!(below(&[4]), Some(10), "what came after them was not read");
    }
}
