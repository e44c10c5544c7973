//! The crawler: a survey of the whole network, by thousands of short conversations.
//!
//! A [`Census`] is what it comes to: one [`Record`] a node, and figures over all of them.

mod census;
mod changes;
mod group;
mod record;

pub use census::{Census, KindCount, Lag, Spread, Summary, UpgradeReadiness};
pub use changes::{Change, Changes, Software};
pub use group::Group;
pub use record::{Chain, Ending, Introduction, NetworkKind, Outcome, ParseLabelError, Record};
