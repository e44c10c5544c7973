//! The length of the source files.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::cargo::ToolError;

/// The most lines that a source file may have. A longer one tells more than one story and has to be parted.
pub(crate) const MAX_LINES: usize = 600;

/// The folders that hold sources of this workspace.
const FOLDERS: [&str; 2] = ["crates", "xtask"];

/// A source file and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    path: PathBuf,
    lines: usize,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {} lines, at most {MAX_LINES} allowed", self.path.display(), self.lines)
    }
}

/// Measures every `.rs` file below the source folders of the workspace at `root`, sorted by path.
pub(crate) fn measure(root: &Path) -> Result<Vec<Source>, ToolError> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        let unreadable = |source: io::Error| ToolError::Io { what: folder.display().to_string(), source };
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (path, file_type) = (entry.path(), entry.file_type().map_err(unreadable)?);
            if file_type.is_dir() && entry.file_name() != "target" {
                folders.push(path);
            } else if file_type.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read(&path).map_err(unreadable)?;
                sources.push(Source { path: path.strip_prefix(root).unwrap_or(&path).to_owned(), lines: lines(&text) });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// Picks the files over the limit.
pub(crate) fn too_long(sources: &[Source]) -> Vec<&Source> {
    sources.iter().filter(|source| source.lines > MAX_LINES).collect()
}

fn lines(text: &[u8]) -> usize {
    let ends = text.iter().filter(|&&byte| byte == b'\n').count();
    ends + usize::from(text.last().is_some_and(|&byte| byte != b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_the_unfinished_last_one() {
        assert_eq!([lines(b""), lines(b"a"), lines(b"a\n"), lines(b"a\nb"), lines(b"\n\n")], [0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_file_over_the_limit_is_named_wherever_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, lines: usize| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "//\n".repeat(lines)).unwrap();
        };
        write("crates/a/src/lib.rs", MAX_LINES);
        write("crates/a/src/deep/er.rs", MAX_LINES + 1);
        write("crates/a/notes.md", MAX_LINES + 1);
        write("crates/a/target/made.rs", MAX_LINES + 1);
        write("xtask/src/main.rs", MAX_LINES + 2);
        write("elsewhere/src/lib.rs", MAX_LINES + 1);

        let sources = measure(root.path()).unwrap();
        assert_eq!(sources.len(), 3);
        let named: Vec<_> = too_long(&sources).iter().map(ToString::to_string).collect();
        assert_eq!(
            named,
            [
                "crates/a/src/deep/er.rs has 601 lines, at most 600 allowed",
                "xtask/src/main.rs has 602 lines, at most 600 allowed",
            ]
        );
    }

    #[test]
    fn a_missing_folder_is_an_error_and_not_an_empty_answer() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(measure(root.path()), Err(ToolError::Io { .. })));
    }
}
