//! Log lines: all to standard error, since results alone go to standard output.

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;

use indicatif::ProgressBar;
use savanna_seed::TARGETS_THAT_TELL_CLIENTS;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// The environment variable that sets how much is logged, as in `SAVANNA_LOG=savanna_net=debug`.
const LOG_VARIABLE: &str = "SAVANNA_LOG";

/// Logs warnings and worse, unless the environment says otherwise.
pub(crate) fn init() {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}

/// Logs what a filter names, above a bar if there is one.
///
/// # Errors
/// If the filter is none.
pub(crate) fn init_node(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let is_terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter_of(filter)?).with_writer(Screen);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        // A person at a terminal knows what time it is to the second, and which program runs.
        LogFormat::Text if is_terminal => lines.with_ansi(true).with_target(false).init(),
        LogFormat::Text => lines.with_ansi(false).init(),
    }
    Ok(())
}

/// Logs what a filter names, and of the libraries that answer DNS nothing that tells who asked.
///
/// # Errors
/// If the filter is none.
pub(crate) fn init_seeder(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let quiet = TARGETS_THAT_TELL_CLIENTS.iter().map(|target| format!(",{target}=warn"));
    init_node(&(filter.to_owned() + &quiet.collect::<String>()), format)
}

/// Returns whether a text says what to log, and does not ask for what tells who asks by DNS.
pub(crate) fn is_private_filter(text: &str) -> bool {
    is_filter(text) && !TARGETS_THAT_TELL_CLIENTS.iter().any(|target| text.contains(target))
}

/// Returns whether a text says what to log.
pub(crate) fn is_filter(text: &str) -> bool {
    filter_of(text).is_ok()
}

fn filter_of(text: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse(text)
}

/// Standard error, on which one bar may stand below all lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen;

static BAR: OnceLock<ProgressBar> = OnceLock::new();

impl Screen {
    /// Has all lines from here on stand above a bar. There is one for the life of the process.
    pub(crate) fn keep_below(bar: &ProgressBar) {
        let _ = BAR.set(bar.clone());
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl Write for Screen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write_all(line);
        BAR.get().map_or_else(write, |bar| bar.suspend(write)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
