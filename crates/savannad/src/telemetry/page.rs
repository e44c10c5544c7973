//! Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

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
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {}", kind.name()));
        Series { page: self, metric }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = writeln!(self.0, "{line}");
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
        let labels = self.labels(values, None);
        self.page.line(format_args!("{}{labels} {number}", self.metric.name));
    }

    /// Writes a histogram.
    pub(crate) fn histogram(&mut self, values: &[&'static str], histogram: &Histogram) {
        let name = self.metric.name;
        // The total is summed up from the same buckets, so the page never contradicts itself.
        for (bound, count) in histogram.buckets() {
            let labels = self.labels(values, Some(&bound.as_secs_f64().to_string()));
            self.page.line(format_args!("{name}_bucket{labels} {count}"));
        }
        let labels = self.labels(values, Some("+Inf"));
        self.page.line(format_args!("{name}_bucket{labels} {}", histogram.count()));
        let labels = self.labels(values, None);
        self.page.line(format_args!("{name}_sum{labels} {}", histogram.sum().as_secs_f64()));
        self.page.line(format_args!("{name}_count{labels} {}", histogram.count()));
    }

    fn labels(&self, values: &[&'static str], bound: Option<&str>) -> String {
        debug_assert_eq!(self.metric.labels.len(), values.len(), "{}", self.metric.name);
        let own = self.metric.labels.iter().copied().zip(values.iter().copied());
        let all: Vec<_> =
            own.chain(bound.map(|bound| ("le", bound))).map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
    }
}
