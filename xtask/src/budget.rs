//! How many crates a user of the library compiles.

use std::fmt;

use crate::cargo::{Reached, Tree};

/// The faces that are counted.
pub(crate) const LIMITS: [Limit; 3] = [
    Limit { package: "savanna-net", tree: Tree::Compiled, crates: 60 },
    Limit { package: "savanna", tree: Tree::CompiledByDefault, crates: 60 },
    Limit { package: "savanna", tree: Tree::Compiled, crates: 100 },
];

/// The most crates that a package may bring, itself included. Over it the guard fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) package: &'static str,
    pub(crate) tree: Tree,
    crates: usize,
}

impl Limit {
    /// Holds a tree against the limit. Two versions of one crate count twice: both are compiled.
    pub(crate) fn judge(self, reached: &[Reached]) -> Verdict {
        Verdict { limit: self, crates: reached.len() }
    }
}

/// What a count came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    limit: Limit,
    crates: usize,
}

impl Verdict {
    pub(crate) fn is_within(self) -> bool {
        self.crates <= self.limit.crates
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limit { package, tree, crates: limit } = self.limit;
        let word = if self.is_within() { "within" } else { "OVER" };
        let features = if tree == Tree::CompiledByDefault { "" } else { " with all features" };
        write!(f, "{package}{features} brings {} crates, {word} the limit of {limit}", self.crates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::parse_tree;

    const LIMIT: Limit = Limit { package: "savanna-net", tree: Tree::CompiledByDefault, crates: 3 };

    #[test]
    fn a_tree_at_its_limit_is_within() {
        let verdict =
            LIMIT.judge(&parse_tree("0savanna-net v0.1.0\n1bytes v1.0.0\n2serde v1.0.0\n1serde v1.0.0 (*)\n"));
        assert!(verdict.is_within());
        assert_eq!(verdict.to_string(), "savanna-net brings 3 crates, within the limit of 3");
    }

    #[test]
    fn one_crate_more_is_over_and_versions_count_apart() {
        let verdict = LIMIT.judge(&parse_tree("0savanna-net v0.1.0\n1bytes v1.0.0\n1rand v0.8.0\n1rand v0.9.0\n"));
        assert!(!verdict.is_within());
        assert_eq!(verdict.to_string(), "savanna-net brings 4 crates, OVER the limit of 3");
    }
}
