//! A seeder: it decides which nodes of the network are worth naming, and names them by DNS.
//!
//! It survives restarts and agrees with other machines that survey the same network. It does not survey by itself: that is the
//! business of the crawler in `savanna-peerset`, whose findings it is told.

mod dnssec;
mod draw;
mod limit;
mod roll;
mod serve;
mod zone;

pub use dnssec::{KeyError, Keys};
pub use draw::{DRAWS, LARGEST, draw};
pub use limit::Limits;
pub use roll::{Nameable, Roll};
pub use serve::{Count, Counts, Dns, ROLL_LIFE, ServeError, TARGETS_THAT_TELL_CLIENTS, UpdateError, Zones};
pub use zone::{LONGEST_TTL, MOST_SERVICE_NAMES, NameServer, SERVICE_NAMES, SHORTEST_TTL, Zone, ZoneError};
