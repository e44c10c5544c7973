//! The commands, one module each.

pub(crate) mod archive;
pub(crate) mod config;
pub(crate) mod connect;
pub(crate) mod crawl;
pub(crate) mod demo;
pub(crate) mod seed;
pub(crate) mod start;
pub(crate) mod sync;

mod gathering;
mod parts;
mod seeds;
mod signals;
mod summary;
