//! One partition: its queue, its window, its batch.

mod batch;
mod settle;

use std::{collections::VecDeque, time::Duration};

use super::{
    Command, IndexId, Limits, PartitionStatus, Received, StopReason, Tally,
    indices::{Indices, Readiness},
    item::{Item, Progress},
    queued::{Queued, queued},
    settling::Settling,
};
use crate::{
    backoff::Backoff,
    offsets::{Offsets, Start},
    verdict::Reason,
    window::{DocumentHasher, Window},
};

/// A log that ends before what was read of it is believed after this many looks: one may be older than the reading.
const LOOKS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Preparing,
    Running,
    Stopped(StopReason),
}

pub(super) enum Accepted {
    Yes,
    Ignored,
    /// The log jumps, and is to be read anew from there.
    Jumped {
        expected: i64,
    },
}

/// A jump in the log that reading anew may mend.
struct Jump {
    /// What stands behind it, when that was seen again.
    found: Option<i64>,
    /// Until then records that were on their way come in.
    until: Duration,
    /// How often the log was read anew.
    tries: u32,
}

pub(super) enum Jumped {
    /// It is to be read anew once more.
    Again { expected: i64 },
    /// Records are missing.
    Gap { expected: i64, found: i64 },
}

/// How long a log that is read anew may take to begin again.
const REREAD: Duration = Duration::from_secs(2);
/// How often a log that jumps is read anew before it counts as a gap.
const TRIES: u32 = 2;

/// A log that goes on, of which nothing was read for so many looks, is read anew: it happens that librdkafka stands still. The
/// next time that takes twice as many looks, for the end of a stranger's transaction is a record that is never read.
const STILL: u32 = 3;
/// And never more than so many.
const LONGEST_STILL: u32 = 60;

/// What a look at the log says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Fine,
    /// Records are missing.
    Gap(String),
    /// It goes on, and nothing of it comes: it is to be read anew from there.
    Still {
        next: i64,
    },
}

/// What a partition needs of the engine to fill its batch.
pub(super) struct Around<'a> {
    pub(super) hasher: &'a DocumentHasher,
    pub(super) limits: &'a Limits,
    pub(super) indices: &'a mut Indices,
    pub(super) tally: &'a mut Tally,
    pub(super) out: &'a mut Vec<Command>,
}

pub(super) struct Partition {
    pub(super) generation: u64,
    pub(super) phase: Phase,
    pub(super) offsets: Option<Offsets>,
    pub(super) releasing: bool,
    pub(super) batch: Vec<Item>,
    pub(super) backoff: Backoff,
    pub(super) retry_at: Duration,
    pub(super) blocked: Option<Reason>,
    pub(super) settling: Settling,
    pub(super) window: Window,
    next_offset: i64,
    jump: Option<Jump>,
    behind: u32,
    /// What had been read when the last two looks at the log came in.
    read_before: [i64; 2],
    /// Looks since something was read of a log that goes on, and how many there may be.
    still: (u32, u32),
    queue: VecDeque<Queued>,
    queued_effects: usize,
    queued_bytes: usize,
    batch_bytes: usize,
    /// A batch is open: not everything that was taken is done.
    busy: bool,
    /// Records in the dead-letter topic, or on their way there, that could not be read.
    open_letters: usize,
    oldest_ms: Option<i64>,
    last_ms: Option<i64>,
    waits: Option<(IndexId, u64)>,
    paused: bool,
    /// The offset behind the last record of which something was sent.
    sent_to: i64,
}

impl Partition {
    pub(super) fn preparing(generation: u64, limits: &Limits) -> Self {
        Self {
            generation,
            phase: Phase::Preparing,
            offsets: None,
            releasing: false,
            batch: Vec::new(),
            backoff: Backoff::new(limits.max_backoff),
            retry_at: Duration::ZERO,
            blocked: None,
            settling: Settling::default(),
            window: Window::new(limits.window),
            next_offset: 0,
            jump: None,
            behind: 0,
            read_before: [0; 2],
            still: (0, STILL),
            queue: VecDeque::new(),
            queued_effects: 0,
            queued_bytes: 0,
            batch_bytes: 0,
            busy: false,
            open_letters: 0,
            oldest_ms: None,
            last_ms: None,
            waits: None,
            paused: false,
            sent_to: 0,
        }
    }

    pub(super) fn start(&mut self, start: &Start, window: Window) {
        self.phase = Phase::Running;
        self.next_offset = start.offset;
        self.window = window;
        self.last_ms = start.last_ms;
        self.offsets = Some(Offsets::new(start));
    }

    /// What was read is given up; what is under way is left to its answer.
    pub(super) fn stop(&mut self, reason: StopReason) {
        self.oldest_ms = self.oldest_unapplied();
        self.phase = Phase::Stopped(reason);
        self.queue.clear();
        (self.queued_effects, self.queued_bytes) = (0, 0);
        self.waits = None;
    }

    pub(super) fn accept(&mut self, now: Duration, received: Received) -> Accepted {
        let offset = received.record.offset;
        if self.phase != Phase::Running || offset < self.next_offset {
            return Accepted::Ignored;
        }
        if offset > self.next_offset {
            // What was on its way before the log is read anew says nothing.
            if let Some(jump) = &mut self.jump {
                jump.found = Some(offset);
                return Accepted::Ignored;
            }
            self.jump = Some(Jump { found: None, until: now + REREAD, tries: 1 });
            return Accepted::Jumped { expected: self.next_offset };
        }
        self.next_offset += 1;
        self.jump = None;
        let queued = queued(now, received);
        self.queued_bytes += queued.bytes;
        self.queued_effects += queued.len();
        self.queue.push_back(queued);
        Accepted::Yes
    }

    /// What follows from a jump that reading anew has not mended.
    pub(super) fn after_jump(&mut self, now: Duration) -> Option<Jumped> {
        let expected = self.next_offset;
        let jump = self.jump.as_mut().filter(|jump| self.phase == Phase::Running && now >= jump.until)?;
        jump.until = now + REREAD;
        // Nothing came: Kafka is slow or away.
        let found = jump.found.take()?;
        if jump.tries >= TRIES {
            return Some(Jumped::Gap { expected, found });
        }
        jump.tries += 1;
        Some(Jumped::Again { expected })
    }

    /// When [`Partition::after_jump`] has something.
    pub(super) fn jump_at(&self) -> Option<Duration> {
        self.jump.as_ref().filter(|_| self.phase == Phase::Running).map(|jump| jump.until)
    }

    /// What is wrong when the log spans `low..high` now.
    pub(super) fn compare(&mut self, low: i64, high: i64) -> Compared {
        if self.phase != Phase::Running {
            return Compared::Fine;
        }
        let next = self.next_offset;
        if low > next {
            return Compared::Gap(format!("the log begins at offset {low} by now, and {next} was to be read next"));
        }
        // A look is older than its arrival, and what was read since is no sign of anything. It began after the last look but
        // one had come in, for only one waits to be taken.
        let [known, last] = self.read_before;
        self.read_before = [last, next];
        self.behind = if high < known { self.behind + 1 } else { 0 };
        if self.behind >= LOOKS {
            return Compared::Gap(format!(
                "the log ends at offset {high}, and was read up to {known} before: it lost records or is another log"
            ));
        }
        if next > last {
            self.still = (0, STILL);
        }
        if high <= next || self.paused || self.jump.is_some() {
            self.still.0 = 0;
            return Compared::Fine;
        }
        let (looks, most) = self.still;
        if looks + 1 < most {
            self.still.0 += 1;
            return Compared::Fine;
        }
        self.still = (0, (most * 2).min(LONGEST_STILL));
        Compared::Still { next }
    }

    pub(super) fn letter_kept(&mut self, partition: i32, item: Option<usize>, out: &mut Vec<Command>) {
        match item {
            None => self.open_letters = self.open_letters.saturating_sub(1),
            Some(item) => {
                if let Some(item) = self.batch.get_mut(item).filter(|item| item.progress == Progress::Letter) {
                    item.progress = Progress::Done;
                }
            }
        }
        self.finish(partition, out);
    }

    pub(super) fn index_ready(&mut self, index: &IndexId, sequence: u64) {
        for item in self.batch.iter_mut().filter(|item| item.index == *index) {
            if matches!(item.progress, Progress::AwaitsIndex(awaited) if awaited <= sequence) {
                item.progress = Progress::Ready;
            }
        }
    }

    pub(super) fn waits_for(&self, index: &IndexId) -> bool {
        let awaits = |item: &Item| matches!(item.progress, Progress::AwaitsIndex(_)) && item.index == *index;
        self.batch.iter().any(awaits)
    }

    /// Whether it may contribute to a bulk now.
    pub(super) fn is_served(&self, now: Duration) -> bool {
        self.phase == Phase::Running && !self.releasing && now >= self.retry_at
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.busy
    }

    /// Effects and bytes that wait for a batch, and since when; `None` when nothing can be taken now.
    pub(super) fn waiting(&self, indices: &Indices) -> Option<(usize, usize, Duration)> {
        let sealed = self.offsets.as_ref().is_some_and(Offsets::is_sealed);
        let front = self.queue.front().filter(|_| !self.busy && sealed && !self.settling.is_full())?;
        if let Some((index, mapping)) = &self.waits
            && matches!(indices.readiness(index, *mapping), Readiness::Wait)
        {
            return None;
        }
        Some((self.queued_effects, self.queued_bytes, front.arrived))
    }

    pub(super) fn has_work_at(&self, linger: Duration, indices: &Indices) -> Option<Duration> {
        if self.phase != Phase::Running || self.releasing {
            return None;
        }
        if self.batch.iter().any(|item| item.progress == Progress::Ready) {
            return Some(self.retry_at);
        }
        self.waiting(indices).map(|(_, _, since)| (since + linger).max(self.retry_at))
    }

    /// `Some(true)`: pause it now; `Some(false)`: resume it.
    pub(super) fn hold_back(&mut self, share: usize) -> Option<bool> {
        if self.phase != Phase::Running {
            return None;
        }
        let held = self.queued_bytes + self.batch_bytes;
        let pause = if self.paused { held > share / 2 } else { held > share };
        (std::mem::replace(&mut self.paused, pause) != pause).then_some(pause)
    }

    fn oldest_unapplied(&self) -> Option<i64> {
        self.oldest_ms.or_else(|| self.queue.front().map(|queued| queued.origin.record.at_ms))
    }

    pub(super) fn status(&self, partition: i32) -> PartitionStatus {
        PartitionStatus {
            partition,
            generation: self.generation,
            done: self.offsets.as_ref().map(Offsets::done),
            committed: self.offsets.as_ref().map(Offsets::confirmed),
            oldest_ms: self.oldest_unapplied(),
            window: self.window.len(),
            stopped: match self.phase {
                Phase::Stopped(reason) => Some(reason),
                _ => None,
            },
            unsettled: !self.settling.is_settled(),
        }
    }
}
