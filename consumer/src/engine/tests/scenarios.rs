//! Single steps, one a test.

use super::{
    world::{effect, hasher, limits, received},
    *,
};

pub(super) fn at(millis: u64) -> Moment {
    Moment { at: Duration::from_millis(millis), dice: 1.0 }
}

/// Let go in good order, and sealed since.
pub(super) const CLEAN: Start = Start { offset: 0, last_ms: None, clean: true, sealed: true };

pub(super) fn begun() -> Engine {
    let mut engine = Engine::new(limits(10), hasher());
    engine.permit(true);
    begin(&mut engine, 1, CLEAN);
    engine
}

pub(super) fn begin(engine: &mut Engine, generation: u64, start: Start) {
    engine.assigned(0, generation);
    engine.started(at(0), 0, generation, start, Window::new(Duration::from_secs(70)));
}

pub(super) fn put(offset: i64, document: u8) -> Received {
    write(offset, document, Kind::Put)
}

pub(super) fn write(offset: i64, document: u8, kind: Kind) -> Received {
    received(0, offset, 1_000, 1_000, vec![effect(Write { document, kind, client: None }, offset as u64 + 1)])
}

/// Makes the index ready where that is asked for, and returns the first bulk.
pub(super) fn first_bulk(engine: &mut Engine, now: u64) -> Bulk {
    let commands = engine.step(at(now));
    for command in &commands {
        if let Command::Prepare { index, sequence, .. } = command {
            engine.index_ready(index, *sequence, 1);
        }
    }
    bulk(commands).or_else(|| bulk(engine.step(at(now)))).expect("a bulk")
}

pub(super) fn bulk(commands: Vec<Command>) -> Option<Bulk> {
    commands.into_iter().find_map(|command| match command {
        Command::Send(bulk) => Some(bulk),
        _ => None,
    })
}

#[test]
fn nothing_is_sent_to_a_target_that_may_be_the_primary() {
    let mut engine = begun();
    engine.permit(false);
    engine.record(at(0), 0, 1, put(0, 1));
    assert!(engine.step(at(100)).is_empty());
    assert_eq!(engine.wakes_at(Duration::from_millis(100)), None);
}

#[test]
fn a_partition_gets_nothing_new_until_its_batch_is_done() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(0, 1));
    let sent = first_bulk(&mut engine, 10);
    engine.record(at(11), 0, 1, put(1, 2));
    assert!(bulk(engine.step(at(500))).is_none());
    engine.answered(at(500), sent.id, BulkVerdict::Items(vec![Verdict::Applied]));
    assert_eq!(bulk(engine.step(at(500))).unwrap().effects[0].key.id, "2".into());
}

#[test]
fn a_jump_in_the_log_is_read_again_and_then_a_gap() {
    let mut engine = begun();
    let again = |commands: Vec<Command>| {
        matches!(commands[..], [Command::ReadFrom { partition: 0, generation: 1, offset: 0, .. }])
    };
    engine.record(at(0), 0, 1, put(1, 1));
    assert!(again(engine.step(at(1))));
    engine.record(at(2), 0, 1, put(2, 1));
    assert!(engine.step(at(3)).is_empty(), "it was on its way");
    assert!(again(engine.step(at(2_001))));
    assert!(engine.step(at(5_000)).is_empty(), "nothing came: Kafka is slow");
    engine.record(at(5_001), 0, 1, put(1, 1));
    let commands = engine.step(at(7_001));
    assert!(matches!(commands[..], [Command::Stopped { reason: StopReason::Gap, .. }]), "{commands:?}");
    engine.record(at(7_002), 0, 1, put(0, 1));
    assert!(engine.step(at(7_500)).is_empty(), "a stopped partition applies nothing");
}

#[test]
fn a_jump_that_reading_again_mends_is_none() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(1, 1));
    engine.step(at(1));
    engine.record(at(2), 0, 1, put(2, 1));
    for offset in 0..3 {
        engine.record(at(3), 0, 1, put(offset, 1));
    }
    engine.step(at(9_000));
    assert!(engine.status().all(|status| status.stopped.is_none()));
    assert!(engine.wakes_at(Duration::from_secs(10)).is_none_or(|at| at <= Duration::from_secs(10)));
}

#[test]
fn a_log_of_which_nothing_comes_is_read_again() {
    let mut engine = begun();
    let looks_until_read = |engine: &mut Engine, high, now| {
        let read = |commands: &Vec<Command>| {
            commands.iter().any(|command| matches!(command, Command::ReadFrom { partition: 0, offset: 1, .. }))
        };
        (1..=100).find(|_| {
            engine.watermarks(0, 1, 0, high);
            read(&engine.step(at(now)))
        })
    };
    engine.record(at(0), 0, 1, put(0, 1));
    assert_eq!(looks_until_read(&mut engine, 1, 0), None, "it is at its end");
    assert_eq!(looks_until_read(&mut engine, 2, 0), Some(3));
    assert_eq!(looks_until_read(&mut engine, 2, 0), Some(6), "a stranger's record may stand there for ever");
    engine.record(at(1), 0, 1, put(1, 1));
    for offset in 2..20 {
        engine.watermarks(0, 1, 0, 40);
        assert!(!matches!(engine.step(at(2))[..], [Command::ReadFrom { .. }, ..]), "it is read");
        engine.record(at(2), 0, 1, put(offset, 1));
    }
}

#[test]
fn a_log_that_lost_records_is_a_gap() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(0, 1));
    engine.watermarks(0, 1, 1, 5);
    assert!(engine.status().all(|status| status.stopped.is_none()), "what is gone was read");
    engine.watermarks(0, 1, 2, 5);
    assert_eq!(engine.status().next().unwrap().stopped, Some(StopReason::Gap));
}

#[test]
fn what_cannot_be_read_is_a_dead_letter_and_what_is_newer_stops() {
    let mut engine = begun();
    let unreadable = |offset, error| Received { content: Err(error), ..put(offset, 1) };
    engine.record(at(0), 0, 1, unreadable(0, Unreadable::Foreign("x".into())));
    engine.record(at(0), 0, 1, unreadable(1, Unreadable::Newer("y".into())));
    let commands = engine.step(at(10));
    let [Command::DeadLetter(letter)] = &commands[..] else { panic!("{commands:?}") };
    assert!(letter.effect.is_none());
    engine.letter_kept(letter.ticket);
    let commands = engine.step(at(20));
    assert!(
        matches!(&commands[..], [Command::Stopped { reason: StopReason::Newer, .. }, Command::Commit(commits)] if commits[0].offset == 1),
        "{commands:?}"
    );
}

#[test]
fn another_incarnation_stops_its_partition_after_what_stands_before_it() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(0, 1));
    let mut other = put(1, 1);
    if let Ok(record) = &mut other.content {
        record.indices.insert("i".into(), IndexNeed { uuid: "v".into(), mapping: 1, shards: SHARDS });
    }
    engine.record(at(0), 0, 1, other);
    let sent = first_bulk(&mut engine, 10);
    assert_eq!(sent.effects.len(), 1);
    engine.answered(at(11), sent.id, BulkVerdict::Items(vec![Verdict::Applied]));
    let commands = engine.step(at(12));
    let (index, _) = commands
        .iter()
        .find_map(|command| match command {
            Command::Prepare { index, sequence, .. } => Some((index.clone(), *sequence)),
            _ => None,
        })
        .unwrap_or_else(|| (IndexId { index: "i".into(), uuid: "v".into() }, 0));
    engine.index_differs(&index, "u");
    let commands = engine.step(at(20));
    assert!(
        commands.iter().any(|command| matches!(command, Command::Stopped { reason: StopReason::Incarnation, .. })),
        "{commands:?}"
    );
    assert_eq!(engine.status().next().unwrap().done, Some(1));
}

#[test]
fn a_refused_effect_is_sent_once_more_after_its_index_was_looked_at_and_then_buried() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(0, 1));
    let sent = first_bulk(&mut engine, 10);
    let refused = || BulkVerdict::Items(vec![Verdict::Refused(super::world::reason(400))]);
    engine.answered(at(11), sent.id, refused());
    let again = first_bulk(&mut engine, 12);
    engine.answered(at(13), again.id, refused());
    let commands = engine.step(at(14));
    assert!(matches!(&commands[..], [Command::DeadLetter(letter)] if letter.effect.is_some()), "{commands:?}");
    assert_eq!(engine.status().next().unwrap().done, Some(0));
}

#[test]
fn a_bulk_that_is_refused_as_a_whole_is_sent_one_by_one() {
    let mut engine = begun();
    for offset in 0..3 {
        engine.record(at(0), 0, 1, put(offset, offset as u8));
    }
    let sent = first_bulk(&mut engine, 10);
    assert_eq!(sent.effects.len(), 3);
    engine.answered(at(11), sent.id, BulkVerdict::Refused(super::world::reason(400)));
    for _ in 0..3 {
        let one = bulk(engine.step(at(12))).unwrap();
        assert_eq!(one.effects.len(), 1);
        engine.answered(at(12), one.id, BulkVerdict::Items(vec![Verdict::Applied]));
    }
    assert_eq!(engine.status().next().unwrap().done, Some(3));
}

#[test]
fn buffers_are_bounded_and_the_partition_resumes() {
    let mut engine = begun();
    engine.permit(false);
    let mut paused = 0;
    for offset in 0..20 {
        engine.record(at(0), 0, 1, put(offset, 1));
        paused += engine.step(at(1)).iter().filter(|command| matches!(command, Command::Pause { .. })).count();
    }
    assert_eq!(paused, 1);
    engine.permit(true);
    let sent = first_bulk(&mut engine, 10);
    assert_eq!(sent.effects.len(), 1, "collapsed");
    engine.answered(at(11), sent.id, BulkVerdict::Items(vec![Verdict::Applied]));
    assert!(engine.step(at(20)).iter().any(|command| matches!(command, Command::Resume { .. })));
}

#[test]
fn a_revoked_partition_goes_when_its_bulk_is_answered() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(0, 1));
    let sent = first_bulk(&mut engine, 10);
    engine.revoke(&[0, 7]);
    let commands = engine.step(at(11));
    assert!(matches!(commands[..], [Command::Released { partition: 7, commit: None }]), "{commands:?}");
    engine.answered(at(12), sent.id, BulkVerdict::Items(vec![Verdict::Applied]));
    let commands = engine.step(at(13));
    assert!(
        matches!(&commands[..], [Command::Released { partition: 0, commit: Some(commit) }] if commit.offset == 1),
        "{commands:?}"
    );
}

#[test]
fn a_partition_that_comes_back_waits_for_the_answer_to_its_lost_bulk() {
    let mut engine = begun();
    engine.record(at(0), 0, 1, put(0, 1));
    let sent = first_bulk(&mut engine, 10);
    assert!(engine.let_go(&[0]).is_empty());
    begin(&mut engine, 2, CLEAN);
    engine.record(at(20), 0, 2, put(0, 1));
    assert!(bulk(engine.step(at(500))).is_none(), "the old bulk may still arrive");
    engine.answered(at(501), sent.id, BulkVerdict::Items(vec![Verdict::Applied]));
    assert_eq!(engine.status().next().unwrap().done, Some(0), "an answer to another generation");
    assert!(bulk(engine.step(at(502))).is_some());
}

#[test]
fn a_partition_that_cannot_begin_shows_how_far_behind_it_is() {
    let mut engine = Engine::new(limits(10), hasher());
    engine.assigned(0, 1);
    engine.cannot_begin(0, 1, Some(7), "gone".into());
    let status = engine.status().next().unwrap();
    assert_eq!((status.done, status.stopped), (Some(7), Some(StopReason::Gap)));
    engine.record(at(0), 0, 1, put(7, 1));
    let commands = engine.step(at(500));
    assert!(matches!(commands[..], [Command::Stopped { .. }]), "{commands:?}");
}

/// Under steady writes every look at the log is a little older than what was read when it comes in.
#[test]
fn a_look_that_is_older_than_what_was_read_is_no_gap() {
    let mut engine = begun();
    for offset in 0..20 {
        engine.record(at(0), 0, 1, put(offset, 1));
        engine.watermarks(0, 1, 0, offset);
        assert!(engine.status().all(|status| status.stopped.is_none()), "offset {offset}");
    }
    // A log that really is shorter than what was read long ago.
    for _ in 0..10 {
        engine.watermarks(0, 1, 0, 5);
    }
    assert_eq!(engine.status().next().unwrap().stopped, Some(StopReason::Gap));
}
