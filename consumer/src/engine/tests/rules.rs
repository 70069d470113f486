//! The rules about late bulks, client versions, observations and references, one a test.

use super::{
    scenarios::{CLEAN, at, begin, begun, bulk, first_bulk, put, write},
    world::{LINGERS, effect, hasher, limits, reason, received},
    *,
};

const TAKEN_OVER: Start = Start { offset: 0, last_ms: None, clean: false, sealed: true };
const OVER: u64 = LINGERS.as_millis() as u64;

fn taken_over() -> Engine {
    let mut engine = Engine::new(limits(10), hasher());
    engine.permit(true);
    begin(&mut engine, 1, TAKEN_OVER);
    engine
}

fn applied(sent: &Bulk) -> BulkVerdict {
    BulkVerdict::Items(vec![Verdict::Applied; sent.effects.len()])
}

fn conflict(sent: &Bulk) -> BulkVerdict {
    BulkVerdict::Items(vec![Verdict::Superseded; sent.effects.len()])
}

/// Sends what there is, and has it applied.
fn apply(engine: &mut Engine, now: u64) -> Bulk {
    let sent = first_bulk(engine, now);
    engine.answered(at(now), sent.id, applied(&sent));
    sent
}

fn commits(commands: &[Command]) -> Vec<(i64, bool)> {
    let committed = commands.iter().filter_map(|command| match command {
        Command::Commit(commits) => Some(commits.clone()),
        Command::Released { commit, .. } => Some(commit.iter().cloned().collect()),
        _ => None,
    });
    committed.flatten().map(|commit| (commit.offset, commit.clean)).collect()
}

fn ids(sent: &Bulk) -> Vec<&str> {
    sent.effects.iter().map(|effect| &*effect.key.id).collect()
}

fn versioned(offset: i64, document: u8, kind: Kind, seq_no: u64, client: Option<u64>) -> Received {
    received(0, offset, 1_000, 1_000, vec![effect(Write { document, kind, client }, seq_no)])
}

#[test]
fn a_takeover_from_one_that_is_gone_commits_nothing_until_its_deletes_were_repeated() {
    let mut engine = taken_over();
    let commands = engine.step(at(0));
    assert!(matches!(commands[..], [Command::Unsettled { partition: 0, taken_over: true }]), "{commands:?}");
    engine.record(at(0), 0, 1, write(0, 1, Kind::Delete));
    engine.record(at(0), 0, 1, write(1, 2, Kind::Put));
    assert_eq!(apply(&mut engine, 10).effects.len(), 2, "it goes on applying");
    assert!(engine.step(at(OVER - 1)).is_empty());
    assert!(engine.status().all(|status| status.unsettled && status.done == Some(2)));
    assert_eq!(engine.wakes_at(at(20).at), Some(LINGERS));
    let again = bulk(engine.step(at(OVER))).unwrap();
    assert_eq!(ids(&again), ["1"], "the put stands in the target's own way");
    engine.answered(at(OVER + 5), again.id, applied(&again));
    let commands = engine.step(at(OVER + 5));
    assert!(matches!(commands[0], Command::Settled { partition: 0 }), "{commands:?}");
    assert_eq!(commits(&commands), [(2, false)]);
}

#[test]
fn a_bulk_that_was_not_answered_counts_as_a_takeover_and_one_that_was_not_sent_does_not() {
    for (verdict, lingers) in [
        (BulkVerdict::Unknown(reason(0)), true),
        (BulkVerdict::Items(vec![Verdict::Retry { overloaded: false, lingers: true, reason: reason(503) }]), true),
        (BulkVerdict::Items(vec![Verdict::Retry { overloaded: true, lingers: false, reason: reason(429) }]), false),
        (BulkVerdict::NotSent(reason(0)), false),
    ] {
        let mut engine = begun();
        engine.record(at(0), 0, 1, write(0, 1, Kind::Delete));
        let sent = first_bulk(&mut engine, 10);
        engine.answered(at(1_000), sent.id, verdict);
        let commands = engine.step(at(1_000));
        let told = commands.iter().any(|command| matches!(command, Command::Unsettled { taken_over: false, .. }));
        assert_eq!(told, lingers);
        apply(&mut engine, 2_000);
        let commands = engine.step(at(2_001));
        assert_eq!(commits(&commands).is_empty(), lingers);
        if lingers {
            assert!(bulk(engine.step(at(999 + OVER))).is_none());
            let again = bulk(engine.step(at(1_000 + OVER))).unwrap();
            engine.answered(at(1_000 + OVER), again.id, applied(&again));
            assert_eq!(commits(&engine.step(at(1_000 + OVER))), [(1, false)]);
        }
    }
}

#[test]
fn a_repetition_that_is_not_answered_is_repeated_in_its_turn() {
    let mut engine = taken_over();
    engine.record(at(0), 0, 1, write(0, 1, Kind::Delete));
    apply(&mut engine, 10);
    let again = bulk(engine.step(at(OVER))).unwrap();
    engine.answered(at(OVER + 100), again.id, BulkVerdict::Unknown(reason(0)));
    apply(&mut engine, OVER + 1_000);
    assert!(commits(&engine.step(at(OVER + 1_001))).is_empty());
    apply(&mut engine, 2 * OVER + 100);
    assert_eq!(commits(&engine.step(at(2 * OVER + 101))), [(1, false)]);
}

#[test]
fn only_the_newest_of_a_document_is_repeated() {
    let mut engine = taken_over();
    engine.record(at(0), 0, 1, write(0, 1, Kind::Delete));
    apply(&mut engine, 10);
    engine.record(at(20), 0, 1, write(1, 1, Kind::Put));
    apply(&mut engine, 30);
    let commands = engine.step(at(OVER));
    assert_eq!(commits(&commands), [(2, false)]);
    assert!(bulk(commands).is_none());
}

#[test]
fn where_clients_give_versions_puts_are_repeated_too_and_whatever_stands_there() {
    let mut engine = taken_over();
    engine.client_versions(&["u".into()]);
    engine.record(at(0), 0, 1, write(0, 1, Kind::Delete));
    engine.record(at(0), 0, 1, write(1, 2, Kind::Put));
    assert_eq!(apply(&mut engine, 10).way, Way::Versions);
    let again = bulk(engine.step(at(OVER))).unwrap();
    assert_eq!((again.way, again.effects.len()), (Way::Force, 2));
}

#[test]
fn what_is_to_be_repeated_is_bounded() {
    let mut engine = taken_over();
    engine.client_versions(&["u".into()]);
    let large = |document: u8| {
        let mut received = write(i64::from(document), document, Kind::Put);
        if let Ok(record) = &mut received.content {
            record.effects[0].state = DocumentState::Put(vec![b' '; 1 << 20].into());
        }
        received
    };
    for document in 0..40 {
        engine.record(at(0), 0, 1, large(document));
    }
    let mut now = 10;
    let mut sent = 0;
    for command in engine.step(at(now)) {
        if let Command::Prepare { index, sequence, .. } = command {
            engine.index_ready(&index, sequence, 1);
        }
    }
    while let Some(next) = bulk(engine.step(at(now))) {
        sent += next.effects.len();
        engine.answered(at(now), next.id, applied(&next));
        now += 10;
    }
    assert_eq!(sent, 32, "then it waits");
    let again = bulk(engine.step(at(OVER))).unwrap();
    assert_eq!(again.way, Way::Force);
}

#[test]
fn nothing_is_sent_before_kafka_knows_that_the_partition_has_an_owner() {
    let mut engine = Engine::new(limits(10), hasher());
    engine.permit(true);
    begin(&mut engine, 1, Start { sealed: false, ..CLEAN });
    assert!(engine.step(at(0)).is_empty(), "a partition without work stays as it is");
    engine.record(at(0), 0, 1, put(0, 1));
    let commands = engine.step(at(10));
    assert_eq!(commits(&commands), [(0, false)]);
    assert!(bulk(commands).is_none());
    assert_eq!(engine.wakes_at(at(11).at), Some(at(2_010).at), "the commit is repeated, and nothing spins");
    let seal = Commit { partition: 0, generation: 1, offset: 0, last_ms: None, clean: false };
    engine.committed(&Commit { generation: 7, ..seal.clone() });
    assert!(engine.step(at(20)).is_empty(), "a commit of another owner");
    engine.committed(&seal);
    assert_eq!(first_bulk(&mut engine, 21).effects.len(), 1);
}

#[test]
fn only_an_orderly_release_of_what_rests_is_clean() {
    let done = |verdict: fn(&Bulk) -> BulkVerdict| {
        let mut engine = begun();
        engine.record(at(0), 0, 1, put(0, 1));
        let sent = first_bulk(&mut engine, 10);
        engine.answered(at(11), sent.id, verdict(&sent));
        engine
    };
    let mut engine = done(applied);
    engine.revoke(&[0]);
    assert_eq!(commits(&engine.step(at(12))), [(1, true)]);
    // Committed already; that it is let go in good order is news.
    let mut engine = done(applied);
    assert_eq!(commits(&engine.step(at(12))), [(1, false)]);
    engine.committed(&Commit { partition: 0, generation: 1, offset: 1, last_ms: None, clean: false });
    engine.revoke(&[0]);
    assert_eq!(commits(&engine.step(at(13))), [(1, true)]);
    let mut engine = done(|_| BulkVerdict::Unknown(reason(0)));
    engine.revoke(&[0]);
    assert_eq!(commits(&engine.step(at(12))), []);
    let mut engine = done(applied);
    let lost: Vec<_> = engine.let_go(&[0]).into_iter().map(|commit| (commit.offset, commit.clean)).collect();
    assert_eq!(lost, [(1, false)]);
    let mut engine = taken_over();
    engine.revoke(&[0]);
    assert_eq!(commits(&engine.step(at(0))), []);
}

fn reports(commands: &[Command]) -> Vec<(i64, i64)> {
    let of = |command: &Command| match command {
        Command::Report { partition: 0, from, to } => Some((*from, *to)),
        _ => None,
    };
    commands.iter().filter_map(of).collect()
}

#[test]
fn what_was_sent_of_a_lost_partition_and_is_not_committed_is_reported() {
    let mut engine = begun();
    for offset in 0..3 {
        engine.record(at(0), 0, 1, put(offset, offset as u8));
    }
    apply(&mut engine, 10);
    engine.step(at(11));
    engine.committed(&Commit { partition: 0, generation: 1, offset: 3, last_ms: None, clean: false });
    engine.record(at(20), 0, 1, put(3, 3));
    apply(&mut engine, 30);
    engine.record(at(40), 0, 1, put(4, 4));
    let sent = first_bulk(&mut engine, 50);
    engine.record(at(51), 0, 1, put(5, 5));
    engine.let_go(&[0]);
    assert_eq!(reports(&engine.step(at(60))), [(3, 5)]);
    // The bulk may have been held up until long after the next owner's.
    engine.answered(at(70), sent.id, applied(&sent));
    assert_eq!(reports(&engine.step(at(70))), [(4, 5)]);
    begin(&mut engine, 2, CLEAN);
    engine.let_go(&[0]);
    assert_eq!(reports(&engine.step(at(80))), [], "nothing was sent");
}

#[test]
fn a_partition_that_was_released_is_not_reported() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(0, 1));
    apply(&mut engine, 10);
    engine.revoke(&[0]);
    assert_eq!(reports(&engine.step(at(12))), []);
}

#[test]
fn a_process_that_stood_still_decides_anew_and_not_at_once() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(0, 1));
    let sent = first_bulk(&mut engine, 10);
    engine.answered(at(50_000), sent.id, BulkVerdict::Withdrawn);
    let commands = engine.step(at(50_000));
    assert!(commands.is_empty(), "nothing lingers, and the target is not down: {commands:?}");
    assert!(bulk(engine.step(at(51_999))).is_none(), "the group may have given its partitions to others");
    assert_eq!(engine.wakes_at(at(51_999).at), Some(at(52_000).at));
    assert!(bulk(engine.step(at(52_000))).is_some());
    engine.stood_still(at(60_000));
    assert_eq!(engine.sends_from(), at(62_000).at);
}

#[test]
fn a_conflict_tells_nothing_where_clients_give_versions() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, versioned(0, 1, Kind::Delete, 1, Some(9)));
    apply(&mut engine, 10);
    // Its client counts from the beginning again; and one that gives no version.
    engine.record(at(20), 0, 1, versioned(1, 1, Kind::Put, 2, Some(1)));
    engine.record(at(20), 0, 1, versioned(2, 2, Kind::Put, 3, None));
    let sent = first_bulk(&mut engine, 30);
    assert_eq!(sent.way, Way::Versions);
    engine.answered(at(31), sent.id, conflict(&sent));
    let forced = bulk(engine.step(at(32))).unwrap();
    assert_eq!((forced.way, ids(&forced)), (Way::Force, vec!["1", "2"]));
    assert_eq!(engine.status().next().unwrap().done, Some(1));
    engine.answered(at(33), forced.id, applied(&forced));
    assert_eq!(engine.status().next().unwrap().done, Some(3));
    assert_eq!((engine.tally().forced, engine.tally().superseded), (2, 0));
}

#[test]
fn elsewhere_a_conflict_says_that_it_is_there() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(0, 1));
    let sent = first_bulk(&mut engine, 10);
    engine.answered(at(11), sent.id, conflict(&sent));
    assert_eq!(engine.tally().superseded, 1);
    assert_eq!(engine.status().next().unwrap().done, Some(1));
}

#[test]
fn a_claim_never_stands_above_an_observation_of_the_same_version() {
    let claim = |offset| versioned(offset, 1, Kind::Put, 5, None);
    let observation = |offset| {
        let mut received = claim(offset);
        if let Ok(record) = &mut received.content {
            record.effects[0] = Effect { observed: true, ..record.effects[0].clone() };
        }
        received
    };
    for first in [&claim as &dyn Fn(i64) -> Received, &observation] {
        let mut engine = begun();
        engine.record(at(0), 0, 1, first(0));
        engine.record(at(0), 0, 1, observation(1));
        engine.record(at(0), 0, 1, claim(2));
        let sent = first_bulk(&mut engine, 10);
        assert!(sent.effects.len() == 1 && sent.effects[0].observed);
    }
    // Nor in another batch, where versions of clients might let it.
    let mut engine = begun();
    engine.record(at(0), 0, 1, observation(0));
    apply(&mut engine, 10);
    engine.record(at(20), 0, 1, claim(1));
    assert!(bulk(engine.step(at(30))).is_none());
    assert_eq!((engine.tally().stale, engine.status().next().unwrap().done), (1, Some(2)));
}

#[test]
fn a_reference_is_read_from_the_primary_and_counts_as_what_was_read() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, versioned(0, 1, Kind::Reference, 5, None));
    engine.record(at(0), 0, 1, versioned(1, 2, Kind::Put, 6, None));
    let sent = first_bulk(&mut engine, 10);
    assert_eq!(ids(&sent), ["2"], "a reference is not sent");
    engine.answered(at(11), sent.id, applied(&sent));
    assert!(bulk(engine.step(at(5_000))).is_none(), "the partition waits, however long");
    assert_eq!(engine.status().next().unwrap().done, Some(0));
    let ticket = ReferenceTicket { partition: 0, generation: 1, item: 0 };
    let write = Write { document: 1, kind: Kind::Put, client: None };
    let read = Sighting { effect: Effect { observed: true, ..effect(write, 9) }, mapping: 3 };
    engine.was_read(ticket, read.clone());
    // What the primary has now may need a newer mapping.
    let commands = engine.step(at(5_001));
    let [Command::Prepare { index, mapping: 3, sequence }] = &commands[..] else { panic!("{commands:?}") };
    engine.index_ready(index, *sequence, 3);
    let sent = bulk(engine.step(at(5_002))).unwrap();
    assert_eq!(sent.effects, [read.effect]);
    engine.answered(at(5_003), sent.id, applied(&sent));
    engine.record(at(6_000), 0, 1, versioned(2, 1, Kind::Delete, 8, None));
    engine.step(at(7_000));
    assert_eq!((engine.tally().stale, engine.status().next().unwrap().done), (1, Some(3)), "older than what was read");
}

#[test]
fn a_reference_that_was_overtaken_is_not_read() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, versioned(0, 1, Kind::Reference, 5, None));
    engine.record(at(0), 0, 1, versioned(1, 1, Kind::Delete, 6, None));
    let mut reads = 0;
    for command in engine.step(at(10)) {
        match command {
            Command::Prepare { index, sequence, .. } => engine.index_ready(&index, sequence, 1),
            Command::Read(_) => reads += 1,
            _ => {}
        }
    }
    let commands = engine.step(at(10));
    reads += commands.iter().filter(|command| matches!(command, Command::Read(_))).count();
    assert_eq!((reads, bulk(commands).unwrap().effects.len()), (0, 1));
}
