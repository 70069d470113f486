//! Who may come in: places for requests, and what each client may ask for. Bytes are counted in `budget.rs`, connections in
//! `server.rs`.

mod rate;
mod slots;

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hyper::header::{AUTHORIZATION, HeaderMap};
use rate::Rates;
pub use slots::Kind;
use slots::Slots;
use understudy_common::config::{ClientKey, GatewayConfig};

use crate::refusal::{Limit, Refusal};

/// Who may come in. Cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<Shared>);

struct Shared {
    slots: Mutex<Slots>,
    rates: Option<(ClientKey, Mutex<Rates>)>,
    // Credentials are not kept, and nobody can choose two that look alike here.
    names: RandomState,
    begun: Instant,
}

/// A request's place, which is given back when it is dropped.
pub struct Slot {
    admission: Admission,
    kind: Kind,
}

/// A client, as far as rates go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(u64);

impl Admission {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: &GatewayConfig) -> Self {
        let max = usize::try_from(config.max_concurrent_requests).unwrap_or(usize::MAX);
        Self(Arc::new(Shared {
            slots: Mutex::new(Slots::new(max)),
            rates: config.rate_limit.map(|limits| (limits.key, Mutex::new(Rates::new(limits)))),
            names: RandomState::new(),
            begun: Instant::now(),
        }))
    }

    /// Whose request it is.
    #[must_use]
    pub fn client(&self, address: IpAddr, headers: &HeaderMap) -> Client {
        let Some((key, _)) = &self.0.rates else { return Client(0) };
        // The credentials as a whole, not the name alone: who does not know a password uses nothing up of its user.
        let credentials = headers.get(AUTHORIZATION).filter(|_| *key == ClientKey::User);
        Client(match credentials {
            Some(credentials) => self.0.names.hash_one(credentials.as_bytes()),
            None => self.0.names.hash_one(address),
        })
    }

    /// Lets a client's next request in.
    ///
    /// # Errors
    /// 429, with the time to wait, when it asked for too much lately.
    pub fn admit(&self, client: Client) -> Result<(), Refusal> {
        let Some((_, rates)) = &self.0.rates else { return Ok(()) };
        lock(rates).admit(client.0, self.0.begun.elapsed()).map_err(|wait| {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let reason =
                format!("this client asks for more than it may (gateway.rate_limit); try again in {seconds} s");
            Refusal { retry_after: seconds, ..Refusal::overloaded(Limit::Rate, reason) }
        })
    }

    /// Notes bytes that a client has sent.
    pub fn charge(&self, client: Client, bytes: u64) {
        if let Some((_, rates)) = &self.0.rates {
            lock(rates).charge(client.0, bytes, self.0.begun.elapsed());
        }
    }

    /// A place for a request.
    ///
    /// # Errors
    /// 429 when there is none.
    pub fn slot(&self, kind: Kind) -> Result<Slot, Refusal> {
        if lock(&self.0.slots).take(kind) {
            return Ok(Slot { admission: self.clone(), kind });
        }
        Err(no_room())
    }

    /// Refuses at once what would get no place as things are.
    ///
    /// # Errors
    /// 429.
    pub fn check_room(&self, kind: Kind) -> Result<(), Refusal> {
        if lock(&self.0.slots).has_room(kind) { Ok(()) } else { Err(no_room()) }
    }
}

fn no_room() -> Refusal {
    Refusal::overloaded(
        Limit::Requests,
        "too many requests are under way in this gateway (gateway.max_concurrent_requests); try again later",
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.admission.0.slots).give(self.kind);
    }
}
