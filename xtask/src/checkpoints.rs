//! The published lists of checkpoints, as the data that `savanna-chain` compiles in.

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A published list and the data made of it.
const LISTS: [(&str, &str); 2] = [("main-checkpoints.txt", "mainnet.bin"), ("test-checkpoints.txt", "testnet.bin")];

/// Where the lists stand in the source of `zebra-chain`, and the data in the workspace.
const PUBLISHED: &str = "src/parameters/checkpoint";
const DATA: &str = "crates/savanna-chain/src/checkpoint";

/// The greatest distance between two checkpoints, in blocks: what lies between waits in memory until it links.
const MOST_APART: u32 = 400;

/// A list that cannot be made into data.
#[derive(Debug, Error)]
pub(crate) enum CheckpointError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{list}, line {line}: {what}")]
    Line { list: &'static str, line: usize, what: &'static str },
}

/// Makes the data of the lists in `source`, the source of `zebra-chain`, below the workspace's `root`. Returns what was written.
pub(crate) fn write(source: &Path, root: &Path) -> Result<Vec<(PathBuf, usize)>, CheckpointError> {
    let mut written = Vec::new();
    for (path, data) in make(source, root)? {
        fs::write(&path, &data).map_err(|source| CheckpointError::File { path: path.clone(), source })?;
        written.push((path, data.len()));
    }
    Ok(written)
}

/// Returns the files below `root` that are not what the lists in `source` make.
pub(crate) fn stale(source: &Path, root: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let made = make(source, root)?.into_iter();
    Ok(made.filter(|(path, data)| fs::read(path).ok().as_ref() != Some(data)).map(|(path, _)| path).collect())
}

fn make(source: &Path, root: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, CheckpointError> {
    let make = |(list, data): (&'static str, &str)| {
        let path = source.join(PUBLISHED).join(list);
        let text = fs::read_to_string(&path).map_err(|source| CheckpointError::File { path, source })?;
        Ok((root.join(DATA).join(data), records(list, &text)?))
    };
    LISTS.into_iter().map(make).collect()
}

/// Makes records of lines of a height and a hash in display order: the height in four bytes, little-endian, and the hash in
/// wire order.
fn records(list: &'static str, text: &str) -> Result<Vec<u8>, CheckpointError> {
    let mut data = Vec::new();
    let mut before: Option<u32> = None;
    for (index, line) in text.lines().enumerate() {
        let refuse = |what| CheckpointError::Line { list, line: index + 1, what };
        let (height, hash) = line.split_once(' ').ok_or_else(|| refuse("not a height and a hash"))?;
        let height: u32 = height.parse().map_err(|_| refuse("not a height"))?;
        match before {
            None if height > 0 => return Err(refuse("the list does not begin at height 0")),
            Some(before) if height <= before => return Err(refuse("heights do not ascend")),
            Some(before) if height - before > MOST_APART => return Err(refuse("more than 400 blocks apart")),
            None | Some(_) => before = Some(height),
        }
        data.extend(height.to_le_bytes());
        data.extend(hash_bytes(hash).ok_or_else(|| refuse("not a hash"))?.into_iter().rev());
    }
    Ok(data)
}

fn hash_bytes(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "0 00040fe8ec8471911baa1db1266ea15dd06b4a8a5c453883c000b031973dce08";

    fn line(height: u32) -> String {
        format!("{height} {}", "ab".repeat(32))
    }

    #[test]
    fn a_record_is_a_height_and_a_hash_in_wire_order() {
        let data = records("list", FIRST).unwrap();
        assert_eq!((data.len(), &data[..6], &data[34..]), (36, &[0, 0, 0, 0, 0x08, 0xce][..], &[0x04, 0x00][..]));
        let data = records("list", &[FIRST, &line(400), ""].join("\n")).unwrap();
        assert_eq!((data.len(), &data[36..41]), (72, &[0x90, 1, 0, 0, 0xab][..]));
    }

    #[test]
    fn lines_that_are_not_checkpoints_are_refused_by_number() {
        let lists = [
            vec![line(1)],
            vec![line(0), line(0)],
            vec![line(0), line(401)],
            vec![line(0), line(300), line(200)],
            vec![line(0), "400".to_owned()],
            vec![line(0), "x 00".to_owned()],
            vec![line(0), "400 00".to_owned()],
            vec![line(0), line(400).replace("ab", "+1")],
            vec![line(0), String::new(), line(400)],
        ];
        for list in lists {
            let refused = records("list", &list.join("\n")).unwrap_err().to_string();
            assert!(refused.starts_with("list, line "), "{list:?}: {refused}");
        }
    }

    #[test]
    fn data_that_is_not_of_its_list_is_found() {
        let (source, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(source.path().join(PUBLISHED)).unwrap();
        fs::create_dir_all(root.path().join(DATA)).unwrap();
        for (list, _) in LISTS {
            fs::write(source.path().join(PUBLISHED).join(list), FIRST).unwrap();
        }
        assert_eq!(stale(source.path(), root.path()).unwrap().len(), 2, "there is no data yet");
        write(source.path(), root.path()).unwrap();
        assert_eq!(stale(source.path(), root.path()).unwrap(), Vec::<PathBuf>::new());
        let (list, data) = LISTS[1];
        fs::write(source.path().join(PUBLISHED).join(list), [FIRST, &line(9)].join("\n")).unwrap();
        assert_eq!(stale(source.path(), root.path()).unwrap(), [root.path().join(DATA).join(data)]);
    }
}
