//! How much goes into one bulk.

use understudy_common::effect::Effect;

use crate::request::effect_len;

/// The most actions of a bulk: halved when the target has too much to do, raised in steps while it has not.
#[derive(Clone, Copy, Debug)]
pub struct ActionLimit {
    now: usize,
    most: usize,
}

impl ActionLimit {
    /// Begins with the most.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { now: most.max(1), most: most.max(1) }
    }

    /// The limit as it is now.
    #[must_use]
    pub fn get(&self) -> usize {
        self.now
    }

    /// A bulk of `sent` actions was too much.
    pub fn shrink(&mut self, sent: usize) {
        self.now = (self.now.min(sent) / 2).max(1);
    }

    /// A bulk went through: a twentieth of the most on top, so that twenty of them lead back to it.
    pub fn grow(&mut self) {
        self.now = (self.now + (self.most / 20).max(1)).min(self.most);
    }
}

/// What still fits into a bulk.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    actions: usize,
    bytes: usize,
    empty: bool,
}

impl Room {
    /// All of a bulk.
    #[must_use]
    pub fn new(actions: usize, bytes: usize) -> Self {
        Self { actions, bytes, empty: true }
    }

    /// Whether an effect fits. One effect fits always, however large.
    #[must_use]
    pub fn fits(&self, effect: &Effect) -> bool {
        self.actions > 0 && (self.empty || effect_len(effect) <= self.bytes)
    }

    /// Puts an effect in.
    pub fn put(&mut self, effect: &Effect) {
        self.actions = self.actions.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(effect_len(effect));
        self.empty = false;
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Lets nothing more in.
    pub fn close(&mut self) {
        self.actions = 0;
    }

    /// Whether nothing fits any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.actions == 0 || self.bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_halves_and_comes_back_in_steps() {
        let mut limit = ActionLimit::new(2_000);
        limit.shrink(500);
        assert_eq!(limit.get(), 250, "halved from what was sent, not from what was allowed");
        for _ in 0..20 {
            limit.shrink(2_000);
        }
        assert_eq!(limit.get(), 1);
        for _ in 0..20 {
            limit.grow();
        }
        assert_eq!(limit.get(), 2_000);
        let mut one = ActionLimit::new(1);
        one.shrink(1);
        one.grow();
        assert_eq!(one.get(), 1);
    }
}
