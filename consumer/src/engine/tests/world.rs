//! A log, a group and a target, all in memory.

use super::*;

const PARTITIONS: i32 = 2;
const L: Duration = Duration::from_secs(60);
const W: Duration = Duration::from_secs(70);

/// What a client wrote in one request, and how late its effects were appended.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) ticket_ms: i64,
    pub(super) delay: i64,
    /// How much of the delay passed before the primary applied it, in percent: tickets do not order versions.
    pub(super) before: i64,
    /// Document; 0: put, 1: delete, 2: a put that the target refuses.
    pub(super) writes: Vec<(u8, u8)>,
    /// Whether its effects were published twice.
    pub(super) twice: bool,
}

pub(super) fn limits(batch_actions: usize) -> Limits {
    Limits {
        batch_bytes: 2_000,
        batch_actions,
        linger: Duration::from_millis(5),
        max_backoff: Duration::from_secs(1),
        max_buffered_bytes: 6_000,
        ticket_lifetime: L,
        window: W,
    }
}

pub(super) fn hasher() -> DocumentHasher {
    DocumentHasher::new([3; 16])
}

pub(super) fn effect(document: u8, seq_no: u64, kind: u8) -> Effect {
    let state = match kind {
        1 => DocumentState::Deleted,
        2 => DocumentState::Put(Bytes::from("{\"poison\":1}")),
        _ => DocumentState::Put(Bytes::from(format!("{{\"n\":{seq_no}}}"))),
    };
    let key = DocumentKey { index: "i".into(), id: document.to_string().into(), routing: None };
    Effect::claimed(key, PackedVersion::pack(1, 1, seq_no).unwrap(), state)
}

pub(super) fn received(partition: i32, offset: i64, at_ms: i64, ticket_ms: i64, effects: Vec<Effect>) -> Received {
    let record = LogRecord { partition, offset, at_ms, key: None, value: None, headers: BTreeMap::new() };
    let provenance =
        Provenance { request: "r".into(), ticket_ms, answered_ms: ticket_ms, epoch: 1, gateway: "g".into() };
    let indices = BTreeMap::from([(Arc::from("i"), IndexNeed { uuid: "u".into(), mapping: 1, shards: SHARDS })]);
    Received { record, content: Ok(EffectsRecord { provenance, indices, effects }) }
}

fn log(requests: &[Request]) -> Vec<Vec<Received>> {
    let mut appends: Vec<(i64, i64, i32, Vec<Effect>)> = Vec::new();
    let mut seq_no = 0;
    // The primary's order. It answers within 40 s, or nobody waits for it.
    let mut requests: Vec<&Request> = requests.iter().collect();
    requests.sort_by_key(|request| request.ticket_ms + (request.delay * request.before / 100).min(40_000));
    for request in requests {
        let mut parts: BTreeMap<i32, Vec<Effect>> = BTreeMap::new();
        for (document, kind) in &request.writes {
            seq_no += 1;
            parts.entry(i32::from(*document) % PARTITIONS).or_default().push(effect(*document, seq_no, *kind));
        }
        for (partition, effects) in parts {
            let at_ms = request.ticket_ms + request.delay;
            appends.push((at_ms, request.ticket_ms, partition, effects.clone()));
            if request.twice {
                let delay = request.delay + (59_999 - request.delay).max(0) / 2;
                appends.push((request.ticket_ms + delay, request.ticket_ms, partition, effects));
            }
        }
    }
    appends.sort_by_key(|(at_ms, ..)| *at_ms);
    let mut log = vec![Vec::new(); PARTITIONS as usize];
    for (at_ms, ticket_ms, partition, effects) in appends {
        let records: &mut Vec<Received> = &mut log[partition as usize];
        if at_ms % 11 == 0 {
            let unreadable = received(partition, records.len() as i64, at_ms, ticket_ms, Vec::new());
            records.push(Received { content: Err(Unreadable::Foreign("f".into())), ..unreadable });
        }
        records.push(received(partition, records.len() as i64, at_ms, ticket_ms, effects));
    }
    log
}

#[derive(Default)]
struct Target {
    /// Version and source; `None` is a tombstone.
    documents: BTreeMap<String, (PackedVersion, Option<Bytes>)>,
    /// The greatest version that it ever took, whatever it remembers.
    ever: BTreeMap<String, PackedVersion>,
}

impl Target {
    fn apply(&mut self, effect: &Effect) -> Verdict {
        let id = effect.key.id.to_string();
        let source = match &effect.state {
            DocumentState::Put(source) if source.starts_with(b"{\"poison") => return Verdict::Refused(reason(400)),
            DocumentState::Put(source) => Some(source.clone()),
            DocumentState::Deleted | DocumentState::Reference => None,
        };
        if self.documents.get(&id).is_some_and(|(version, _)| *version >= effect.version) {
            return Verdict::Superseded;
        }
        self.documents.insert(id.clone(), (effect.version, source));
        let ever = self.ever.entry(id).or_insert(effect.version);
        *ever = (*ever).max(effect.version);
        Verdict::Applied
    }
}

pub(super) fn reason(status: u16) -> Reason {
    Reason { status, kind: "k".into(), text: "t".into() }
}

pub(super) struct World {
    log: Vec<Vec<Received>>,
    target: Target,
    committed: Vec<i64>,
    buried: BTreeMap<String, PackedVersion>,
    /// Records that could not be read and are in the dead-letter topic.
    kept: std::collections::BTreeSet<(i32, i64)>,
    limits: Limits,
    engine: Engine,
    now: Duration,
    generation: u64,
    fetched: Vec<i64>,
    paused: Vec<bool>,
    flying: Vec<Bulk>,
    preparations: Vec<(IndexId, u64)>,
    letters: Vec<DeadLetter>,
}

impl World {
    pub(super) fn new(requests: &[Request], batch_actions: usize) -> Self {
        let limits = limits(batch_actions);
        let log = log(requests);
        let mut world = Self {
            committed: vec![0; log.len()],
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
            preparations: Vec::new(),
            letters: Vec::new(),
        };
        world.restart(0);
        world
    }

    pub(super) fn act(&mut self, action: u8, dice: u32) {
        let partition = (dice % PARTITIONS as u32) as usize;
        match action {
            0..=39 => self.fetch(partition),
            40..=64 => self.answer(dice),
            65..=74 => self.now += Duration::from_millis(u64::from(dice % 2_000)),
            75..=79 => self.prepared(),
            80..=84 => self.kept(),
            85..=86 => self.restart(dice),
            87..=88 => self.rebalance(partition),
            89..=92 => self.lose(partition),
            // A node restarts: its tombstones are gone.
            _ => self.target.documents.retain(|_, (_, source)| source.is_some()),
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
            self.answer(0);
            self.now += Duration::from_millis(100);
            self.step();
            let ends = self.log.iter().map(|records| records.len() as i64);
            if self.engine.status().map(|status| status.done.unwrap_or(-1)).eq(ends) && !self.engine.is_busy() {
                self.now += Duration::from_secs(10);
                self.step();
                let ends: Vec<i64> = self.log.iter().map(|records| records.len() as i64).collect();
                assert_eq!(self.committed, ends);
                return;
            }
        }
        panic!("it does not settle: {:?}", self.engine.status().collect::<Vec<_>>());
    }

    pub(super) fn check_equal(&self) {
        let mut greatest: BTreeMap<String, &Effect> = BTreeMap::new();
        let mut poisoned = std::collections::BTreeSet::new();
        for effect in self.log.iter().flatten().flat_map(valid) {
            let id = effect.key.id.to_string();
            if matches!(&effect.state, DocumentState::Put(source) if source.starts_with(b"{\"poison")) {
                poisoned.insert(id.clone());
            }
            let known = greatest.entry(id).or_insert(effect);
            if effect.version > known.version {
                *known = effect;
            }
        }
        for (id, effect) in greatest {
            if poisoned.contains(&id) {
                continue;
            }
            let wanted = match &effect.state {
                DocumentState::Put(source) => Some(source.clone()),
                DocumentState::Deleted | DocumentState::Reference => None,
            };
            let there = self.target.documents.get(&id).and_then(|(_, source)| source.clone());
            assert_eq!(there, wanted, "document {id}, version {}", effect.version);
        }
    }

    fn moment(&self) -> Moment {
        Moment { at: self.now, dice: 0.5 }
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
            Command::Send(bulk) => self.flying.push(bulk),
            Command::Prepare { index, sequence, .. } => self.preparations.push((index, sequence)),
            Command::DeadLetter(letter) => self.letters.push(letter),
            Command::Commit(commits) => {
                for commit in commits {
                    self.commit(&commit);
                    self.engine.committed(commit.partition, commit.offset);
                }
            }
            Command::Pause { partition, .. } => self.paused[partition as usize] = true,
            Command::Resume { partition, .. } => self.paused[partition as usize] = false,
            Command::Released { partition, commit } => {
                if let Some(commit) = commit {
                    self.commit(&commit);
                }
                self.begin(partition);
            }
            Command::Stopped { reason, detail, .. } => panic!("{reason:?}: {detail}"),
            Command::ReadFrom { .. } => panic!("the log has no holes"),
            Command::TargetDown(_) | Command::TargetUp | Command::Blocked { .. } | Command::Unblocked { .. } => {}
        }
    }

    /// Every effect before a committed offset is on the target, or was, or is in the dead-letter topic, or is nothing.
    fn commit(&mut self, commit: &Commit) {
        let partition = commit.partition as usize;
        for record in &self.log[partition][..commit.offset as usize] {
            let place = (record.record.partition, record.record.offset);
            assert!(record.content.is_ok() || self.kept.contains(&place), "committed past {place:?}, which is nowhere");
            for effect in valid(record) {
                let id = effect.key.id.to_string();
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
        self.committed[partition] = self.committed[partition].max(commit.offset);
    }

    fn fetch(&mut self, partition: usize) {
        let offset = self.fetched[partition];
        if self.paused[partition] || offset >= self.log[partition].len() as i64 {
            return;
        }
        let record = self.log[partition][offset as usize].clone();
        self.fetched[partition] += 1;
        let moment = self.moment();
        let generation = self.engine.partitions.get(&(partition as i32)).map_or(0, |state| state.generation);
        self.engine.record(moment, partition as i32, generation, record);
    }

    fn answer(&mut self, dice: u32) {
        if self.flying.is_empty() {
            return;
        }
        let bulk = self.flying.remove(dice as usize / 16 % self.flying.len());
        let target = &mut self.target;
        let mut chance = dice;
        let verdict = match dice % 16 {
            // The target takes it, and its answer is lost.
            9 => {
                bulk.effects.iter().for_each(|effect| drop(target.apply(effect)));
                BulkVerdict::Unknown(reason(0))
            }
            10 => BulkVerdict::Unknown(reason(502)),
            11 => BulkVerdict::Overloaded(reason(429)),
            12 => BulkVerdict::Blocked(reason(403)),
            13 if bulk.effects.len() > 1 => BulkVerdict::TooLarge(reason(413)),
            14 if bulk.effects.len() > 1 => BulkVerdict::Refused(reason(400)),
            kind => BulkVerdict::Items(
                bulk.effects
                    .iter()
                    .map(|effect| {
                        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        match if kind < 5 { 15 } else { chance >> 28 } {
                            0 => Verdict::Retry { overloaded: true, reason: reason(429) },
                            1 => {
                                target.apply(effect);
                                Verdict::Retry { overloaded: false, reason: reason(503) }
                            }
                            2 => Verdict::Blocked(reason(403)),
                            3 => Verdict::IndexMissing,
                            _ => target.apply(effect),
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
            self.engine.index_ready(&index, sequence, 1);
        }
    }

    fn kept(&mut self) {
        for letter in std::mem::take(&mut self.letters) {
            let record = &letter.origin.record;
            if letter.effect.is_none() {
                self.kept.insert((record.partition, record.offset));
            }
            if let Some(effect) = &letter.effect {
                let buried = self.buried.entry(effect.key.id.to_string()).or_insert(effect.version);
                *buried = (*buried).max(effect.version);
            }
            self.engine.letter_kept(letter.ticket);
        }
    }

    /// The process dies, and another one begins. Bulks under way arrive, or not.
    fn restart(&mut self, dice: u32) {
        for (place, bulk) in std::mem::take(&mut self.flying).into_iter().enumerate() {
            if dice >> (place + 4) & 1 == 1 {
                bulk.effects.iter().for_each(|effect| drop(self.target.apply(effect)));
            }
        }
        self.preparations.clear();
        self.letters.clear();
        self.engine = Engine::new(self.limits, hasher());
        self.engine.permit(true);
        for partition in 0..self.log.len() {
            self.begin(partition as i32);
        }
    }

    fn rebalance(&mut self, partition: usize) {
        self.engine.revoke(&[partition as i32]);
    }

    /// Taken away while a bulk is under way.
    fn lose(&mut self, partition: usize) {
        for commit in self.engine.let_go(&[partition as i32]) {
            self.commit(&commit);
        }
        self.begin(partition as i32);
    }

    fn begin(&mut self, partition: i32) {
        self.generation += 1;
        self.paused[partition as usize] = false;
        let offset = self.committed[partition as usize];
        self.fetched[partition as usize] = offset;
        let records = &self.log[partition as usize][..offset as usize];
        let last_ms = records.last().map(|record| record.record.at_ms);
        let mut window = Window::new(W);
        let since = last_ms.unwrap_or_default() - W.as_millis() as i64;
        for record in records.iter().filter(|record| record.record.at_ms >= since) {
            for effect in valid(record) {
                window.pass(hasher().name("u", SHARDS, &effect.key), effect.version, record.record.at_ms);
            }
        }
        self.engine.assigned(partition, self.generation);
        self.engine.started(partition, self.generation, offset, last_ms, window);
    }
}

fn valid(record: &Received) -> impl Iterator<Item = &Effect> {
    let effects = record.content.as_ref().ok();
    let counts = effects.is_some_and(|effects| !is_void(record.record.at_ms, effects.provenance.ticket_ms, L));
    effects.filter(|_| counts).into_iter().flat_map(|effects| &effects.effects)
}
