//! What the syncer counts, in the text form that Prometheus reads.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 9] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

/// All counters. Names of series are few and fixed, so a plain lock is enough.
#[derive(Debug, Default)]
pub struct Metrics {
    turns: Mutex<BTreeMap<&'static str, Turns>>,
    writes: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

/// What became of the turns of one controller.
#[derive(Debug, Default, Clone)]
struct Turns {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
    failed: u64,
    waiting: usize,
}

impl Metrics {
    /// A turn of `controller` ended after `elapsed`, while `waiting` keys were in its queue.
    pub fn turn(
        &self,
        controller: &'static str,
        elapsed: Duration,
        has_failed: bool,
        waiting: usize,
    ) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = turns.entry(controller).or_default();
        let seconds = elapsed.as_secs_f64();
        for (bucket, _) in turns
            .buckets
            .iter_mut()
            .zip(BUCKETS)
            .filter(|(_, bound)| seconds <= *bound)
        {
            *bucket += 1;
        }
        turns.count += 1;
        turns.seconds += seconds;
        turns.failed += u64::from(has_failed);
        turns.waiting = waiting;
    }

    /// `controller` wrote something; `what` is the kind of step.
    pub fn write(&self, controller: &'static str, what: &'static str) {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        *writes.entry((controller, what)).or_default() += 1;
    }

    /// How much was written in all.
    pub fn writes(&self) -> u64 {
        self.writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .sum()
    }

    /// Everything, as Prometheus wants it.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = self.render_into(&mut text);
        text
    }

    fn render_into(&self, text: &mut String) -> std::fmt::Result {
        let turns = self
            .turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let writes = self
            .writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        text.push_str("# TYPE vcluster_syncer_reconcile_seconds histogram\n");
        for (controller, turns) in &turns {
            for (count, bound) in turns.buckets.iter().zip(BUCKETS) {
                writeln!(
                    text,
                    "vcluster_syncer_reconcile_seconds_bucket{{controller=\"{controller}\",le=\"{bound}\"}} {count}"
                )?;
            }
            let count = turns.count;
            writeln!(
                text,
                "vcluster_syncer_reconcile_seconds_bucket{{controller=\"{controller}\",le=\"+Inf\"}} {count}"
            )?;
            writeln!(
                text,
                "vcluster_syncer_reconcile_seconds_sum{{controller=\"{controller}\"}} {}",
                turns.seconds
            )?;
            writeln!(
                text,
                "vcluster_syncer_reconcile_seconds_count{{controller=\"{controller}\"}} {count}"
            )?;
        }
        text.push_str("# TYPE vcluster_syncer_reconcile_errors_total counter\n");
        for (controller, turns) in &turns {
            writeln!(
                text,
                "vcluster_syncer_reconcile_errors_total{{controller=\"{controller}\"}} {}",
                turns.failed
            )?;
        }
        text.push_str("# TYPE vcluster_syncer_queue_length gauge\n");
        for (controller, turns) in &turns {
            writeln!(
                text,
                "vcluster_syncer_queue_length{{controller=\"{controller}\"}} {}",
                turns.waiting
            )?;
        }
        text.push_str("# TYPE vcluster_syncer_writes_total counter\n");
        for ((controller, step), count) in &writes {
            writeln!(
                text,
                "vcluster_syncer_writes_total{{controller=\"{controller}\",step=\"{step}\"}} {count}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        metrics.turn("Pod", Duration::from_millis(3), false, 2);
        metrics.turn("Pod", Duration::from_mins(1), true, 0);
        metrics.write("Pod", "create-host");
        let text = metrics.render();
        for line in [
            "vcluster_syncer_reconcile_seconds_bucket{controller=\"Pod\",le=\"0.002\"} 0",
            "vcluster_syncer_reconcile_seconds_bucket{controller=\"Pod\",le=\"0.005\"} 1",
            "vcluster_syncer_reconcile_seconds_bucket{controller=\"Pod\",le=\"+Inf\"} 2",
            "vcluster_syncer_reconcile_errors_total{controller=\"Pod\"} 1",
            "vcluster_syncer_writes_total{controller=\"Pod\",step=\"create-host\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
