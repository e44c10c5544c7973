//! A seeder: it decides which nodes of the network are worth naming, and names them by DNS.
//!
//! It survives restarts and agrees with other machines that survey the same network. It does not survey by itself: that is the
//! business of the crawler in `savanna-peerset`, whose findings it is told.

mod roll;

pub use roll::{Nameable, Roll};
