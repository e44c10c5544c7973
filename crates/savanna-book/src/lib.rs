//! The addresses that a node knows, kept so that nobody can fill the book from one place.
//!
//! A [`Book`] takes in addresses from seeds, gossip and the operator, remembers how dialling them went, and says which to
//! dial next. It bans, discourages and backs off, answers peers that ask for addresses, and turns into plain records and
//! back. It does no IO: it dials nobody, reads no clock and no file. Time, the secret and randomness are arguments.
//!
//! Addresses heard of stand in `new`, those that answered in `tried`. Both are tables of buckets, keyed by the secret. The
//! group of who told of an address decides on the buckets of `new`, the group of the address itself on those of `tried`. So
//! one source fills a sixteenth of `new` at most, and one group of addresses a thirty-second of `tried`, whatever it sends.
//! An address leaves `tried` only after a dial to it failed.
//!
//! ```
//! use savanna_book::{Added, Book, Config, Source, UnixTime, Wanted};
//! use savanna_wire::{AddrV2, Network, Services};
//!
//! let now = UnixTime(1_790_000_000);
//! let mut book = Book::new(Config::new(Network::Mainnet), [1; 32], [2; 32]);
//! let address = "1.1.1.1:8233".parse()?;
//! let heard = AddrV2 { time: now.0, services: Services::NODE_NETWORK, address };
//! assert_eq!(book.add(heard, Source::Dns(0), now), Added::New);
//! assert_eq!(book.pick(&Wanted::default(), now), Some(address));
//! # Ok::<(), savanna_wire::PeerAddrError>(())
//! ```

mod answer;
mod backoff;
mod book;
mod bucket;
mod config;
mod entry;
mod family;
mod key;
mod netgroup;
mod outcome;
mod penalty;
mod routable;
mod snapshot;
mod tables;
mod time;
mod trial;

pub use backoff::Backoff;
pub use book::{Book, Wanted};
pub use config::Config;
pub use entry::{Handshake, Source};
pub use family::{Families, Family, PerFamily};
pub use netgroup::{Netgroup, Subnet};
pub use outcome::{Added, Failure, Refusal};
pub use penalty::{Mark, Penalties, Prefix, Standing, TooManyBans};
pub use routable::{FOREIGN_PORTS, Reach};
pub use snapshot::{Record, Restored, Snapshot, Table};
pub use tables::BookCounts;
pub use time::UnixTime;
