//! What the writers write: chance that is the same in every demo (xorshift).

pub struct Dice(u64);

/// Documents that all of them write.
const SHARED_IDS: u64 = 2_000;

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        // A seed next to zero needs some rounds until its bits are mixed.
        for _ in 0..3 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
        }
        (self.0 >> 16) % sides
    }

    pub fn action(&mut self) -> &'static str {
        ["index", "index", "create", "create", "delete"][self.roll(5) as usize]
    }

    /// Often one that others write as well, sometimes one of the flights, or one that is new.
    pub fn id(&mut self) -> String {
        match self.roll(10) {
            0..=5 => format!("shared-{}", self.roll(SHARED_IDS)),
            6 | 7 => self.roll(1_000).to_string(),
            _ => format!("new-{:x}", self.roll(1 << 44)),
        }
    }

    pub fn flight(&mut self) -> String {
        let (delay, distance, time) = (self.roll(400) as i64 - 40, self.roll(2_500), self.roll(2_400));
        format!(r#"{{"delay":{delay},"distance":{distance},"time":{}.{:02}}}"#, time / 100, time % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_reaches_every_action_and_kind_of_id() {
        let mut dice = Dice::new(1);
        let rolls: Vec<(&str, String)> = (0..200).map(|_| (dice.action(), dice.id())).collect();
        for action in ["index", "create", "delete"] {
            assert!(rolls.iter().any(|(rolled, _)| *rolled == action), "{action}");
        }
        for kind in ["shared-", "new-", "1"] {
            assert!(rolls.iter().any(|(_, id)| id.starts_with(kind)), "{kind}");
        }
        assert!(serde_json::from_str::<serde_json::Value>(&dice.flight()).is_ok());
    }
}
