//! A log, a group, a primary and a target, all in memory.

use super::*;

mod history;
mod target;

pub(super) use history::{Kind, Request, Write, effect, received};
use history::{log, truth, valid};
pub(super) use target::reason;
use target::{Flight, Target, id};

const PARTITIONS: i32 = 2;
const L: Duration = Duration::from_secs(60);
const W: Duration = Duration::from_secs(70);
pub(super) const LINGERS: Duration = Duration::from_secs(10);

pub(super) fn limits(batch_actions: usize) -> Limits {
    Limits {
        batch_bytes: 2_000,
        batch_actions,
        linger: Duration::from_millis(5),
        max_backoff: Duration::from_secs(1),
        max_buffered_bytes: 6_000,
        ticket_lifetime: L,
        window: W,
        lingers: LINGERS,
    }
}

pub(super) fn hasher() -> DocumentHasher {
    DocumentHasher::new([3; 16])
}

pub(super) struct World {
    log: Vec<Vec<Received>>,
    target: Target,
    /// Offset, and whether it was let go in good order.
    committed: Vec<Option<(i64, bool)>>,
    buried: BTreeMap<String, PackedVersion>,
    /// Records that could not be read and are in the dead-letter topic.
    kept: std::collections::BTreeSet<(i32, i64)>,
    limits: Limits,
    engine: Engine,
    now: Duration,
    generation: u64,
    fetched: Vec<i64>,
    paused: Vec<bool>,
    flying: Vec<Flight>,
    /// Commits on their way to Kafka.
    commits: Vec<Commit>,
    preparations: Vec<(IndexId, u64)>,
    letters: Vec<DeadLetter>,
    references: Vec<Reference>,
    /// Whether any record with a client's version was ever read.
    versioned: bool,
}

impl World {
    pub(super) fn new(requests: &[Request], batch_actions: usize) -> Self {
        let limits = limits(batch_actions);
        let log = log(requests);
        let mut world = Self {
            committed: vec![None; log.len()],
            fetched: vec![0; log.len()],
            paused: vec![false; log.len()],
            log,
            target: Target::default(),
            buried: BTreeMap::new(),
            kept: std::collections::BTreeSet::new(),
            limits,
            engine: Engine::new(limits, hasher()),
            now: Duration::ZERO,
            generation: 0,
            flying: Vec::new(),
            commits: Vec::new(),
            preparations: Vec::new(),
            letters: Vec::new(),
            references: Vec::new(),
            versioned: false,
        };
        world.restart(0);
        world
    }

    pub(super) fn act(&mut self, action: u8, dice: u32) {
        let partition = (dice % PARTITIONS as u32) as usize;
        match action {
            0..=34 => self.fetch(partition),
            35..=57 => self.answer(dice),
            58..=66 => self.pass(Duration::from_millis(u64::from(dice % 4_000))),
            67..=70 => self.prepared(),
            71..=74 => self.kept(),
            75..=78 => self.read(),
            79..=83 => self.keep_commits(),
            84..=85 => self.restart(dice),
            86..=87 => self.engine.revoke(&[partition as i32]),
            88..=89 => self.lose(partition),
            90..=94 => self.target.land(dice as usize),
            _ => self.target.forget_deletes(),
        }
        self.step();
    }

    /// Nothing more goes wrong.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            for partition in 0..self.log.len() {
                self.fetch(partition);
            }
            self.prepared();
            self.kept();
            self.read();
            self.keep_commits();
            self.answer(0);
            // But a target may always have forgotten.
            self.target.forget_deletes();
            self.pass(Duration::from_millis(100));
            self.step();
            let ends = self.log.iter().map(|records| records.len() as i64);
            let all_done = self.engine.status().map(|status| status.done.unwrap_or(-1)).eq(ends);
            if all_done && !self.engine.is_busy() && self.engine.status().all(|status| !status.unsettled) {
                for _ in 0..3 {
                    self.pass(Duration::from_secs(10));
                    self.step();
                    self.keep_commits();
                }
                let ends: Vec<i64> = self.log.iter().map(|records| records.len() as i64).collect();
                let committed: Vec<i64> = self.committed.iter().map(|kept| kept.map_or(0, |kept| kept.0)).collect();
                assert_eq!(committed, ends);
                return;
            }
        }
        panic!("it does not settle: {:?}", self.engine.status().collect::<Vec<_>>());
    }

    pub(super) fn check_equal(&self) {
        for (id, effect) in self.greatest() {
            let poisoned =
                |effect: &Effect| matches!(&effect.state, DocumentState::Put(s) if s.starts_with(b"{\"poison"));
            let mut of_it = self.log.iter().flatten().flat_map(valid).filter(|effect| *effect.key.id == *id);
            if of_it.any(poisoned) {
                continue;
            }
            let wanted = match truth(effect) {
                DocumentState::Put(source) => Some(source),
                DocumentState::Deleted | DocumentState::Reference => None,
            };
            assert_eq!(self.target.source(&id), wanted.as_ref(), "document {id}, version {}", effect.version);
        }
    }

    /// What the primary has: of every document the greatest effect that counts.
    fn greatest(&self) -> BTreeMap<String, &Effect> {
        let mut greatest: BTreeMap<String, &Effect> = BTreeMap::new();
        for effect in self.log.iter().flatten().flat_map(valid) {
            let known = greatest.entry(id(effect)).or_insert(effect);
            if effect.order() > known.order() {
                *known = effect;
            }
        }
        greatest
    }

    fn moment(&self) -> Moment {
        Moment { at: self.now, dice: 0.5 }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.target.land_until(self.now);
    }

    fn step(&mut self) {
        for _ in 0..3 {
            let commands = self.engine.step(self.moment());
            for command in commands {
                self.execute(command);
            }
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Send(bulk) => {
                for slot in &self.engine.bulks[&bulk.id] {
                    assert!(self.committed[slot.partition as usize].is_some_and(|(_, clean)| !clean), "not sealed");
                }
                self.flying.push(self.target.take_off(bulk));
            }
            Command::Prepare { index, sequence, .. } => self.preparations.push((index, sequence)),
            Command::DeadLetter(letter) => self.letters.push(letter),
            Command::Commit(commits) => {
                commits.iter().for_each(|commit| self.check_rest(commit));
                self.commits.extend(commits);
            }
            Command::Pause { partition, .. } => self.paused[partition as usize] = true,
            Command::Resume { partition, .. } => self.paused[partition as usize] = false,
            Command::Released { partition, commit } => {
                if let Some(commit) = commit {
                    self.check_rest(&commit);
                    self.commit(&commit);
                }
                self.begin(partition);
            }
            Command::Read(reference) => self.references.push(reference),
            Command::Stopped { reason, detail, .. } => panic!("{reason:?}: {detail}"),
            Command::ReadFrom { .. } => panic!("the log has no holes"),
            Command::TargetDown(_)
            | Command::TargetUp
            | Command::Blocked { .. }
            | Command::Unblocked { .. }
            | Command::Unsettled { .. }
            | Command::Settled { .. }
            | Command::Report { .. } => {}
        }
    }

    /// Nothing is committed while something of the partition may arrive.
    fn check_rest(&self, commit: &Commit) {
        let of_it = |effect: &Effect| i32::from(id(effect).parse::<u8>().unwrap()) % PARTITIONS == commit.partition;
        let before = self.committed[commit.partition as usize].map_or(0, |kept| kept.0);
        let seals = commit.offset == before && !commit.clean;
        assert!(seals || !self.target.awaits(of_it), "{commit:?} while a bulk may arrive");
    }

    /// Every effect before a committed offset is on the target, or was, or is in the dead-letter topic, or is nothing.
    fn commit(&mut self, commit: &Commit) {
        let partition = commit.partition as usize;
        for record in &self.log[partition][..commit.offset as usize] {
            let place = (record.record.partition, record.record.offset);
            assert!(record.content.is_ok() || self.kept.contains(&place), "committed past {place:?}, which is nowhere");
            for effect in valid(record) {
                let id = id(effect);
                let reached = self.target.ever.get(&id).max(self.buried.get(&id));
                assert!(
                    reached >= Some(&effect.version),
                    "committed {} past offset {}: {} {} is not applied",
                    commit.offset,
                    record.record.offset,
                    id,
                    effect.version
                );
            }
        }
        let before = self.committed[partition].map_or(0, |kept| kept.0);
        self.committed[partition] = Some((before.max(commit.offset), commit.clean));
    }

    fn keep_commits(&mut self) {
        for commit in std::mem::take(&mut self.commits) {
            let current = self.engine.partitions.get(&commit.partition).map(|state| state.generation);
            // Kafka takes nothing from a former owner.
            if current == Some(commit.generation) {
                self.commit(&commit);
                self.engine.committed(&commit);
            }
        }
    }

    fn fetch(&mut self, partition: usize) {
        let offset = self.fetched[partition];
        if self.paused[partition] || offset >= self.log[partition].len() as i64 {
            return;
        }
        let record = self.log[partition][offset as usize].clone();
        self.versioned |= valid(&record).any(|effect| effect.client_version.is_some());
        self.fetched[partition] += 1;
        let moment = self.moment();
        let generation = self.engine.partitions.get(&(partition as i32)).map_or(0, |state| state.generation);
        self.engine.record(moment, partition as i32, generation, record);
    }

    fn answer(&mut self, dice: u32) {
        if self.flying.is_empty() {
            return;
        }
        let flight = self.flying.remove(dice as usize / 32 % self.flying.len());
        let (bulk, until) = (flight.bulk.clone(), self.now + LINGERS);
        let target = &mut self.target;
        let mut chance = dice;
        let verdict = match dice % 32 {
            // The target takes it, and its answer is lost.
            9 => {
                bulk.effects.iter().for_each(|effect| drop(target.apply(effect, bulk.way)));
                BulkVerdict::Unknown(reason(0))
            }
            10 => BulkVerdict::Unknown(reason(502)),
            11 => BulkVerdict::Overloaded(reason(429)),
            12 => BulkVerdict::Blocked(reason(403)),
            13 if bulk.effects.len() > 1 => BulkVerdict::TooLarge(reason(413)),
            14 if bulk.effects.len() > 1 => BulkVerdict::Refused(reason(400)),
            15 => BulkVerdict::NotSent(reason(0)),
            16 => BulkVerdict::Withdrawn,
            // It arrives later than anybody waits.
            17 | 18 => {
                target.linger(until, flight, None);
                BulkVerdict::Unknown(reason(0))
            }
            kind => BulkVerdict::Items(
                bulk.effects
                    .iter()
                    .enumerate()
                    .map(|(item, effect)| {
                        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        match if kind < 8 { 15 } else { chance >> 28 } {
                            0 => Verdict::Retry { overloaded: true, lingers: false, reason: reason(429) },
                            1 => {
                                target.apply(effect, bulk.way);
                                Verdict::Retry { overloaded: false, lingers: true, reason: reason(503) }
                            }
                            2 => Verdict::Blocked(reason(403)),
                            3 => Verdict::IndexMissing,
                            4 => {
                                target.linger(until, flight.clone(), Some(item));
                                Verdict::Retry { overloaded: false, lingers: true, reason: reason(503) }
                            }
                            _ => target.apply(effect, bulk.way),
                        }
                    })
                    .collect(),
            ),
        };
        let moment = self.moment();
        self.engine.answered(moment, bulk.id, verdict);
    }

    fn prepared(&mut self) {
        for (index, sequence) in std::mem::take(&mut self.preparations) {
            self.engine.index_ready(&index, sequence, 2);
        }
    }

    fn kept(&mut self) {
        for letter in std::mem::take(&mut self.letters) {
            let record = &letter.origin.record;
            if letter.effect.is_none() {
                self.kept.insert((record.partition, record.offset));
            }
            if let Some(effect) = &letter.effect {
                let buried = self.buried.entry(id(effect)).or_insert(effect.version);
                *buried = (*buried).max(effect.version);
            }
            self.engine.letter_kept(letter.ticket);
        }
    }

    /// The primary is asked what references stand for.
    fn read(&mut self) {
        for reference in std::mem::take(&mut self.references) {
            let effect = self.greatest()[&id(&reference.effect)];
            let effect = Effect { observed: true, client_version: None, state: truth(effect), ..effect.clone() };
            let ticket = reference.ticket;
            self.engine.was_read(ticket, Sighting { effect, mapping: 2 });
        }
    }

    /// The process dies, and another one begins. Bulks under way arrive, now or later, or not.
    fn restart(&mut self, dice: u32) {
        for (place, flight) in std::mem::take(&mut self.flying).into_iter().enumerate() {
            match dice >> (2 * place + 4) & 3 {
                0 => {}
                1 => flight.bulk.effects.iter().for_each(|effect| drop(self.target.apply(effect, flight.bulk.way))),
                _ => self.target.linger(self.now + LINGERS, flight, None),
            }
        }
        for commit in std::mem::take(&mut self.commits) {
            let current = self.engine.partitions.get(&commit.partition).map(|state| state.generation);
            if dice >> 20 & 1 == 1 && current == Some(commit.generation) {
                self.commit(&commit);
            }
        }
        self.preparations.clear();
        self.letters.clear();
        self.references.clear();
        self.engine = Engine::new(self.limits, hasher());
        self.engine.permit(true);
        for partition in 0..self.log.len() {
            self.begin(partition as i32);
        }
    }

    /// Taken away while a bulk is under way.
    fn lose(&mut self, partition: usize) {
        for commit in self.engine.let_go(&[partition as i32]) {
            self.check_rest(&commit);
            self.commit(&commit);
        }
        self.begin(partition as i32);
    }

    fn begin(&mut self, partition: i32) {
        self.generation += 1;
        self.paused[partition as usize] = false;
        let committed = self.committed[partition as usize];
        let (offset, clean) = committed.unwrap_or((0, true));
        self.fetched[partition as usize] = offset;
        let records = &self.log[partition as usize][..offset as usize];
        let last_ms = records.last().map(|record| record.record.at_ms);
        let mut window = Window::new(W);
        let since = last_ms.unwrap_or_default() - W.as_millis() as i64;
        for record in records.iter().filter(|record| record.record.at_ms >= since) {
            for effect in valid(record) {
                window.pass(hasher().name("u", SHARDS, &effect.key), effect.order(), record.record.at_ms);
            }
        }
        self.engine.assigned(partition, self.generation);
        if self.versioned {
            self.engine.client_versions(&["u".into()]);
        }
        let start = Start { offset, last_ms, clean, sealed: committed.is_some() && !clean };
        let moment = self.moment();
        self.engine.started(moment, partition, self.generation, start, window);
    }
}
