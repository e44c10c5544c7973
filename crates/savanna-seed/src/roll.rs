//! The nodes that may be named at this moment.

use std::net::IpAddr;

use savanna_wire::Services;

/// A node that was found worth naming. It listens at its network's default port, since DNS carries none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nameable {
    /// Where it is.
    pub ip: IpAddr,
    /// What it said that it offers.
    pub services: Services,
}

/// All nodes of one network that may be named; none where the survey is too old to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roll {
    /// The nodes, each once, in no order that says anything.
    pub nodes: Vec<Nameable>,
}
