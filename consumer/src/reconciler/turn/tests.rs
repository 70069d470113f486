use std::collections::BTreeMap;

use super::*;
use understudy_common::intent::IntentDocument;

fn intent(documents: usize) -> Intent {
    Intent {
        format: Intent::FORMAT,
        gateway: "g".into(),
        epoch: 1,
        primary: "p".into(),
        targets: vec!["b".into()],
        documents: (0..documents).map(|n| IntentDocument::Plain("i".into(), n.to_string().into())).collect(),
        aliases: BTreeMap::new(),
    }
}

fn turn(documents: &[usize]) -> Turn {
    let wanted = (0..).zip(documents).map(|(offset, _)| Wanted {
        request: format!("r{offset}").into(),
        offset,
        at_ms: 0,
        needs: Duration::from_secs(5),
        remaining: Remaining::default(),
    });
    let mut turn = Turn::new(0, 1, wanted.collect());
    for (offset, documents) in (0..).zip(documents) {
        turn.read(offset, format!("r{offset}").as_bytes(), Ok(intent(*documents)));
    }
    turn
}

fn seen(outcome: &Outcome) -> &Seen {
    let Outcome::Looked(seen) = outcome else { panic!("{outcome:?}") };
    seen
}

#[test]
fn many_documents_are_looked_at_in_chunks_each_under_its_own_ticket() {
    let mut turn = turn(&[1_100]);
    let mut at_ms = 6_000;
    let mut sizes = Vec::new();
    while !turn.is_over() {
        sizes.push(turn.chunk(at_ms, 500).len());
        at_ms += 1_000;
    }
    assert_eq!(sizes, [500, 500, 100]);
    let (_, outcome) = turn.end().remove(0);
    assert!(seen(&outcome).whole);
    assert_eq!(seen(&outcome).pass.oldest_ticket_ms, Some(6_000), "the oldest one counts");
    assert_eq!(seen(&outcome).documents, 1_100);
}

#[test]
fn several_intents_share_a_look() {
    let mut turn = turn(&[3, 0, 4]);
    let places = turn.chunk(6_000, 5);
    let of: Vec<(usize, u32)> = places.iter().map(|place| (place.intent, place.document)).collect();
    assert_eq!(of, [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]);
    turn.unknown(places[1]);
    let outcomes = turn.end();
    let whole: Vec<bool> = outcomes.iter().map(|(_, outcome)| seen(outcome).whole).collect();
    assert_eq!(whole, [false, true, false]);
    assert_eq!(seen(&outcomes[0].1).pass.remaining, Remaining { unknown: vec![1], from: 3 });
    assert_eq!(seen(&outcomes[2].1).pass.remaining, Remaining { unknown: vec![], from: 2 }, "the rest, next time");
}

#[test]
fn an_intent_that_is_too_young_by_the_ticket_is_left_out() {
    let mut turn = turn(&[3]);
    assert!(turn.chunk(4_999, 500).is_empty() && turn.is_over());
    assert_eq!(turn.end(), [(0, Outcome::TooEarly)]);
}

#[test]
fn only_what_was_unknown_is_repeated_and_the_rest_follows() {
    let remaining = Remaining { unknown: vec![2, 7], from: 8 };
    let wanted = Wanted { request: "r0".into(), offset: 0, at_ms: 0, needs: Duration::from_secs(5), remaining };
    let mut turn = Turn::new(0, 1, vec![wanted]);
    turn.read(0, b"r0", Ok(intent(10)));
    let documents: Vec<u32> = turn.chunk(6_000, 3).iter().map(|place| place.document).collect();
    assert_eq!(documents, [2, 7, 8]);
    turn.unknown(Place { intent: 0, document: 7 });
    assert_eq!(seen(&turn.end()[0].1).pass.remaining, Remaining { unknown: vec![7], from: 9 });
}

#[test]
fn what_is_unknown_of_a_huge_intent_is_bounded() {
    let mut turn = turn(&[100_000]);
    while !turn.is_over() {
        for place in turn.chunk(6_000, 500) {
            turn.unknown(place);
        }
    }
    let outcomes = turn.end();
    let Remaining { unknown, from } = &seen(&outcomes[0].1).pass.remaining;
    assert_eq!((unknown.len(), *from), (UNKNOWN, UNKNOWN as u32));
}

#[test]
fn another_record_at_its_offset_is_none_of_it() {
    let wanted =
        Wanted { request: "r".into(), offset: 4, at_ms: 0, needs: Duration::ZERO, remaining: Remaining::default() };
    let mut turn = Turn::new(0, 1, vec![wanted]);
    turn.read(4, b"another", Ok(intent(1)));
    assert!(turn.is_over());
    assert_eq!(turn.end(), [(4, Outcome::Gone)]);
}
