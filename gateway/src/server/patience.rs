//! When a connection is to be ended. Pure: what was seen of it comes in, and the time.

use std::time::Duration;

use understudy_common::config::PatienceConfig;

/// While connections are scarce, one that rests is ended after this.
const SCARCE_IDLE: Duration = Duration::from_secs(5);

/// What was seen of a connection. Times count from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests whose answers have not left yet.
    pub running: usize,
    /// When it began to rest: its last answer left, or it was opened.
    pub resting: Duration,
    /// When the first byte of a request's head came, which has not ended yet.
    pub head: Option<Duration>,
    /// Since when its client takes nothing of what is to be sent.
    pub blocked: Option<Duration>,
    /// Of HTTP/2, where the connection goes on while one answer is stuck: since when the longest waiting piece of an answer
    /// was not followed by another.
    pub untaken: Option<Duration>,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It rests for too long: its client is told, where HTTP has words for it.
    Idle,
    /// A head does not come to its end.
    Header,
    /// Its client does not take its answer.
    Send,
}

impl End {
    /// As metrics name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Header => "header_timeout",
            Self::Send => "send_timeout",
        }
    }
}

/// Whether a connection is to be ended, and why. `scarce`: most of those that may be open are.
pub fn judge(patience: &PatienceConfig, seen: &Seen, now: Duration, scarce: bool) -> Option<End> {
    let longer_than = |since: Option<Duration>, limit| since.is_some_and(|since| now.saturating_sub(since) >= limit);
    if longer_than(seen.blocked, patience.send_timeout) || longer_than(seen.untaken, patience.send_timeout) {
        return Some(End::Send);
    }
    if seen.running > 0 || seen.blocked.is_some() {
        return None;
    }
    if longer_than(seen.head, patience.header_timeout) {
        return Some(End::Header);
    }
    let idle = if scarce { patience.idle_timeout.min(SCARCE_IDLE) } else { patience.idle_timeout };
    (seen.head.is_none() && longer_than(Some(seen.resting), idle)).then_some(End::Idle)
}

/// How often a connection is looked at.
pub fn pace(patience: &PatienceConfig) -> Duration {
    let shortest = patience.header_timeout.min(patience.idle_timeout).min(patience.send_timeout).min(SCARCE_IDLE);
    (shortest / 4).max(Duration::from_millis(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: PatienceConfig = PatienceConfig {
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(600),
        send_timeout: Duration::from_secs(20),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_is_ended_when() {
        let seen = |running, resting, head: Option<u64>, blocked: Option<u64>| Seen {
            running,
            resting: at(resting),
            head: head.map(at),
            blocked: blocked.map(at),
            untaken: None,
        };
        let untaken = |since| Seen { untaken: Some(at(since)), ..seen(1, 0, None, None) };
        for (case, now, scarce, end) in [
            (seen(0, 100, None, None), 699, false, None),
            (seen(0, 100, None, None), 700, false, Some(End::Idle)),
            // Who rests makes room.
            (seen(0, 100, None, None), 104, true, None),
            (seen(0, 100, None, None), 105, true, Some(End::Idle)),
            // A head has its own time, also when connections are scarce, however long the connection rested before.
            (seen(0, 100, Some(690), None), 699, true, None),
            (seen(0, 100, Some(690), None), 700, false, Some(End::Header)),
            // A request that runs may take its time, but its client must take what there is.
            (seen(1, 0, None, None), 100_000, true, None),
            (seen(3, 0, None, Some(50)), 69, true, None),
            (seen(3, 0, None, Some(50)), 70, false, Some(End::Send)),
            (untaken(50), 69, false, None),
            (untaken(50), 70, false, Some(End::Send)),
            // The end of an answer is still on its way to a slow client: that is no rest.
            (seen(0, 40, None, Some(50)), 60, true, None),
        ] {
            assert_eq!(judge(&PATIENCE, &case, at(now), scarce), end, "{case:?} at {now}");
        }
    }

    #[test]
    fn looks_come_often_enough() {
        assert_eq!(pace(&PATIENCE), Duration::from_millis(1_250));
    }
}
