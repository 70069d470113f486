use super::*;
use crate::reconciler::turn::Place;
use understudy_common::intent::{Intent, IntentDocument};

/// Looked at from 5 s on, for the last time from 67 s on; the second look 2 s later.
const TIMES: Times = Times {
    early: Duration::from_secs(5),
    last: Duration::from_secs(67),
    settle_after: Duration::from_secs(2),
    max_pause: Duration::from_secs(5),
};
const PARTITION: i32 = 3;
/// The broker's clock when the local count is at nothing.
const ZERO_MS: i64 = 1_000_000;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(at: Duration) -> i64 {
    ZERO_MS + i64::try_from(at.as_millis()).unwrap()
}

/// What the machine is driven with: an ideal clock, and looks that see what a test says.
struct Reconciling {
    open: Open,
    next: i64,
    documents: usize,
}

impl Reconciling {
    fn new() -> Self {
        let mut open = Open::new(TIMES);
        open.assigned(PARTITION, 1);
        open.reached_end(PARTITION, 1);
        Self { open, next: 0, documents: 2 }
    }

    fn record(&mut self, request: &str, size: Option<usize>, now: Duration) -> i64 {
        let offset = self.next;
        self.next += 1;
        let record = IntentRecord { offset, at_ms: ms(now), request: request.into(), size };
        self.open.record(PARTITION, 1, record, now);
        offset
    }

    fn intent(&mut self, request: &str, now: Duration) -> i64 {
        self.record(request, Some(100), now)
    }

    fn begin(&mut self, now: Duration) -> Option<Turn> {
        let mut turn = self.open.turn(now)?;
        let intent = Intent {
            format: Intent::FORMAT,
            gateway: "g".into(),
            epoch: 1,
            primary: "p".into(),
            targets: vec!["b".into()],
            documents: (0..self.documents).map(|n| IntentDocument::Plain("i".into(), n.to_string().into())).collect(),
            aliases: BTreeMap::new(),
        };
        for (offset, request) in turn.requests() {
            turn.read(offset, request.as_bytes(), Ok(intent.clone()));
        }
        Some(turn)
    }

    /// A turn whose looks are dated `ticket` and see everything but these documents. Answers the documents looked at.
    fn turn_under(&mut self, ticket: Duration, now: Duration, unknown: &[u32]) -> Vec<u32> {
        let Some(mut turn) = self.begin(now) else { return Vec::new() };
        let places = turn.chunk(ms(ticket), 500);
        for place in &places {
            if unknown.contains(&place.document) {
                turn.unknown(*place);
            }
            turn.answered(place.intent, &copies(1));
        }
        self.open.ticket(PARTITION, ms(ticket), now);
        self.open.turned(turn, false, now, 1.0);
        places.iter().map(|Place { document, .. }| *document).collect()
    }

    fn turn(&mut self, now: Duration, unknown: &[u32]) -> Vec<u32> {
        self.turn_under(now, now, unknown)
    }

    /// The second look sees the same copies, or others; answers whether an intent is settled by it.
    fn second_look(&mut self, now: Duration, same: bool) -> bool {
        let confirmations = self.open.confirm(now);
        let mut settled = false;
        for Confirmation { id, .. } in confirmations {
            let may = self.open.settle(id, now).is_some();
            settled |= same && may;
            self.open.confirmed(id, if same { Confirmed::Settled } else { Confirmed::Moved }, now, 1.0);
        }
        settled
    }

    fn open(&self) -> usize {
        self.open.counts(at(0)).open
    }
}

fn copies(term: u64) -> BTreeSet<SeenCopy> {
    BTreeSet::from([SeenCopy { index: "i".into(), uuid: "u".into(), shard: 0, term }])
}

#[test]
fn nothing_is_looked_at_before_its_time_nor_again_before_the_last_look() {
    let mut r = Reconciling::new();
    r.intent("r", at(100));
    assert!(r.turn(at(104), &[]).is_empty(), "its gateway settles it");
    assert_eq!(r.turn(at(105), &[]), [0, 1], "early, for freshness");
    for now in 106..167 {
        assert!(r.turn(at(now), &[]).is_empty(), "once is enough: {now}");
        assert!(!r.second_look(at(now), true), "`linger`: its request may be under way");
    }
    assert_eq!(r.turn(at(167), &[]), [0, 1], "the last look");
    assert!(!r.second_look(at(168), true), "`second_look` comes later");
    assert!(r.second_look(at(169), true));
    assert_eq!(r.open(), 0);
}

#[test]
fn the_ticket_decides_what_age_an_intent_has() {
    let mut r = Reconciling::new();
    r.intent("r", at(100));
    // The clock that was guessed by is ahead of the broker's.
    assert!(r.turn_under(at(103), at(106), &[]).is_empty());
    assert!(r.turn(at(107), &[]).is_empty(), "the ticket set the clock right");
    assert_eq!(r.turn_under(at(105), at(108), &[]), [0, 1]);
    assert!(r.turn_under(at(160), at(170), &[]).is_empty(), "`linger` is over by the guess, and not by the ticket");
    assert!(!r.second_look(at(190), true));
    assert_eq!(r.open(), 1);
}

#[test]
fn a_look_long_after_the_linger_time_is_the_last_one_at_once() {
    let mut r = Reconciling::new();
    r.intent("r", at(0));
    r.intent("r2", at(1_000));
    assert_eq!(r.turn(at(1_001), &[]), [0, 1], "only the old one");
    assert!(r.second_look(at(1_003), true));
    assert_eq!(r.open(), 1);
}

#[test]
fn what_is_unknown_keeps_it_open_and_is_looked_at_again() {
    let mut r = Reconciling::new();
    r.documents = 4;
    r.intent("r", at(0));
    let mut looks = 0;
    for tenth in 50..670 {
        let looked = r.turn(Duration::from_millis(100 * tenth), &[1, 3]);
        assert!(looked.is_empty() || looked == if looks == 0 { vec![0, 1, 2, 3] } else { vec![1, 3] }, "{looked:?}");
        looks += u32::from(!looked.is_empty());
    }
    assert!((15..40).contains(&looks), "with pauses that grow, up to a limit: {looks}");
    // The linger time is over: everything is looked at once more.
    assert_eq!(r.turn(at(72), &[1]), [0, 1, 2, 3]);
    assert!(!r.second_look(at(1_000), true));
    assert_eq!(r.turn(at(1_000), &[1]), [1]);
    assert!(!r.second_look(at(2_000), true), "for as long as it takes");
    assert_eq!(r.turn(at(2_000), &[]), [1]);
    assert!(r.second_look(at(2_002), true));
}

#[test]
fn an_early_look_that_ends_late_settles_nothing() {
    let mut r = Reconciling::new();
    r.intent("r", at(0));
    assert_eq!(r.turn(at(60), &[1]), [0, 1]);
    // What is known by now was seen before the linger time was over.
    assert_eq!(r.turn(at(70), &[]), [0, 1]);
    assert!(r.second_look(at(72), true));
}

#[test]
fn other_copies_at_the_second_look_begin_everything_anew() {
    let mut r = Reconciling::new();
    r.intent("r", at(0));
    assert_eq!(r.turn(at(70), &[]), [0, 1]);
    assert!(!r.second_look(at(72), false));
    assert_eq!(r.turn(at(80), &[]), [0, 1]);
    assert!(r.second_look(at(82), true));
}

#[test]
fn a_tombstone_ends_it_at_any_time() {
    let mut r = Reconciling::new();
    r.intent("r", at(0));
    r.record("r", None, at(2));
    assert!(r.turn(at(500), &[]).is_empty());
    assert_eq!(r.open(), 0);
    // In the middle of a look, and of the second one.
    r.intent("r", at(500));
    let turn = r.begin(at(600)).unwrap();
    r.record("r", None, at(601));
    assert!(r.open.turned(turn, false, at(602), 1.0).is_empty());
    r.intent("r", at(700));
    r.turn(at(800), &[]);
    let [confirmation] = r.open.confirm(at(802)).try_into().unwrap();
    r.record("r", None, at(803));
    assert_eq!(r.open.settle(confirmation.id, at(803)), None);
    assert_eq!(r.open(), 0);
}

#[test]
fn another_record_under_its_key_takes_its_place() {
    let mut r = Reconciling::new();
    r.intent("r", at(0));
    r.turn(at(70), &[]);
    let [confirmation] = r.open.confirm(at(72)).try_into().unwrap();
    let second = r.intent("r", at(73));
    assert_eq!(r.open.settle(confirmation.id, at(73)), None, "what was seen is of the record before it");
    r.open.confirmed(confirmation.id, Confirmed::Settled, at(73), 1.0);
    assert_eq!(r.open(), 1);
    assert_eq!(r.open.commits(), BTreeMap::from([(PARTITION, second)]));
    assert!(r.turn(at(77), &[]).is_empty(), "its age is its own");
    assert_eq!(r.turn(at(78), &[]), [0, 1]);
}

#[test]
fn the_oldest_open_intent_is_where_the_next_owner_begins() {
    let mut r = Reconciling::new();
    assert!(r.open.commits().is_empty(), "nothing was read");
    let offset = |r: &Reconciling| r.open.commits()[&PARTITION];
    r.record(&format!("{LOOK_PREFIX}c/3"), Some(2), at(0));
    assert_eq!((offset(&r), r.open()), (1, 0), "a ticket for a look is no intent");
    let (first, second) = (r.intent("one", at(1)), r.intent("two", at(1)));
    assert_eq!(offset(&r), first);
    r.record("two", None, at(2));
    assert_eq!(offset(&r), first, "nothing is passed over");
    r.record("one", None, at(2));
    assert_eq!(offset(&r), second + 3, "its end");
}

#[test]
fn a_partition_that_was_not_read_to_its_end_is_left_alone() {
    let mut r = Reconciling::new();
    r.open.assigned(PARTITION, 2);
    let record = |offset, size, seconds| IntentRecord { offset, at_ms: ms(at(seconds)), request: "r".into(), size };
    r.open.record(PARTITION, 2, record(7, Some(10), 0), at(300));
    r.open.record(PARTITION, 2, IntentRecord { request: "s".into(), ..record(8, Some(10), 300) }, at(300));
    assert!(r.open.turn(at(400)).is_none(), "a tombstone may follow");
    assert!(r.open.commits().is_empty());
    r.open.record(PARTITION, 2, record(9, None, 301), at(400));
    r.open.reached_end(PARTITION, 2);
    assert_eq!(r.open.turn(at(500)).unwrap().offsets().collect::<Vec<_>>(), [8]);
    assert_eq!(r.open.commits(), BTreeMap::from([(PARTITION, 8)]));
}

#[test]
fn a_partition_that_went_is_neither_settled_nor_committed() {
    let mut r = Reconciling::new();
    r.intent("r", at(0));
    r.turn(at(70), &[]);
    let [confirmation] = r.open.confirm(at(72)).try_into().unwrap();
    r.open.revoked(PARTITION);
    assert_eq!(r.open.settle(confirmation.id, at(72)), None);
    assert!(r.open.commits().is_empty());
    // It comes back: what was seen by the owner before counts for nothing.
    r.open.assigned(PARTITION, 2);
    r.open.record(
        PARTITION,
        2,
        IntentRecord { offset: 0, at_ms: ms(at(0)), request: "r".into(), size: Some(9) },
        at(90),
    );
    r.open.reached_end(PARTITION, 2);
    assert_eq!(r.open.settle(confirmation.id, at(90)), None);
    r.open.record(PARTITION, 1, IntentRecord { offset: 1, at_ms: 0, request: "r".into(), size: None }, at(90));
    assert_eq!(r.open(), 1, "a record of the assignment before");
}

#[test]
fn while_the_primary_is_away_nothing_is_lost_and_nothing_is_hurried() {
    let mut r = Reconciling::new();
    r.intent("r", at(0));
    let mut tries = 0;
    for tenth in 700..1_700 {
        let now = Duration::from_millis(100 * tenth);
        let Some(mut turn) = r.begin(now) else { continue };
        for place in turn.chunk(ms(now), 500) {
            turn.unknown(place);
        }
        tries += 1;
        r.open.turned(turn, true, now, 1.0);
    }
    assert!((15..60).contains(&tries), "{tries}");
    assert_eq!(r.turn(at(200), &[]), [0, 1]);
    // The second look fails, and is tried again.
    let [confirmation] = r.open.confirm(at(202)).try_into().unwrap();
    r.open.confirmed(confirmation.id, Confirmed::Failed, at(202), 1.0);
    assert!(r.second_look(at(210), true));
    // Another one that is due does not ask at once what was not answered a moment ago.
    r.record("large", Some(10 << 20), at(210));
    r.record("another", Some(10 << 20), at(210));
    let turn = r.begin(at(220)).unwrap();
    r.open.turned(turn, true, at(220), 1.0);
    assert!(r.open.turn(at(220)).is_none());
    assert!(r.open.turn(at(221)).is_some());
}

#[test]
fn what_cannot_be_read_is_told_once_and_kept() {
    let mut r = Reconciling::new();
    r.intent("r", at(0));
    let mut turn = r.begin(at(70)).unwrap();
    turn.read(0, b"r", Err("of another format".into()));
    assert_eq!(r.open.turned(turn, false, at(70), 1.0), [Told::SetAside("r".into(), "of another format".into())]);
    assert!(r.open.turn(at(1_000)).is_none());
    let counts = r.open.counts(at(1_000));
    assert_eq!((counts.open, counts.set_aside, counts.oldest), (1, 1, at(1_000)));
    assert_eq!(r.open.commits(), BTreeMap::from([(PARTITION, 0)]));
}

#[test]
fn a_record_that_is_gone_is_waited_for() {
    let mut r = Reconciling::new();
    r.intent("r", at(0));
    let turn = r.open.turn(at(70)).unwrap();
    assert!(turn.is_over(), "nothing was read back");
    r.open.turned(turn, false, at(70), 1.0);
    assert!(r.open.turn(at(70)).is_none(), "not at once again");
    assert!(r.open.turn(at(76)).is_some());
}

#[test]
fn who_waits_longest_comes_first_and_large_ones_come_alone() {
    let mut r = Reconciling::new();
    let (small, large) = (r.intent("small", at(1)), r.record("large", Some(10 << 20), at(0)));
    let (second, third) = (r.intent("second", at(2)), r.intent("third", at(3)));
    let mut turn = r.begin(at(20)).unwrap();
    assert_eq!(turn.offsets().collect::<Vec<_>>(), [large]);
    turn.chunk(ms(at(20)), 500);
    r.open.turned(turn, false, at(20), 1.0);
    let turn = r.begin(at(20)).unwrap();
    assert_eq!(turn.offsets().collect::<Vec<_>>(), [small, second, third], "small ones together");
}

#[test]
fn a_turn_that_failed_before_its_first_look_lets_other_partitions_go_first() {
    let mut r = Reconciling::new();
    let other = PARTITION + 1;
    r.open.assigned(other, 1);
    r.open.reached_end(other, 1);
    r.intent("r", at(100));
    let record = IntentRecord { offset: 0, at_ms: ms(at(110)), request: "s".into(), size: Some(100) };
    r.open.record(other, 1, record, at(110));
    let turn = r.begin(at(120)).unwrap();
    assert_eq!(turn.partition, PARTITION, "it is due for a longer time");
    r.open.turned(turn, true, at(120), 1.0);
    let turn = r.begin(at(121)).unwrap();
    assert_eq!(turn.partition, other);
}
