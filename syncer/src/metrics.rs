//! What the syncer counts, in the text form that Prometheus reads.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::write::Side;

/// Upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

/// All counters. Names of series are few and fixed, so a plain lock is enough.
#[derive(Debug, Default)]
pub struct Metrics {
    turns: Mutex<BTreeMap<&'static str, Turns>>,
    writes: Mutex<BTreeMap<Request, Writes>>,
    decisions: Mutex<BTreeMap<(&'static str, &'static str), Histogram>>,
    silences: Mutex<BTreeMap<Side, u64>>,
}

/// What became of the turns of one controller.
#[derive(Debug, Default, Clone)]
struct Turns {
    took: Histogram,
    failed: u64,
    waiting: usize,
}

/// One kind of request that changes something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    /// The kind of the object.
    pub(crate) kind: &'static str,
    /// What is done to it.
    pub(crate) action: &'static str,
    /// Where.
    pub(crate) side: Side,
}

/// What became of the requests of one kind.
#[derive(Debug, Default, Clone)]
struct Writes {
    took: Histogram,
    failed: u64,
}

#[derive(Debug, Default, Clone)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    /// A turn of `controller` ended after `elapsed`, while `waiting` keys were in its queue.
    pub(crate) fn turn(
        &self,
        controller: &'static str,
        elapsed: Duration,
        has_failed: bool,
        waiting: usize,
    ) {
        let mut turns = lock(&self.turns);
        let turns = turns.entry(controller).or_default();
        turns.took.observe(elapsed);
        turns.failed += u64::from(has_failed);
        turns.waiting = waiting;
    }

    /// `elapsed` after it heard of an object, `controller` was about to take `step`.
    pub(crate) fn decision(&self, controller: &'static str, step: &'static str, elapsed: Duration) {
        let mut decisions = lock(&self.decisions);
        decisions
            .entry((controller, step))
            .or_default()
            .observe(elapsed);
    }

    /// A request was answered after `elapsed`.
    pub(crate) fn write(&self, request: Request, elapsed: Duration, has_failed: bool) {
        let mut writes = lock(&self.writes);
        let writes = writes.entry(request).or_default();
        writes.took.observe(elapsed);
        writes.failed += u64::from(has_failed);
    }

    /// The API server of `side` did not answer a request.
    pub(crate) fn silence(&self, side: Side) {
        *lock(&self.silences).entry(side).or_default() += 1;
    }

    /// Everything, as Prometheus wants it.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = self.render_into(&mut text);
        text
    }

    fn render_into(&self, text: &mut String) -> fmt::Result {
        let turns = lock(&self.turns).clone();
        let turns: Vec<_> = turns
            .into_iter()
            .map(|(controller, turns)| (format!("controller=\"{controller}\""), turns))
            .collect();
        let name = "vcluster_syncer_reconcile_seconds";
        head(text, name, "histogram", "How long turns took.")?;
        for (labels, turns) in &turns {
            turns.took.render(text, name, labels)?;
        }
        let name = "vcluster_syncer_reconcile_errors_total";
        head(text, name, "counter", "Turns that failed.")?;
        for (labels, turns) in &turns {
            writeln!(text, "{name}{{{labels}}} {}", turns.failed)?;
        }
        let name = "vcluster_syncer_queue_length";
        head(text, name, "gauge", "Objects that wait for a turn.")?;
        for (labels, turns) in &turns {
            writeln!(text, "{name}{{{labels}}} {}", turns.waiting)?;
        }
        let name = "vcluster_syncer_decision_seconds";
        let help =
            "From the news of an object to the first step: the wait for a turn, and the decision.";
        head(text, name, "histogram", help)?;
        for ((controller, step), took) in &lock(&self.decisions).clone() {
            let labels = format!("controller=\"{controller}\",step=\"{step}\"");
            took.render(text, name, &labels)?;
        }
        let writes = lock(&self.writes).clone();
        let writes: Vec<_> = writes
            .into_iter()
            .map(|(request, writes)| (request.labels(), writes))
            .collect();
        let name = "vcluster_syncer_write_seconds";
        head(text, name, "histogram", "How long requests took.")?;
        for (labels, writes) in &writes {
            writes.took.render(text, name, labels)?;
        }
        let name = "vcluster_syncer_write_errors_total";
        head(text, name, "counter", "Requests that were refused or lost.")?;
        for (labels, writes) in &writes {
            writeln!(text, "{name}{{{labels}}} {}", writes.failed)?;
        }
        let name = "vcluster_syncer_silences_total";
        head(text, name, "counter", "Requests that were never answered.")?;
        let silences = lock(&self.silences).clone();
        for side in [Side::Virtual, Side::Host] {
            let (count, side) = (silences.get(&side), side.word());
            writeln!(text, "{name}{{side=\"{side}\"}} {}", count.unwrap_or(&0))?;
        }
        Ok(())
    }
}

impl Request {
    fn labels(&self) -> String {
        let Self { kind, action, side } = self;
        let direction = match side {
            Side::Virtual => "to-virtual",
            Side::Host => "to-host",
        };
        format!("kind=\"{kind}\",direction=\"{direction}\",action=\"{action}\"")
    }
}

impl Histogram {
    fn observe(&mut self, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let within = self.buckets.iter_mut().zip(BUCKETS);
        for (bucket, _) in within.filter(|(_, bound)| seconds <= *bound) {
            *bucket += 1;
        }
        self.count += 1;
        self.seconds += seconds;
    }

    fn render(&self, text: &mut String, name: &str, labels: &str) -> fmt::Result {
        let Self { count, seconds, .. } = self;
        for (within, bound) in self.buckets.iter().zip(BUCKETS) {
            writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {within}")?;
        }
        writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}")?;
        writeln!(text, "{name}_sum{{{labels}}} {seconds}")?;
        writeln!(text, "{name}_count{{{labels}}} {count}")
    }
}

fn head(text: &mut String, name: &str, type_: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {type_}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        metrics.turn("Pod", Duration::from_millis(3), false, 2);
        metrics.turn("Pod", Duration::from_mins(1), true, 1);
        let request = Request {
            kind: "Pod",
            action: "create",
            side: Side::Host,
        };
        metrics.write(request.clone(), Duration::from_millis(15), false);
        metrics.write(request, Duration::from_millis(1), true);
        metrics.decision("Pod", "create-host", Duration::from_millis(4));
        let text = metrics.render();
        let of_pod = "kind=\"Pod\",direction=\"to-host\",action=\"create\"";
        for line in [
            "# TYPE vcluster_syncer_reconcile_seconds histogram",
            "vcluster_syncer_reconcile_seconds_bucket{controller=\"Pod\",le=\"0.002\"} 0",
            "vcluster_syncer_reconcile_seconds_bucket{controller=\"Pod\",le=\"0.005\"} 1",
            "vcluster_syncer_reconcile_seconds_bucket{controller=\"Pod\",le=\"+Inf\"} 2",
            "vcluster_syncer_reconcile_errors_total{controller=\"Pod\"} 1",
            "vcluster_syncer_queue_length{controller=\"Pod\"} 1",
            "vcluster_syncer_decision_seconds_bucket{controller=\"Pod\",step=\"create-host\",le=\"0.005\"} 1",
            &format!("vcluster_syncer_write_seconds_bucket{{{of_pod},le=\"0.002\"}} 1"),
            &format!("vcluster_syncer_write_seconds_count{{{of_pod}}} 2"),
            &format!("vcluster_syncer_write_errors_total{{{of_pod}}} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
