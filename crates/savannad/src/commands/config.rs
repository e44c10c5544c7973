//! `savanna config`: the settings of a node, as they are in force.

use std::io::{self, Write as _};

use crate::cli::NodeArgs;
use crate::config::{Config, check_variables, process_environment};

/// Prints the settings as a file that can be read again.
pub(crate) fn run(args: &NodeArgs) -> anyhow::Result<()> {
    check_variables(std::env::vars_os().map(|(name, _)| name))?;
    let text = Config::load(args, &process_environment)?.to_toml();
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads may stop, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
