//! `savanna archive`: what is kept on disk, looked at, checked and handed on.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use savanna_store::{BlockStore, Options, StoreError, Tip};

use crate::cli::{ArchiveArgs, ArchiveCommand};

mod export;
mod find;
mod index;
mod info;
mod progress;
mod verify;

/// What nothing in the archive stands for, however much of it is verified.
const UNVERIFIED: &str = "amounts, and the authorizing data of transactions of v5 and later (proofs, signatures, scripts), \
                          which is bound by nothing that is checked";

/// Runs what was asked for, on a thread that may block.
pub(crate) async fn run(args: ArchiveArgs) -> anyhow::Result<()> {
    let work = move || match args.command {
        ArchiveCommand::Info(args) => info::run(&args),
        ArchiveCommand::Verify(args) => verify::run(&args),
        ArchiveCommand::Get(args) => find::run(&args),
        ArchiveCommand::Export(args) => export::run(&args),
        ArchiveCommand::Index(args) => index::run(&args),
    };
    tokio::task::spawn_blocking(work).await?
}

/// Opens an archive that is there.
fn open(dir: &Path, options: Options) -> anyhow::Result<BlockStore> {
    let opened = BlockStore::network_of(dir).and_then(|network| BlockStore::open_with(dir, network, options));
    opened.map_err(|error| {
        if matches!(error, StoreError::Locked { .. }) {
            let dir = dir.display();
            return anyhow!("{dir} is in use: end the savanna start or savanna sync that has it open, and try again");
        }
        // The other errors name the directory themselves.
        let is_anonymous = matches!(error, StoreError::Io(_) | StoreError::Engine(_) | StoreError::Corrupt { .. });
        let error = anyhow::Error::new(error);
        if is_anonymous { error.context(format!("{} cannot be read", dir.display())) } else { error }
    })
}

/// Returns the last block of an archive that has to have one.
fn tip_of(store: &BlockStore) -> anyhow::Result<Tip> {
    store.tip().with_context(|| format!("{} holds no block yet", store.dir().display()))
}

/// Prints a result. Whoever reads it may have seen enough and gone.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    unless_gone(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Takes a reader that is gone for one that has seen enough.
fn unless_gone(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the output cannot be written"),
    }
}

/// Writes Unix seconds as a date and a time of day, in UTC.
fn date(unix: u64) -> String {
    // The last second that can be written so.
    const LAST: u64 = 253_402_300_799;
    let when = UNIX_EPOCH + Duration::from_secs(unix.min(LAST));
    humantime::format_rfc3339_seconds(when).to_string()
}

/// Writes a number of bytes as people say it.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(date(1_296_688_602), "2011-02-02T23:16:42Z");
        assert_eq!(date(u64::MAX), "9999-12-31T23:59:59Z");
        let sizes = [999, 1_500, 2_000_000, 3_400_000_000].map(size);
        assert_eq!(sizes, ["999 bytes", "1.5 kB", "2.0 MB", "3.4 GB"]);
    }
}
