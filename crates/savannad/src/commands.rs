//! The commands, one module each.

pub(crate) mod archive;
pub(crate) mod connect;
pub(crate) mod crawl;
pub(crate) mod demo;
pub(crate) mod sync;

mod summary;
