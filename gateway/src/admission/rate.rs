//! How much each client asks for. Time comes in; there is no clock here.

use std::{collections::HashMap, time::Duration};

use understudy_common::config::RateLimitConfig;

/// Clients that are told apart. Who comes when so many others are busy shares one account with all that do.
const CLIENTS: usize = 10_000;
/// Between two looks for clients that are quiet again.
const SWEEP: Duration = Duration::from_secs(1);

/// What every client used lately.
pub struct Rates {
    limits: RateLimitConfig,
    clients: HashMap<u64, Account>,
    others: Account,
    swept: Duration,
}

/// What a client may use: from what its burst allows down to a debt, where a body was larger than what was left.
#[derive(Clone, Copy)]
struct Account {
    requests: f64,
    bytes: f64,
    at: Duration,
}

impl Account {
    fn full(limits: &RateLimitConfig, at: Duration) -> Self {
        let burst = limits.burst.as_secs_f64();
        Self { requests: burst * rate(limits.requests_per_second), bytes: burst * rate(limits.bytes_per_second), at }
    }

    fn refill(&mut self, limits: &RateLimitConfig, now: Duration) {
        let full = Self::full(limits, now);
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.requests = (self.requests + passed * rate(limits.requests_per_second)).min(full.requests);
        self.bytes = (self.bytes + passed * rate(limits.bytes_per_second)).min(full.bytes);
        self.at = self.at.max(now);
    }

    fn is_full(&self, limits: &RateLimitConfig) -> bool {
        let full = Self::full(limits, self.at);
        self.requests >= full.requests && self.bytes >= full.bytes
    }
}

/// Where nothing is limited there is nothing to count.
fn rate(limit: Option<u64>) -> f64 {
    limit.unwrap_or(0) as f64
}

impl Rates {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(limits: RateLimitConfig) -> Self {
        let others = Account::full(&limits, Duration::ZERO);
        Self { limits, clients: HashMap::new(), others, swept: Duration::ZERO }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// How long its client should wait.
    pub fn admit(&mut self, client: u64, now: Duration) -> Result<(), Duration> {
        let limits = self.limits;
        let account = self.account(client, now);
        account.refill(&limits, now);
        // A body is paid when it has come; who is in debt waits until it is paid.
        let missing = [
            limits.requests_per_second.map(|rate| (1.0 - account.requests) / rate as f64),
            limits.bytes_per_second.map(|rate| -account.bytes / rate as f64),
        ];
        let wait = missing.into_iter().flatten().fold(0.0, f64::max);
        if wait > 0.0 {
            return Err(Duration::from_secs_f64(wait.min(86_400.0)));
        }
        if limits.requests_per_second.is_some() {
            account.requests -= 1.0;
        }
        Ok(())
    }

    /// Notes bytes that a client has sent.
    pub fn charge(&mut self, client: u64, bytes: u64, now: Duration) {
        let limits = self.limits;
        if limits.bytes_per_second.is_some() {
            let account = self.account(client, now);
            account.refill(&limits, now);
            account.bytes -= bytes as f64;
        }
    }

    fn account(&mut self, client: u64, now: Duration) -> &mut Account {
        if !self.clients.contains_key(&client) {
            if self.clients.len() >= CLIENTS && now >= self.swept + SWEEP {
                self.swept = now;
                let limits = self.limits;
                // Who has its whole burst again is as good as new.
                self.clients.retain(|_, account| {
                    account.refill(&limits, now);
                    !account.is_full(&limits)
                });
            }
            if self.clients.len() >= CLIENTS {
                return &mut self.others;
            }
        }
        let limits = self.limits;
        self.clients.entry(client).or_insert_with(|| Account::full(&limits, now))
    }
}

#[cfg(test)]
mod tests {
    use understudy_common::config::ClientKey;

    use super::*;

    const fn seconds(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rates(requests: Option<u64>, bytes: Option<u64>) -> Rates {
        Rates::new(RateLimitConfig {
            requests_per_second: requests,
            bytes_per_second: bytes,
            burst: Duration::from_secs(2),
            key: ClientKey::Address,
        })
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut rates = rates(Some(10), None);
        let admitted = (0..50).filter(|_| rates.admit(1, seconds(0)).is_ok()).count();
        assert_eq!(admitted, 20, "two seconds of its rate at once");
        let wait = rates.admit(1, seconds(0)).unwrap_err();
        assert!((90..=110).contains(&wait.as_millis()), "{wait:?}");
        assert!(rates.admit(1, seconds(101)).is_ok());
        assert!(rates.admit(1, seconds(102)).is_err());
        // Others have accounts of their own, and what was not used for long is no more than a burst.
        assert!(rates.admit(2, seconds(102)).is_ok());
        let later = (0..50).filter(|_| rates.admit(1, seconds(90_000)).is_ok()).count();
        assert_eq!(later, 20);
    }

    #[test]
    fn bytes_are_paid_when_they_have_come() {
        let mut rates = rates(None, Some(1_000));
        rates.admit(1, seconds(0)).unwrap();
        rates.charge(1, 5_000, seconds(0));
        // Five seconds' worth, of which two were left: three seconds of debt.
        let wait = rates.admit(1, seconds(0)).unwrap_err();
        assert!((2_900..=3_100).contains(&wait.as_millis()), "{wait:?}");
        assert!(rates.admit(1, seconds(2_900)).is_err());
        assert!(rates.admit(1, seconds(3_100)).is_ok());
    }

    #[test]
    fn clients_are_bounded_and_quiet_ones_forgotten() {
        let mut rates = rates(Some(1), None);
        for client in 0..30_000 {
            let _ = rates.admit(client, seconds(0));
        }
        assert_eq!(rates.clients.len(), CLIENTS);
        // Whoever comes now shares one account, which is used up.
        assert!(rates.admit(99_999, seconds(0)).is_err());
        assert!(rates.admit(99_999, seconds(5_000)).is_ok());
        assert_eq!(rates.clients.len(), 1, "the others had their whole burst again");
    }
}
