//! Applications that write all the time, through the load balancer.
//!
//! Two send single requests, two send bulks; all of them index, create and delete, and most of their documents are the
//! same few, so that they meet.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{bail, ensure};
use serde_json::Value;
use tokio::{
    sync::{RwLock, RwLockWriteGuard},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use understudy_tests::{Http, Reply};

use crate::flights::INDEX;

/// Writers at work. They end when this goes out of scope.
pub struct Writers {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    lb: Http,
    /// Held for reading while a request is under way: whoever holds it for writing knows that every answer is there.
    gate: RwLock<()>,
    tally: Mutex<Tally>,
    unexpected: Mutex<Option<String>>,
}

/// What became of the writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub indexed: u64,
    pub created: u64,
    pub deleted: u64,
    /// `create` of what was there, `delete` of what was not.
    pub declined: u64,
    /// The longest wait for an answer.
    pub slowest: Duration,
}

/// While it lives, nobody writes, and every writer has its last answer.
pub struct Pause<'a>(#[expect(dead_code, reason = "held, never read")] RwLockWriteGuard<'a, ()>);

/// What one writer sends, and how often. Together 300 documents a second.
struct Habit {
    bulk: usize,
    every: Duration,
}

const HABITS: [Habit; 4] = [
    Habit { bulk: 1, every: Duration::from_millis(40) },
    Habit { bulk: 1, every: Duration::from_millis(40) },
    Habit { bulk: 25, every: Duration::from_millis(200) },
    Habit { bulk: 25, every: Duration::from_millis(200) },
];
/// Documents that all of them write.
const SHARED_IDS: u64 = 2_000;

impl Writers {
    pub fn start(lb: &Http) -> Self {
        let shared = Arc::new(Shared {
            lb: lb.clone(),
            gate: RwLock::new(()),
            tally: Mutex::default(),
            unexpected: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for (place, habit) in HABITS.into_iter().enumerate() {
            let shared = shared.clone();
            tasks.spawn(async move { shared.write_all_the_time(place as u64 + 1, &habit).await });
        }
        Self { shared, _tasks: tasks }
    }

    /// Waits for the last answers, and lets nobody write until the pause is over.
    pub async fn pause(&self) -> Pause<'_> {
        Pause(self.shared.gate.write().await)
    }

    /// What became of the writes so far.
    ///
    /// # Errors
    /// When an answer was neither a success nor a plain "already there" or "not there".
    pub fn tally(&self) -> anyhow::Result<Tally> {
        if let Some(unexpected) = &*self.shared.unexpected.lock().expect("no writer panics") {
            bail!("a writer got an unexpected answer: {unexpected}");
        }
        Ok(*self.shared.tally.lock().expect("no writer panics"))
    }
}

impl Tally {
    /// Documents whose write was acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.indexed + self.created + self.deleted
    }

    /// What came since an earlier one.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            indexed: self.indexed - earlier.indexed,
            created: self.created - earlier.created,
            deleted: self.deleted - earlier.deleted,
            declined: self.declined - earlier.declined,
            slowest: self.slowest,
        }
    }

    fn count(&mut self, action: &str, status: u64) -> anyhow::Result<()> {
        match (action, status) {
            ("index", 200 | 201) => self.indexed += 1,
            ("create", 201) => self.created += 1,
            ("delete", 200) => self.deleted += 1,
            ("create", 409) | ("delete", 404) => self.declined += 1,
            _ => bail!("{action} was answered with {status}"),
        }
        Ok(())
    }
}

impl Shared {
    async fn write_all_the_time(&self, seed: u64, habit: &Habit) {
        let mut dice = Dice(seed);
        let mut ticks = interval(habit.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let _open = self.gate.read().await;
            let begun = Instant::now();
            let answered = if habit.bulk == 1 {
                self.write_one(&mut dice).await
            } else {
                self.write_bulk(&mut dice, habit.bulk).await
            };
            if let Err(error) = answered {
                self.unexpected.lock().expect("no writer panics").get_or_insert(format!("{error:#}"));
                return;
            }
            let mut tally = self.tally.lock().expect("no writer panics");
            tally.slowest = tally.slowest.max(begun.elapsed());
        }
    }

    async fn write_one(&self, dice: &mut Dice) -> anyhow::Result<()> {
        let (action, id) = (dice.action(), dice.id());
        let call = match action {
            "create" => self.lb.request("PUT", &format!("/{INDEX}/_create/{id}")).body(dice.flight()),
            "delete" => self.lb.request("DELETE", &format!("/{INDEX}/_doc/{id}")),
            _ => self.lb.request("PUT", &format!("/{INDEX}/_doc/{id}")).body(dice.flight()),
        };
        let reply = call.send().await.map_err(anyhow::Error::msg)?;
        self.count(action, u64::from(reply.status), &reply)
    }

    async fn write_bulk(&self, dice: &mut Dice, documents: usize) -> anyhow::Result<()> {
        let mut body = String::new();
        for _ in 0..documents {
            let (action, id) = (dice.action(), dice.id());
            body.push_str(&format!("{{\"{action}\":{{\"_id\":\"{id}\"}}}}\n"));
            if action != "delete" {
                body.push_str(&format!("{}\n", dice.flight()));
            }
        }
        let call = self.lb.request("POST", &format!("/{INDEX}/_bulk")).body(body);
        let reply = call.send().await.map_err(anyhow::Error::msg)?;
        ensure!(reply.status == 200, "{reply}");
        let answer: Value = serde_json::from_slice(&reply.body)?;
        let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(items.len() == documents, "{} items for {documents} actions: {reply}", items.len());
        for item in items {
            let Some((action, result)) = item.as_object().and_then(|item| item.iter().next()) else {
                bail!("an item without an action: {reply}");
            };
            self.count(action, result["status"].as_u64().unwrap_or_default(), result)?;
        }
        Ok(())
    }

    fn count(&self, action: &str, status: u64, answer: &impl std::fmt::Display) -> anyhow::Result<()> {
        let counted = self.tally.lock().expect("no writer panics").count(action, status);
        counted.map_err(|error| error.context(answer.to_string()))
    }
}

/// What an answer that must be a refusal is.
pub fn is_refusal(reply: &Reply) -> bool {
    reply.status == 503 && !reply.error_type().is_empty()
}

/// Chance that is the same in every demo (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // A seed next to zero needs some rounds until its bits are mixed.
        for _ in 0..3 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
        }
        (self.0 >> 16) % sides
    }

    fn action(&mut self) -> &'static str {
        ["index", "index", "create", "create", "delete"][self.roll(5) as usize]
    }

    /// Often one that others write as well, sometimes one of the flights, or one that is new.
    fn id(&mut self) -> String {
        match self.roll(10) {
            0..=5 => format!("shared-{}", self.roll(SHARED_IDS)),
            6 | 7 => self.roll(1_000).to_string(),
            _ => format!("new-{:x}", self.roll(1 << 44)),
        }
    }

    fn flight(&mut self) -> String {
        let (delay, distance, time) = (self.roll(400) as i64 - 40, self.roll(2_500), self.roll(2_400));
        format!(r#"{{"delay":{delay},"distance":{distance},"time":{}.{:02}}}"#, time / 100, time % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_reaches_every_action_and_kind_of_id() {
        let mut dice = Dice(1);
        let rolls: Vec<(&str, String)> = (0..200).map(|_| (dice.action(), dice.id())).collect();
        for action in ["index", "create", "delete"] {
            assert!(rolls.iter().any(|(rolled, _)| *rolled == action), "{action}");
        }
        for kind in ["shared-", "new-", "1"] {
            assert!(rolls.iter().any(|(_, id)| id.starts_with(kind)), "{kind}");
        }
        assert!(serde_json::from_str::<Value>(&dice.flight()).is_ok());
    }

    #[test]
    fn only_plain_answers_are_counted() {
        let mut tally = Tally::default();
        tally.count("index", 201).unwrap();
        tally.count("delete", 404).unwrap();
        assert!(tally.count("index", 409).is_err() && tally.count("create", 500).is_err());
        assert_eq!((tally.acknowledged(), tally.declined), (1, 1));
    }
}
