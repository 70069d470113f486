//! Clients that misbehave, limits that they meet, TLS, and a restart under load. What each of them gets stands in the README's
//! table "Bad input and hostile clients"; and whatever they do, others go on and nothing leaks.

mod encrypted;
mod framing;
mod http2;
mod limits;
mod restart;
mod slow;
mod wellbehaved;
