//! Prometheus' text format, version 0.0.4.

use std::fmt::{Arguments, Display, Write as _};

use savanna_net::Histogram;

/// What a number is called, what it is, and which labels tell its series apart.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows, until the program ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How long something takes, in seconds.
    Histogram,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page that is being written.
#[derive(Debug)]
pub(crate) struct Page(String);

impl Page {
    pub(super) const fn new() -> Self {
        Self(String::new())
    }

    /// Begins a metric; each is begun once.
    pub(crate) fn metric(&mut self, metric: &'static Metric) -> Series<'_> {
        let Metric { name, kind, help, .. } = metric;
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
        Series { page: self, metric }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn write(&mut self, text: Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = self.0.write_fmt(text);
    }
}

/// The series of one metric.
///
/// # Security
/// The values of labels are of the program itself, so no peer can add a series, and there is nothing to escape.
pub(crate) struct Series<'a> {
    page: &'a mut Page,
    metric: &'static Metric,
}

impl Series<'_> {
    /// Writes one number; the values of its labels are in the order of the metric's labels.
    pub(crate) fn number(&mut self, values: &[&'static str], number: u64) {
        self.sample("", values, None, number);
    }

    /// Writes a histogram.
    pub(crate) fn histogram(&mut self, values: &[&'static str], histogram: &Histogram) {
        for (bound, count) in histogram.buckets() {
            self.sample("_bucket", values, Some(&bound.as_secs_f64()), count);
        }
        // The total is summed up from the same buckets, so the page never contradicts itself.
        self.sample("_bucket", values, Some(&"+Inf"), histogram.count());
        self.sample("_sum", values, None, histogram.sum().as_secs_f64());
        self.sample("_count", values, None, histogram.count());
    }

    fn sample(&mut self, suffix: &str, values: &[&'static str], bound: Option<&dyn Display>, number: impl Display) {
        let Metric { name, labels, .. } = self.metric;
        debug_assert_eq!(labels.len(), values.len(), "{name}");
        let own = labels.iter().zip(values).map(|(label, value)| (*label, value as &dyn Display));
        self.page.write(format_args!("{name}{suffix}"));
        let mut before = '{';
        for (label, value) in own.chain(bound.map(|bound| ("le", bound))) {
            self.page.write(format_args!("{before}{label}=\"{value}\""));
            before = ',';
        }
        let after = if before == ',' { "}" } else { "" };
        self.page.write(format_args!("{after} {number}\n"));
    }
}
