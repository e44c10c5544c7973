//! The crawler: a survey of the whole network, by thousands of short conversations.
//!
//! It is no peer set: it keeps no connection, and asks each node the little that a census wants. A conversation is a dial, a
//! handshake, a `getaddr`, a question for one header that tells the chain, and the round trip on the way.
//!
//! - [`Plan`] decides, without IO: whom to ask next, whom to leave alone, when all is asked.
//! - [`Surveyor`] dials and talks as the plan says.
//! - A [`Census`] is what it comes to: one [`Record`] a node, and figures over all of them. [`Saved`] is what the next crawl goes
//!   on from, or is compared with.
//!
//! ```no_run
//! use savanna_net::{Clock, Connector, Network, Tasks};
//! use savanna_peerset::crawler::{Plan, PlanConfig, Scope, Surveyor, survey_config};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (network, tasks, clock) = (Network::Mainnet, Tasks::new(), Clock::start());
//! let config = PlanConfig { network, scope: Scope::of(network), overlays: false, until: None };
//! let node = survey_config(network);
//! let mut plan = Plan::new(config, node.seed, clock.now());
//! plan.introduce(["203.0.113.5:8233".parse()?], clock.now());
//! let surveyor = Surveyor::new(node, Connector::direct(), clock, tasks.spawner());
//! surveyor.run(&mut plan, |plan| println!("{} nodes are known", plan.known())).await;
//! for (user_agent, nodes) in plan.census(clock.now()).user_agents() {
//!     println!("{nodes:>5} {user_agent}");
//! }
//! # Ok(())
//! # }
//! ```

mod census;
mod changes;
mod meet;
mod plan;
mod probe;
mod record;
mod routable;
mod run;
mod talk;

pub use census::{Census, KindCount, Lag, Spread, Summary, UpgradeReadiness};
pub use changes::{Change, Changes, Software};
pub use meet::{Errand, Meeting};
pub use plan::{
    MAX_DIALS, MAX_KNOWN, MAX_PASSED_OVER, MAX_TALKS, MEET_AGAIN, PORTS_PER_HOST, Plan, PlanConfig, Progress,
    SECOND_CHANCE, Saved, SavedNode, TOLD_PER_GROUP, TOLD_PER_NODE, Talk,
};
pub use probe::Probe;
pub use record::{Chain, Ending, Introduction, NetworkKind, Outcome, ParseLabelError, Record};
pub use routable::Scope;
pub use run::{Surveyor, survey_config};
