//! The floors of the workspace and the rules that hold between them.

use std::fmt;

use crate::cargo::{Kind, Member, Reached};

/// What no crate below the line may reach, however indirectly.
const FORBIDDEN_BELOW_THE_LINE: [&str; 4] = ["getrandom", "mio", "rand", "tokio"];

/// The highest floor below the line.
const HIGHEST_PURE_FLOOR: u8 = 2;

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On a floor: it may use what stands on lower floors.
    Floor(u8),
    /// Beside the house: it may use everything, and nothing but tests may use it.
    DevOnly,
}

/// Names the place of a crate of this workspace.
fn place(name: &str) -> Option<Place> {
    Some(match name {
        "savannad" => Place::Floor(7),
        "savanna" => Place::Floor(6),
        "savanna-sync" | "savanna-seed" => Place::Floor(5),
        "savanna-peerset" => Place::Floor(4),
        "savanna-net" | "savanna-store" => Place::Floor(3),
        "savanna-peer" | "savanna-book" | "savanna-chain" => Place::Floor(2),
        "savanna-wire" => Place::Floor(1),
        "savanna-sim" | "xtask" => Place::DevOnly,
        _ => return None,
    })
}

/// Says whether a crate stands below the line.
pub(crate) fn is_pure(name: &str) -> bool {
    matches!(place(name), Some(Place::Floor(floor)) if floor <= HIGHEST_PURE_FLOOR)
}

/// A breach of the floors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offence {
    /// A crate that the table of floors does not name.
    Unknown { name: String },
    /// An arrow that points up or sideways.
    NotDown { from: String, from_floor: u8, to: String, to_floor: u8 },
    /// A crate of the tests that something else is built on.
    DevOnlyUsed { from: String, to: String },
    /// A crate below the line that reaches the outside world, with the way it does.
    Impure { path: Vec<String> },
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "{name} has no floor: name it in xtask/src/floors.rs"),
            Self::NotDown { from, from_floor, to, to_floor } => {
                let way = if to_floor == from_floor { "sideways" } else { "upward" };
                write!(f, "{from} (floor {from_floor}) depends {way} on {to} (floor {to_floor})")
            }
            Self::DevOnlyUsed { from, to } => write!(f, "{from} depends on {to}, which only tests may use"),
            Self::Impure { path } => write!(f, "below the line: {}", path.join(" -> ")),
        }
    }
}

/// Finds the members without a floor and the arrows that do not point down. Dev-dependencies may point anywhere.
pub(crate) fn misplaced(members: &[Member]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for member in members {
        let Some(from) = place(&member.name) else {
            offences.push(Offence::Unknown { name: member.name.clone() });
            continue;
        };
        for dependency in member.dependencies.iter().filter(|dependency| dependency.kind != Kind::Dev) {
            let Some(to) = place(&dependency.name) else { continue };
            offences.extend(judge((&member.name, from), (&dependency.name, to)));
        }
    }
    offences
}

fn judge((from, from_place): (&str, Place), (to, to_place): (&str, Place)) -> Option<Offence> {
    match (from_place, to_place) {
        (_, Place::DevOnly) => Some(Offence::DevOnlyUsed { from: from.into(), to: to.into() }),
        (Place::Floor(from_floor), Place::Floor(to_floor)) if to_floor >= from_floor => {
            Some(Offence::NotDown { from: from.into(), from_floor, to: to.into(), to_floor })
        }
        (Place::Floor(_) | Place::DevOnly, Place::Floor(_)) => None,
    }
}

/// Counts the arrows between members that the rules apply to.
pub(crate) fn arrows(members: &[Member]) -> usize {
    members
        .iter()
        .flat_map(|member| &member.dependencies)
        .filter(|dependency| dependency.kind != Kind::Dev && place(&dependency.name).is_some())
        .count()
}

/// Finds what a crate below the line must not reach in the tree of what it links.
pub(crate) fn impurities(reached: &[Reached]) -> Vec<Offence> {
    reached
        .iter()
        .filter(|reached| FORBIDDEN_BELOW_THE_LINE.contains(&reached.name()))
        .map(|reached| Offence::Impure { path: reached.path.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::{Dependency, parse_tree};

    fn member(name: &str, dependencies: &[(&str, Kind)]) -> Member {
        let dependencies = dependencies.iter().map(|&(name, kind)| Dependency { name: name.into(), kind }).collect();
        Member { name: name.into(), dependencies }
    }

    #[test]
    fn arrows_that_point_down_are_accepted_and_counted() {
        let members = [
            member("savannad", &[("savanna", Kind::Normal), ("savanna-wire", Kind::Normal), ("clap", Kind::Normal)]),
            member("savanna-net", &[("savanna-peer", Kind::Normal), ("tokio", Kind::Normal)]),
            member("savanna-peer", &[("savanna-wire", Kind::Build)]),
            member("savanna-sim", &[("savanna-peerset", Kind::Normal)]),
        ];
        assert_eq!(misplaced(&members), []);
        assert_eq!(arrows(&members), 5);
    }

    #[test]
    fn an_upward_arrow_is_an_offence_in_normal_and_build_dependencies() {
        for kind in [Kind::Normal, Kind::Build] {
            let found = misplaced(&[member("savanna-wire", &[("savanna-net", kind)])]);
            assert_eq!(
                found,
                [Offence::NotDown {
                    from: "savanna-wire".into(),
                    from_floor: 1,
                    to: "savanna-net".into(),
                    to_floor: 3
                }]
            );
            assert_eq!(found[0].to_string(), "savanna-wire (floor 1) depends upward on savanna-net (floor 3)");
        }
    }

    #[test]
    fn a_sideways_arrow_is_an_offence() {
        let found = misplaced(&[member("savanna-peer", &[("savanna-chain", Kind::Normal)])]);
        assert_eq!(found[0].to_string(), "savanna-peer (floor 2) depends sideways on savanna-chain (floor 2)");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn dev_dependencies_point_anywhere() {
        let members = [
            member("savanna-wire", &[("savanna-sim", Kind::Dev), ("savannad", Kind::Dev), ("tokio", Kind::Dev)]),
            member("savanna-peer", &[("savanna-chain", Kind::Dev)]),
        ];
        assert_eq!(misplaced(&members), []);
        assert_eq!(arrows(&members), 0);
    }

    #[test]
    fn nothing_but_tests_uses_the_crates_of_the_tests() {
        for (from, to) in [("savannad", "savanna-sim"), ("savanna-net", "xtask"), ("savanna-sim", "xtask")] {
            for kind in [Kind::Normal, Kind::Build] {
                let found = misplaced(&[member(from, &[(to, kind)])]);
                assert_eq!(found, [Offence::DevOnlyUsed { from: from.into(), to: to.into() }]);
            }
        }
    }

    #[test]
    fn a_crate_without_a_floor_is_an_offence() {
        let found = misplaced(&[member("savanna-attic", &[("savanna-wire", Kind::Normal)])]);
        assert_eq!(found, [Offence::Unknown { name: "savanna-attic".into() }]);
    }

    #[test]
    fn the_line_runs_above_floor_two() {
        for name in ["savanna-wire", "savanna-peer", "savanna-book", "savanna-chain"] {
            assert!(is_pure(name), "{name}");
        }
        for name in ["savanna-net", "savanna-store", "savannad", "savanna-sim", "xtask", "bytes"] {
            assert!(!is_pure(name), "{name}");
        }
    }

    #[test]
    fn whatever_reaches_the_outside_below_the_line_is_named_with_its_path() {
        for forbidden in FORBIDDEN_BELOW_THE_LINE {
            let tree = format!("0savanna-peer v0.1.0 (/house)\n1ahash v0.8.0\n2{forbidden} v1.0.0\n1bytes v1.12.0\n");
            let found = impurities(&parse_tree(&tree));
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].to_string(), format!("below the line: savanna-peer -> ahash -> {forbidden}"));
        }
    }

    #[test]
    fn a_seeded_generator_is_allowed_below_the_line() {
        let tree = "0savanna-peer v0.1.0 (/house)\n1rand_chacha v0.10.0\n2rand_core v0.10.0\n";
        assert_eq!(impurities(&parse_tree(tree)), []);
    }
}
