//! `savanna archive export`: blocks one behind the other, as other programs take them in.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use savanna_store::{BlockStore, Options};
use savanna_wire::Block;

use super::progress::Steps;
use super::{open, print, size, tip_of, unless_gone};
use crate::cli::{ExportArgs, HeightRange};

/// How many bytes are handed on at once.
const BUFFER: usize = 1 << 20;

/// Writes each block after the network's four bytes and its length, which has four bytes too, the least significant first.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    if args.output.is_none() && io::stdout().is_terminal() {
        bail!(
            "blocks are binary, and standard output is a terminal: name a file with --output, or pipe them somewhere"
        );
    }
    let store = open(&args.dir, Options::default())?;
    let (first, last) = bounds(args.range, tip_of(&store)?.height)?;
    match &args.output {
        None => {
            let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
            export(&store, first, last, &mut out).map(drop)
        }
        Some(path) => {
            let file = create(path).with_context(|| format!("{} cannot be written", path.display()))?;
            let mut out = BufWriter::with_capacity(BUFFER, &file);
            let bytes = export(&store, first, last, &mut out)?;
            drop(out);
            if file.metadata()?.is_file() {
                file.sync_all().with_context(|| format!("{} cannot be written", path.display()))?;
            }
            let blocks = u64::from(last - first) + 1;
            print(&format!("{blocks} blocks ({}), heights {first} to {last}, in {}", size(bytes), path.display()))
        }
    }
}

fn bounds(range: HeightRange, tip: u32) -> anyhow::Result<(u32, u32)> {
    let last = range.last.unwrap_or(tip);
    match range.first.max(last) {
        beyond if beyond > tip => bail!("height {beyond} is not there: the archive ends at height {tip}"),
        _ => Ok((range.first, last)),
    }
}

/// Makes a file that is not there. What is there and is no file, like a pipe, is written to.
fn create(path: &Path) -> anyhow::Result<File> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.metadata()?.is_file() {
                bail!("it is there already");
            }
            Ok(OpenOptions::new().write(true).open(path)?)
        }
        opened => Ok(opened?),
    }
}

/// Returns how many bytes the blocks had. A reader that goes away has seen enough.
fn export(store: &BlockStore, first: u32, last: u32, out: &mut impl Write) -> anyhow::Result<u64> {
    let magic = store.network().magic();
    let steps = Steps::new("exported", u64::from(last - first) + 1);
    let mut bytes = 0;
    for height in first..=last {
        let block = store.serve(height)?.with_context(|| format!("height {height} is missing"))?;
        if let Err(error) = write_block(out, &magic.0, &block) {
            steps.finish();
            unless_gone(Err(error)).with_context(|| format!("written up to height {height}"))?;
            return Ok(bytes);
        }
        bytes += block.bytes().len() as u64;
        steps.show(u64::from(height - first) + 1, bytes);
    }
    steps.finish();
    unless_gone(out.flush())?;
    Ok(bytes)
}

fn write_block(out: &mut impl Write, magic: &[u8; 4], block: &Block) -> io::Result<()> {
    // A block is at most 2 MB: the type says so.
    let length = u32::try_from(block.bytes().len()).unwrap_or(u32::MAX);
    out.write_all(magic)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(block.bytes())
}
