//! What the program says while it runs, apart from its results.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The environment variable that sets how much is logged, as in `SAVANNA_LOG=savanna_net=debug`.
pub(crate) const LOG_VARIABLE: &str = "SAVANNA_LOG";

/// Sends log lines to standard error; results alone go to standard output.
pub(crate) fn init() {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
