//! Chance that is the same for every run of a seed.

/// A sequence of rolls (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of one player, such as a writer: players of one seed roll differently.
    pub fn of(seed: u64, player: &str) -> Self {
        // FNV-1a, so that the name counts whole.
        let name = player
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `sides`.
    pub fn below(&mut self, sides: u64) -> u64 {
        (self.next() >> 16) % sides.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, cases: u64) -> bool {
        self.below(100) < cases
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let place = usize::try_from(self.below(choices.len() as u64)).expect("it is below a length");
        &choices[place]
    }

    /// One of these, the heavier the likelier.
    ///
    /// # Panics
    /// When there is none.
    pub fn weighted<'a, T>(&mut self, choices: &'a [T], weight: impl Fn(&T) -> u64) -> &'a T {
        let mut left = self.below(choices.iter().map(&weight).sum());
        choices
            .iter()
            .find(|choice| {
                let mine = weight(choice);
                let found = left < mine;
                left = left.saturating_sub(mine);
                found
            })
            .expect("the roll is below the sum of all weights")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_its_players_differ() {
        let rolls = |seed, player| {
            let mut dice = Dice::of(seed, player);
            (0..20).map(|_| dice.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(rolls(7, "writer 1"), rolls(7, "writer 1"));
        assert_ne!(rolls(7, "writer 1"), rolls(7, "writer 2"));
        assert_ne!(rolls(7, "writer 1"), rolls(8, "writer 1"));
    }

    #[test]
    fn weights_decide_how_often() {
        let mut dice = Dice::of(1, "weights");
        let heavy =
            (0..1_000).filter(|_| *dice.weighted(&[("heavy", 9), ("light", 1)], |c| c.1) == ("heavy", 9)).count();
        assert!((850..950).contains(&heavy), "{heavy}");
        assert!((0..1_000).all(|_| *dice.weighted(&[("never", 0), ("always", 1)], |c| c.1) == ("always", 1)));
    }
}
