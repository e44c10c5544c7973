//! What cargo says about the workspace.

use std::{env, io, path::PathBuf, process::Command};

use serde::Deserialize;
use thiserror::Error;

/// A guard that could not do its work; says nothing about the workspace itself.
#[derive(Debug, Error)]
pub(crate) enum ToolError {
    /// A program or a file that cannot be reached.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    /// A cargo call that ended in failure.
    #[error("`cargo {call}` failed: {message}")]
    Failed { call: String, message: String },
    /// Output in another form than expected.
    #[error("the output of `cargo metadata` is not understood: {0}")]
    Metadata(#[from] serde_json::Error),
}

/// The members of the workspace and where it lies.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) crates: Vec<Member>,
}

/// A crate of this workspace with the dependencies that its manifest declares.
#[derive(Debug, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A declared dependency, by the name of the package and not by what the manifest calls it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    #[serde(deserialize_with = "kind")]
    pub(crate) kind: Kind,
}

/// The table of a manifest that a dependency stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// Reads the kind as cargo writes it: a normal dependency has `null`.
fn kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    Ok(Option::<Kind>::deserialize(deserializer)?.unwrap_or(Kind::Normal))
}

impl Workspace {
    /// Asks cargo for the workspace of the current directory.
    pub(crate) fn load() -> Result<Self, ToolError> {
        Self::parse(&cargo(&["metadata", "--format-version", "1", "--no-deps"])?)
    }

    fn parse(metadata: &str) -> Result<Self, ToolError> {
        #[derive(Deserialize)]
        struct Metadata {
            workspace_root: PathBuf,
            packages: Vec<Member>,
        }
        let Metadata { workspace_root, packages } = serde_json::from_str(metadata)?;
        Ok(Self { root: workspace_root, crates: packages })
    }
}

/// Which edges of the resolved graph count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tree {
    /// What ends up in the program, on any platform.
    Linked,
    /// What has to be compiled on this platform, with every feature.
    Compiled,
    /// What has to be compiled on this platform, with the features that are on unless told otherwise.
    CompiledByDefault,
}

/// A crate that another one reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Name and version.
    pub(crate) id: String,
    /// Names from the crate that was asked about down to this one.
    pub(crate) path: Vec<String>,
}

impl Reached {
    pub(crate) fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }
}

/// Asks cargo what `package` reaches. Features are those that this package alone switches on, which the graph of
/// `cargo metadata` cannot tell: it unites the features of all members and of their tests.
pub(crate) fn tree(package: &str, which: Tree) -> Result<Vec<Reached>, ToolError> {
    let edges: &[&str] = match which {
        Tree::Linked => &["--all-features", "-e", "normal,no-proc-macro", "--target", "all"],
        Tree::Compiled => &["--all-features", "-e", "normal,build"],
        Tree::CompiledByDefault => &["-e", "normal,build"],
    };
    let call = [&["tree", "-p", package, "--prefix", "depth"], edges].concat();
    Ok(parse_tree(&cargo(&call)?))
}

/// Reads the lines of `cargo tree --prefix depth`. Every crate has one full line; later mentions end in `(*)`.
pub(crate) fn parse_tree(text: &str) -> Vec<Reached> {
    let mut path: Vec<String> = Vec::new();
    let mut reached: Vec<Reached> = Vec::new();
    for line in text.lines() {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let Ok(depth) = line[..line.len() - rest.len()].parse::<usize>() else { continue };
        let mut words = rest.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        path.truncate(depth);
        path.push(name.to_owned());
        let id = format!("{name} {version}");
        if !reached.iter().any(|known| known.id == id) {
            reached.push(Reached { id, path: path.clone() });
        }
    }
    reached
}

/// Runs the cargo that runs this program, and takes its output.
fn cargo(arguments: &[&str]) -> Result<String, ToolError> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|source| ToolError::Io { what: "cargo cannot be run".to_owned(), source })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ToolError::Failed { call: arguments.join(" "), message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_gives_names_and_kinds() {
        let metadata = r#"{
            "workspace_root": "/house",
            "packages": [{
                "name": "savanna-net",
                "dependencies": [
                    {"name": "savanna-peer", "kind": null, "rename": "peer"},
                    {"name": "savanna-sim", "kind": "dev"},
                    {"name": "cc", "kind": "build"}
                ]
            }]
        }"#;
        let workspace = Workspace::parse(metadata).unwrap();
        assert_eq!(workspace.root, PathBuf::from("/house"));
        let member = &workspace.crates[0];
        let found: Vec<_> = member.dependencies.iter().map(|it| (it.name.as_str(), it.kind)).collect();
        let expected = [("savanna-peer", Kind::Normal), ("savanna-sim", Kind::Dev), ("cc", Kind::Build)];
        assert_eq!((member.name.as_str(), &found[..]), ("savanna-net", &expected[..]));
    }

    #[test]
    fn metadata_of_another_form_is_an_error() {
        assert!(matches!(Workspace::parse("{}"), Err(ToolError::Metadata(_))));
        let odd =
            r#"{"workspace_root": "/", "packages": [{"name": "a", "dependencies": [{"name": "b", "kind": "x"}]}]}"#;
        assert!(matches!(Workspace::parse(odd), Err(ToolError::Metadata(_))));
    }

    #[test]
    fn a_tree_gives_each_crate_once_with_its_path() {
        let text = "0a v0.1.0 (/house/a)\n1b v1.0.0\n2c v2.0.0 (proc-macro)\n1d v1.0.0\n2b v1.0.0 (*)\n2c v3.0.0\n";
        let reached = parse_tree(text);
        let ids: Vec<_> = reached.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["a v0.1.0", "b v1.0.0", "c v2.0.0", "d v1.0.0", "c v3.0.0"]);
        assert_eq!(reached[2].path, ["a", "b", "c"]);
        assert_eq!(reached[4].path, ["a", "d", "c"]);
        assert_eq!(reached[4].name(), "c");
    }
}
