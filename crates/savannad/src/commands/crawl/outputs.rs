//! Where a census is written: standard output, and files that are replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use savanna_peerset::crawler::Census;

use super::places::Places;
use super::{csv, json, report, text};
use crate::cli::CrawlArgs;

/// The outputs that were asked for, each found to be writable.
#[derive(Debug)]
pub(super) struct Outputs {
    json: Option<Output>,
    csv: Option<Output>,
    report: Option<Output>,
}

#[derive(Debug, PartialEq, Eq)]
enum Output {
    Stdout,
    /// A file of a directory in which others can be made: it is replaced once the new one is whole.
    File(PathBuf),
    /// A pipe, a device or the like, or a file that cannot be replaced.
    InPlace(PathBuf),
}

impl Outputs {
    /// Tries what is to be written, before hours are spent.
    pub(super) fn open(args: &CrawlArgs) -> anyhow::Result<Self> {
        let open = |file: &Option<PathBuf>| {
            let opened = file.as_deref().map(|file| Output::open(file).with_context(|| unwritable(file)));
            opened.transpose()
        };
        let outputs = Self { json: open(&args.json)?, csv: open(&args.csv)?, report: open(&args.report)? };
        for (one, other) in
            [(&outputs.json, &outputs.csv), (&outputs.json, &outputs.report), (&outputs.csv, &outputs.report)]
        {
            match (one, other) {
                (Some(Output::Stdout), Some(Output::Stdout)) => bail!("only one result fits on standard output"),
                (Some(Output::File(one)), Some(Output::File(other))) if one == other => {
                    bail!("{} cannot hold two results", one.display());
                }
                _ => {}
            }
        }
        Ok(outputs)
    }

    /// Writes the census wherever it is wanted, and in words where standard output is free.
    ///
    /// # Errors
    /// The first there was; all outputs are tried.
    pub(super) fn write(&self, census: &Census, places: Option<&Places>) -> anyhow::Result<()> {
        let outputs = [&self.json, &self.csv, &self.report];
        let in_words = !outputs.contains(&&Some(Output::Stdout));
        let results = [
            self.json.as_ref().map(|output| output.write(|out| json::write(census, out))),
            self.csv.as_ref().map(|output| output.write(|out| csv::write(census, out))),
            self.report.as_ref().map(|output| output.write(|out| report::write(census, places, out))),
            in_words.then(|| Output::Stdout.write(|out| text::write(census, out))),
        ];
        results.into_iter().flatten().find(Result::is_err).unwrap_or(Ok(()))
    }
}

impl Output {
    fn open(file: &Path) -> io::Result<Self> {
        if file == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let path = match fs::metadata(file) {
            Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => return Ok(Self::InPlace(file.to_owned())),
            Ok(_) => {
                OpenOptions::new().append(true).open(file)?;
                fs::canonicalize(file)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let name = file.file_name().ok_or(ErrorKind::InvalidInput)?;
                let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
                fs::canonicalize(parent.unwrap_or(Path::new(".")))?.join(name)
            }
            Err(error) => return Err(error),
        };
        match create(&draft(&path)) {
            Ok(_) => fs::remove_file(draft(&path)).map(|()| Self::File(path)),
            Err(_) if path.is_file() => Ok(Self::InPlace(path)),
            Err(error) => Err(error),
        }
    }

    fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                write(&mut out).and_then(|()| out.flush()).context("standard output cannot be written")
            }
            Self::InPlace(path) => {
                let file = OpenOptions::new().write(true).truncate(true).open(path);
                file.and_then(|file| fill(file, write).map(drop)).with_context(|| unwritable(path))
            }
            Self::File(path) => {
                let draft = draft(path);
                let replace = || fill(create(&draft)?, write)?.sync_all().and_then(|()| fs::rename(&draft, path));
                replace()
                    .inspect_err(|_| {
                        // What is left of it is of use to nobody.
                        let _ = fs::remove_file(&draft);
                    })
                    .with_context(|| unwritable(path))
            }
        }
    }
}

fn fill(file: File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<File> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

/// Returns the name beside a file under which this process writes the next version of it.
fn draft(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn unwritable(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("census.json");
        let output = Output::open(&file).unwrap();
        assert!(!file.exists());
        output.write(|out| out.write_all(b"first")).unwrap();
        let cut = output.write(|out| out.write_all(b"sec").and_then(|()| Err(ErrorKind::StorageFull.into())));
        assert!(cut.unwrap_err().to_string().contains("census.json cannot be written"));
        assert_eq!(fs::read(&file).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_file_has_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a"), dir.path().join("b"));
        let other = dir.path().join("./a");
        assert_eq!(Output::open(&file).unwrap(), Output::open(&other).unwrap());
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(Output::open(&file).unwrap(), Output::open(&link).unwrap());
        assert_eq!(Output::open(Path::new("/dev/null")).unwrap(), Output::InPlace("/dev/null".into()));
    }

    #[test]
    fn all_outputs_are_tried_and_the_first_error_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let csv = dir.path().join("nodes.csv");
        let gone = dir.path().join("gone").join("census.json");
        let outputs = Outputs {
            json: Some(Output::File(gone)),
            csv: Some(Output::File(csv.clone())),
            report: Some(Output::Stdout),
        };
        let census = Census {
            network: savanna_wire::Network::Mainnet,
            began: 0,
            took: std::time::Duration::ZERO,
            is_complete: true,
            passed_over: 0,
            records: Vec::new(),
            changes: None,
        };
        assert!(outputs.write(&census, None).unwrap_err().to_string().contains("census.json"));
        assert!(csv.exists());
    }
}
