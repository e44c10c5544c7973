//! A simulated network for tests: sessions joined by byte pipes under one virtual clock.
//!
//! A [`Pair`] joins two sessions, a [`Puppet`] plays the peer of one by hand, a [`network`] has as many hosts as wanted, and
//! [`regtest`] has chains to fetch and keep. Nothing here opens a socket, reads a clock or takes randomness from anywhere but
//! a seed, so a run replays exactly. Only tests depend on this crate.

mod endpoint;
mod fixture;
pub mod network;
mod pair;
mod puppet;
pub mod regtest;

pub use endpoint::Endpoint;
pub use fixture::{address, block, config, header, transaction, transaction_id, version};
pub use pair::Pair;
pub use puppet::Puppet;

#[cfg(test)]
mod tests;
