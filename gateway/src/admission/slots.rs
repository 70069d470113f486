//! How many requests may be under way: reads and writes leave some room to each other.

/// What a request is, for its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It passes to the cluster as it is.
    Read,
    /// It is replicated.
    Write,
}

/// Places that are taken.
#[derive(Debug)]
pub struct Slots {
    max: usize,
    taken: [usize; 2],
}

impl Slots {
    /// `max` places, all of them free.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, taken: [0; 2] }
    }

    /// Takes a place, if there is one: an eighth of all is left to requests of the other kind.
    pub fn take(&mut self, kind: Kind) -> bool {
        let free = self.has_room(kind);
        if free {
            self.taken[kind as usize] += 1;
        }
        free
    }

    /// Whether there is a place.
    #[must_use]
    pub fn has_room(&self, kind: Kind) -> bool {
        let kept_for_others = (self.max / 8).max(1);
        self.taken.iter().sum::<usize>() < self.max && self.taken[kind as usize] < self.max - kept_for_others
    }

    /// Gives a place back.
    pub fn give(&mut self, kind: Kind) {
        self.taken[kind as usize] = self.taken[kind as usize].saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_kind_takes_every_place() {
        for (one, other) in [(Kind::Read, Kind::Write), (Kind::Write, Kind::Read)] {
            let mut slots = Slots::new(16);
            assert_eq!((0..100).filter(|_| slots.take(one)).count(), 14);
            assert_eq!((0..100).filter(|_| slots.take(other)).count(), 2);
            slots.give(one);
            // Whoever comes first gets it.
            assert!(slots.take(other) && !slots.take(one));
        }
        let mut two = Slots::new(2);
        assert!(two.take(Kind::Read) && !two.take(Kind::Read) && two.take(Kind::Write));
    }
}
