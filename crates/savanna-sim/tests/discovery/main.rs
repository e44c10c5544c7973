//! Discovery in simulation: real sessions, books and plans, on hosts that come and go, and lie.
//!
//! A [`Citizen`](citizen::Citizen) is a whole node. A [`Villager`](villager::Villager) is honest and plans nothing: it makes a
//! crowd cheap. A [`Villain`](villain::Villain) is one operator with many addresses. Every proof runs with several seeds; a
//! failure names the seed, and `SAVANNA_SEED` runs it alone.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

mod citizen;
mod deaths;
mod eclipse;
mod flood;
mod partition;
mod player;
mod villager;
mod villain;
mod world;
