//! A seeder: it decides which nodes of the network are worth naming, and names them by DNS.
//!
//! - A [`Ledger`] tracks the nodes, without IO: whom to try when, what came of it ([`Reliability`]), who may be named
//!   ([`Rules`], [`Refusal`]), and which version is asked of them ([`Floor`]). Its [`ChainProbe`] is a question that nodes of
//!   other chains cannot answer.
//! - A [`Survey`] holds the conversations over real connections, and publishes a [`Roll`]; a [`LedgerStore`] survives restarts.
//! - [`merge`] makes one roll of what several machines see, and a [`Share`] is how they learn of one another, by PostgreSQL.
//! - [`dump`] writes down what is known.
//! - An [`Audit`] asks a seeder, this one or another, all that newcomers ask.
//! - [`Dns`] answers from the roll by DNS, and a [`SeedService`] the peers that ask for addresses.

pub mod dump;

mod audit;
mod dnssec;
mod draw;
mod floor;
mod ledger;
mod limit;
mod probe;
mod reliability;
mod roll;
mod servable;
mod serve;
mod service;
mod share;
mod steadiness;
mod store;
mod survey;
mod vantage;
mod zone;

pub use audit::{Audit, AuditError, Finding, Verdict};
pub use dnssec::{KeyError, Keys};
pub use draw::{DRAWS, LARGEST, draw};
pub use floor::{Authority, Decision, Floor, GroupView, Sweep};
pub use ledger::{Kept, Ledger, LedgerConfig, MAX_TRIES, Report, Snapshot, Tried, Try, Vetting};
pub use limit::Limits;
pub use probe::{Anchor, ChainProbe, Depth, Question};
pub use reliability::{Reliability, Window};
pub use roll::{Nameable, Roll};
pub use servable::{Candidate, Height, Refusal, Rules};
pub use serve::{Count, Counts, Dns, ROLL_LIFE, ServeError, TARGETS_THAT_TELL_CLIENTS, UpdateError, Zones};
pub use service::SeedService;
pub use share::{
    Link, MAX_SIGHTINGS, MAX_VANTAGE_POINTS, Share, ShareConfig, ShareConfigError, ShareError, ShareStatus, Sharing,
};
pub use steadiness::Steadiness;
pub use store::{LedgerSetAside, LedgerStore, LedgerStoreError, OpenedLedger};
pub use survey::{Published, Survey, SurveyConfig, SurveyCounts};
pub use vantage::{Sighting, Union, VantagePoint, merge};
pub use zone::{LONGEST_TTL, MOST_SERVICE_NAMES, NameServer, SERVICE_NAMES, SHORTEST_TTL, Zone, ZoneError};
