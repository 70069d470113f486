//! Applications that write all the time, whatever dies, through the load balancer.
//!
//! Two send single requests, two send bulks; all of them index, create and delete, and most of their documents are the
//! same few, so that they meet.

mod dice;
mod tally;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::bail;
use tokio::{
    sync::{RwLock, RwLockWriteGuard},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use understudy_tests::Http;

pub use self::tally::{Tally, is_refusal};
use self::{dice::Dice, tally::Write};
use crate::{flights::INDEX, screen::Screen};

/// Writers at work. They end when this goes out of scope.
pub struct Writers {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    lb: Http,
    screen: Screen,
    /// Held for reading while a request is under way: whoever holds it for writing knows that every answer is there.
    gate: RwLock<()>,
    tally: Mutex<Tally>,
    unexpected: Mutex<Option<String>>,
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

impl Writers {
    pub fn start(lb: &Http, screen: Screen) -> Self {
        let shared = Arc::new(Shared {
            lb: lb.clone(),
            screen,
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
    /// When an answer was none that an application must reckon with.
    pub fn tally(&self) -> anyhow::Result<Tally> {
        if let Some(unexpected) = &*self.shared.unexpected.lock().expect("no writer panics") {
            bail!("a writer got an unexpected answer: {unexpected}");
        }
        Ok(*self.shared.tally.lock().expect("no writer panics"))
    }
}

impl Shared {
    async fn write_all_the_time(&self, seed: u64, habit: &Habit) {
        let mut dice = Dice::new(seed);
        let mut ticks = interval(habit.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let _open = self.gate.read().await;
            let write =
                if habit.bulk == 1 { self.write_one(&mut dice) } else { self.write_bulk(&mut dice, habit.bulk) };
            let (call, write) = write;
            let answer = call.send().await;
            let mut tally = self.tally.lock().expect("no writer panics");
            if let Err(error) = tally.count(&write, &answer) {
                self.unexpected.lock().expect("no writer panics").get_or_insert(format!("{error:#}"));
                return;
            }
            self.screen.set_writers(&tally);
        }
    }

    fn write_one(&self, dice: &mut Dice) -> (understudy_tests::Call, Write) {
        let (action, id) = (dice.action(), dice.id());
        let call = match action {
            "create" => self.lb.request("PUT", &format!("/{INDEX}/_create/{id}")).body(dice.flight()),
            "delete" => self.lb.request("DELETE", &format!("/{INDEX}/_doc/{id}")),
            _ => self.lb.request("PUT", &format!("/{INDEX}/_doc/{id}")).body(dice.flight()),
        };
        (call, Write::One(action))
    }

    fn write_bulk(&self, dice: &mut Dice, documents: usize) -> (understudy_tests::Call, Write) {
        let mut body = String::new();
        for _ in 0..documents {
            let (action, id) = (dice.action(), dice.id());
            body.push_str(&format!("{{\"{action}\":{{\"_id\":\"{id}\"}}}}\n"));
            if action != "delete" {
                body.push_str(&format!("{}\n", dice.flight()));
            }
        }
        (self.lb.request("POST", &format!("/{INDEX}/_bulk")).body(body), Write::Bulk(documents))
    }
}
