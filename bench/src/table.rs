//! The table: rows of ours, theirs and the limit, as Markdown and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::machine::Machine;
use crate::measure::Samples;

/// Which way a number is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    /// As a rate.
    Higher,
    /// As a cost.
    Lower,
}

/// What ours is held to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// To be so many times as good as theirs, at least.
    TimesTheirs(f64),
    /// To reach this part of the limit, at least.
    PartOfLimit(f64),
    /// To cost so many times the limit, at most.
    TimesLimit(f64),
    /// To be no more than this, in the row's unit.
    AtMost(f64),
    /// To be no less than this, in the row's unit.
    AtLeast(f64),
}

/// One thing measured of up to three contestants.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) ours: Samples,
    pub(crate) theirs: Option<Samples>,
    pub(crate) limit: Option<Samples>,
    pub(crate) goals: Vec<Goal>,
    /// What the contestants are, where the name does not say.
    pub(crate) note: String,
}

impl Row {
    /// How many times as good as theirs ours is.
    fn advantage(&self) -> Option<f64> {
        let (ours, theirs) = (self.ours.median(), self.theirs.as_ref()?.median());
        Some(match self.better {
            Better::Higher => ours / theirs,
            Better::Lower => theirs / ours,
        })
    }

    /// Ours as a part or a multiple of the limit.
    fn of_limit(&self) -> Option<f64> {
        Some(self.ours.median() / self.limit.as_ref()?.median())
    }

    fn meets(&self, goal: Goal) -> bool {
        match goal {
            Goal::TimesTheirs(times) => self.advantage().is_some_and(|found| found >= times),
            Goal::PartOfLimit(part) => self.of_limit().is_some_and(|found| found >= part),
            Goal::TimesLimit(times) => self.of_limit().is_some_and(|found| found <= times),
            Goal::AtMost(most) => self.ours.median() <= most,
            Goal::AtLeast(least) => self.ours.median() >= least,
        }
    }

    /// Returns whether every goal is met.
    pub(crate) fn is_met(&self) -> bool {
        self.goals.iter().all(|goal| self.meets(*goal))
    }

    fn markdown(&self) -> String {
        let cell = |samples: Option<&Samples>| samples.map_or("–".to_owned(), |samples| shown(samples.median()));
        let ratio = |found: Option<f64>| found.map_or("–".to_owned(), |found| format!("{found:.2}"));
        let goals: Vec<String> = self.goals.iter().map(|goal| self.goal_text(*goal)).collect();
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            self.name,
            self.unit,
            cell(Some(&self.ours)),
            cell(self.theirs.as_ref()),
            cell(self.limit.as_ref()),
            ratio(self.advantage()),
            ratio(self.of_limit()),
            if goals.is_empty() { "–".to_owned() } else { goals.join(", ") },
        )
    }

    fn goal_text(&self, goal: Goal) -> String {
        let text = match goal {
            Goal::TimesTheirs(times) => format!("≥ {times} × theirs"),
            Goal::PartOfLimit(part) => format!("≥ {part} of the limit"),
            Goal::TimesLimit(times) => format!("≤ {times} × the limit"),
            Goal::AtMost(most) => format!("≤ {most}"),
            Goal::AtLeast(least) => format!("≥ {least}"),
        };
        format!("{text}: {}", if self.meets(goal) { "met" } else { "**missed**" })
    }
}

/// Everything that one run found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) quick: bool,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Returns the table with what is needed to read it.
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("{}\n\n", self.machine);
        if self.quick {
            out.push_str("A quick run: small and few samples, good for nothing but showing that the bench runs.\n\n");
        }
        out.push_str(
            "Medians. `× theirs` is how many times as good as theirs ours is; `of limit` is ours over the limit.\n\n",
        );
        out.push_str("| what | unit | Savanna | Zebra 15.0.0 | limit | × theirs | of limit | goal |\n");
        out.push_str("|---|---|---:|---:|---:|---:|---:|---|\n");
        for row in &self.rows {
            let _ = writeln!(out, "{}", row.markdown());
        }
        let held = self.rows.iter().filter(|row| !row.goals.is_empty());
        let met = held.clone().filter(|row| row.is_met()).count();
        let _ = writeln!(out, "\nGoals are met in {met} of {} rows that have any.\n", held.count());
        for row in self.rows.iter().filter(|row| !row.note.is_empty()) {
            let _ = writeln!(out, "- {}: {}", row.name, row.note);
        }
        let unsteady = self.rows.iter().filter(|row| row.ours.spread() > 0.5).map(|row| row.name.as_str());
        let unsteady: Vec<&str> = unsteady.collect();
        if !unsteady.is_empty() {
            let _ = writeln!(out, "- Our samples lie more than 50 % apart in: {}.", unsteady.join("; "));
        }
        out
    }
}

/// Shows three significant digits or so.
fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(better: Better, goals: Vec<Goal>) -> Row {
        Row {
            name: "bodies".to_owned(),
            unit: "MB/s",
            better,
            ours: Samples(vec![800.0]),
            theirs: Some(Samples(vec![80.0])),
            limit: Some(Samples(vec![1000.0])),
            goals,
            note: String::new(),
        }
    }

    #[test]
    fn goals_are_judged_by_the_medians() {
        let fast = row(Better::Higher, vec![Goal::TimesTheirs(8.0), Goal::PartOfLimit(0.5)]);
        assert!(fast.is_met());
        assert!(fast.markdown().contains("| 800 | 80.0 | 1000 | 10.00 | 0.80 | ≥ 8 × theirs: met"));
        assert!(!row(Better::Higher, vec![Goal::PartOfLimit(0.9)]).is_met());
        assert!(!row(Better::Lower, vec![Goal::TimesTheirs(1.0)]).is_met());
        assert!(!row(Better::Lower, vec![Goal::AtMost(799.0)]).is_met());
        assert!(row(Better::Lower, vec![Goal::TimesLimit(0.8)]).is_met());
    }
}
