//! Awaiting a condition.

use std::{fmt::Display, time::Duration};

use tokio::time::Instant;

/// How often a condition is looked at.
const PACE: Duration = Duration::from_millis(25);

/// What a look may answer: `bool`, `Option`, or a `Result` whose error says what is still wrong.
pub trait Seen {
    /// What is handed out in the end.
    type Value;

    /// The value, or what is still wrong.
    ///
    /// # Errors
    /// While the condition does not hold.
    fn seen(self) -> Result<Self::Value, String>;
}

impl Seen for bool {
    type Value = ();

    fn seen(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("not yet".to_owned()) }
    }
}

impl<T> Seen for Option<T> {
    type Value = T;

    fn seen(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<T, E: Display> Seen for Result<T, E> {
    type Value = T;

    fn seen(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:#}"))
    }
}

/// Looks again and again until the condition holds.
///
/// # Panics
/// When it does not hold within the time; the message has what the last look saw.
#[track_caller]
pub fn eventually<S: Seen>(
    within: Duration,
    what: &str,
    look: impl AsyncFnMut() -> S,
) -> impl Future<Output = S::Value> {
    let caller = std::panic::Location::caller();
    async move {
        match try_eventually(within, look).await {
            Ok(value) => value,
            Err(last) => panic!("{caller}: not within {within:?}: {what}\n  last seen: {last}"),
        }
    }
}

/// As [`eventually`], for whoever goes on without.
///
/// # Errors
/// What the last look saw, when the condition does not hold within the time.
pub async fn try_eventually<S: Seen>(within: Duration, mut look: impl AsyncFnMut() -> S) -> Result<S::Value, String> {
    let end = Instant::now() + within;
    let mut last = "no look came to an end".to_owned();
    loop {
        match tokio::time::timeout_at(end, look()).await {
            Ok(outcome) => match outcome.seen() {
                Ok(value) => return Ok(value),
                Err(error) => last = error,
            },
            Err(_) => return Err(last),
        }
        if Instant::now() + PACE >= end {
            return Err(last);
        }
        tokio::time::sleep(PACE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looks_again_until_it_holds() {
        let mut looks = 0;
        let value = eventually(Duration::from_secs(5), "three looks", async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err("too few") }
        });
        assert_eq!(value.await, 3);
    }

    #[tokio::test]
    async fn gives_up_with_what_it_saw_last() {
        let short = Duration::from_millis(60);
        assert_eq!(try_eventually(short, async || Err::<(), _>("still red")).await, Err("still red".to_owned()));
        let never = try_eventually(short, async || std::future::pending::<bool>().await).await;
        assert_eq!(never, Err("no look came to an end".to_owned()));
    }
}
