//! The command line of `savanna archive`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use savanna_wire::BlockHash;

#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    pub(crate) command: ArchiveCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArchiveCommand {
    /// Say what the archive holds, how much of it is durable, and what was verified
    Info(ReportArgs),
    /// Check all of it again: every link, header, merkle root and body; status 1 if anything is wrong
    Verify(ReportArgs),
    /// Print a block by its height or hash, or a transaction by its id
    Get(GetArgs),
    /// Write blocks one behind the other, each after the network's four bytes and its length
    Export(ExportArgs),
    /// Begin an index from transaction ids to blocks, or bring it up to the tip
    Index(IndexArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The directory that holds the chain
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The height of a block, its hash, or the id of a transaction where the archive has an index of them
    #[arg(value_name = "HEIGHT|HASH")]
    pub(crate) name: Name,
    /// The directory that holds the chain
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Print the bytes as hexadecimal digits
    #[arg(long, conflicts_with = "json")]
    pub(crate) hex: bool,
    /// Print what it is as one line of JSON, instead of its bytes
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The heights, both ends included: A..B or A-B, or A.. for all from A on
    #[arg(value_name = "RANGE")]
    pub(crate) range: HeightRange,
    /// The directory that holds the chain
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Write to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    /// The directory that holds the chain
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// What a block or a transaction is asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// The height of a block.
    Height(u32),
    /// The hash of a block or the id of a transaction, which look the same.
    Hash(BlockHash),
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let height = text.parse().map(Self::Height).ok().filter(|_| !text.starts_with('+'));
        let hash = || text.parse().map(Self::Hash).ok();
        height.or_else(hash).ok_or("it is neither a height nor a hash of 64 hexadecimal digits")
    }
}

/// Heights from one to another, both included, or to the tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeightRange {
    pub(crate) first: u32,
    pub(crate) last: Option<u32>,
}

impl FromStr for HeightRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "heights are given as A..B, A-B or A..";
        let (first, last) = text.split_once("..").or_else(|| text.split_once('-')).ok_or(SHAPE)?;
        let number = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+')).ok_or(SHAPE);
        let is_open = last.is_empty() && text.ends_with("..");
        let last = if is_open { None } else { Some(number(last)?) };
        let first = number(first)?;
        if last.is_some_and(|last| last < first) {
            return Err("the last height is below the first");
        }
        Ok(Self { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_named_by_its_height_or_a_hash() {
        let digits = "029f11d80ef9765602235e1bc9727e3eb6ba20839319f761fee920d63401e327";
        assert_eq!("0".parse(), Ok(Name::Height(0)));
        assert_eq!("4294967295".parse(), Ok(Name::Height(u32::MAX)));
        assert_eq!(digits.parse(), Ok(Name::Hash(digits.parse().unwrap())));
        assert!(matches!("1".repeat(64).parse(), Ok(Name::Hash(_))));
        for wrong in ["", "-1", "+1", "4294967296", &digits[1..], "tip"] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_include_both_ends() {
        let range = |first, last| Ok(HeightRange { first, last });
        assert_eq!("3..7".parse(), range(3, Some(7)));
        assert_eq!("3-7".parse(), range(3, Some(7)));
        assert_eq!("3..3".parse(), range(3, Some(3)));
        assert_eq!("0..".parse(), range(0, None));
        for wrong in ["", "3", "..", "..7", "7..3", "3-", "-3", "3...7", "a..b", "3..=7", "+1..2", "3..7-9"] {
            assert!(wrong.parse::<HeightRange>().is_err(), "{wrong}");
        }
    }
}
