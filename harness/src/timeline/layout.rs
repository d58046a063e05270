//! What goes where on the page. Pure: seconds since the first event, and lanes in which nothing overlaps.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Ending, Event, Kind, Timeline};

/// A whole page, in seconds since its first event.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Chart {
    pub(super) begin: Option<Timestamp>,
    pub(super) seconds: f64,
    /// In the order in which they began.
    pub(super) rows: Vec<Row>,
}

/// A test, or what one process did for nobody in particular.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) title: String,
    pub(super) state: State,
    pub(super) lanes: Vec<Vec<Bar>>,
    /// What took no time.
    pub(super) marks: Vec<Bar>,
}

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    /// A test that ended, and how long it took.
    Ended { passed: bool, seconds: f64 },
    /// A test that did not come to its end, or has not yet.
    Unfinished,
    /// No test.
    Upkeep,
}

/// A run in numbers.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Totals {
    /// How many tests there were.
    pub tests: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that did not come to their end, or have not yet.
    pub unfinished: usize,
    /// Those that got a cluster that was there before.
    pub from_pool: usize,
    /// From the first event to the last.
    pub seconds: f64,
    /// How long tests waited for room, all together.
    pub waited_seconds: f64,
}

/// A stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) from: f64,
    pub(super) seconds: f64,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) text: String,
    pub(super) failed: bool,
    /// What it consists of.
    pub(super) parts: Vec<Bar>,
}

impl Chart {
    pub(super) fn totals(&self) -> Totals {
        let count = |wanted: fn(&Row) -> bool| self.rows.iter().filter(|row| wanted(row)).count();
        Totals {
            tests: count(|row| row.state != State::Upkeep),
            failed: count(|row| matches!(row.state, State::Ended { passed: false, .. })),
            unfinished: count(|row| row.state == State::Unfinished),
            from_pool: count(Row::is_of_pool),
            seconds: self.seconds,
            waited_seconds: self.rows.iter().map(|row| row.total(Kind::Wait)).sum(),
        }
    }
}

impl Row {
    /// Is it a test that had a cluster from the pool?
    pub(super) fn is_of_pool(&self) -> bool {
        self.state != State::Upkeep && self.has(Kind::Pool, "hit")
    }

    /// How long all bars of a kind took together.
    pub(super) fn total(&self, kind: Kind) -> f64 {
        let bars = self.lanes.iter().flatten();
        bars.filter(|bar| bar.kind == kind)
            .map(|bar| bar.seconds)
            .sum()
    }

    /// Was anything of this kind and name seen?
    pub(super) fn has(&self, kind: Kind, name: &str) -> bool {
        let bars = self.lanes.iter().flatten().chain(&self.marks);
        bars.into_iter()
            .any(|bar| bar.kind == kind && bar.name == name)
    }
}

/// Lays out all events of a run.
pub(super) fn chart(timeline: &Timeline) -> Chart {
    let Some(begin) = timeline.events.iter().map(|event| event.at).min() else {
        return Chart::default();
    };
    let end = timeline.events.iter().map(Event::end).max();
    let mut groups: BTreeMap<(Option<&str>, u32), Vec<&Event>> = BTreeMap::new();
    for event in &timeline.events {
        let process = event.test.as_ref().map_or(event.process, |_| 0);
        let group = groups.entry((event.test.as_deref(), process));
        group.or_default().push(event);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, events)| events[0].at);
    Chart {
        begin: Some(begin),
        seconds: seconds(begin, end.unwrap_or(begin)),
        rows: groups
            .into_iter()
            .map(|((test, process), events)| row(test, process, &events, begin))
            .collect(),
    }
}

fn row(test: Option<&str>, process: u32, events: &[&Event], begin: Timestamp) -> Row {
    let end = events
        .iter()
        .rfind(|event| event.kind == Kind::Test && event.seconds.is_some());
    let state = match (test, end) {
        (None, _) => State::Upkeep,
        (Some(_), None) => State::Unfinished,
        (Some(_), Some(end)) => State::Ended {
            passed: end.outcome != Some(Ending::Failed),
            seconds: end.seconds.unwrap_or_default(),
        },
    };
    let of = |event: &Event| bar(event, begin);
    let stays = |event: &&&Event| !matches!(event.kind, Kind::Test | Kind::Phase);
    let (spans, marks): (Vec<_>, Vec<_>) = events
        .iter()
        .filter(stays)
        .partition(|event| event.seconds.is_some());
    let bars = spans.into_iter().map(|event| {
        let mut bar = of(event);
        if event.kind == Kind::Start {
            let phases = events.iter().filter(|phase| {
                phase.kind == Kind::Phase
                    && phase.cluster == event.cluster
                    && phase.at <= event.end()
                    && phase.end() >= event.at
            });
            bar.parts = phases.copied().map(of).collect();
        }
        bar
    });
    Row {
        title: test.map_or_else(|| format!("upkeep, process {process}"), str::to_owned),
        state,
        lanes: lanes(bars.collect()),
        marks: marks.into_iter().map(of).collect(),
    }
}

fn bar(event: &Event, begin: Timestamp) -> Bar {
    let took = event
        .seconds
        .map(|seconds| format!("{seconds:.2} s"))
        .unwrap_or_default();
    let words = [
        Some(event.name.as_str()),
        event.cluster.as_deref(),
        Some(took.as_str()),
        event.detail.as_deref(),
    ];
    let words: Vec<&str> = words
        .into_iter()
        .flatten()
        .filter(|word| !word.is_empty())
        .collect();
    Bar {
        from: seconds(begin, event.at),
        seconds: event.seconds.unwrap_or_default().max(0.0),
        kind: event.kind,
        name: event.name.clone(),
        text: words.join(", "),
        failed: event.outcome == Some(Ending::Failed),
        parts: Vec::new(),
    }
}

/// Each bar in the first lane that is free by then. Clocks are coarse, so neighbours may touch.
fn lanes(mut bars: Vec<Bar>) -> Vec<Vec<Bar>> {
    const TOUCH: f64 = 0.001;
    bars.sort_by(|a, b| {
        let by_length = b.seconds.total_cmp(&a.seconds);
        a.from.total_cmp(&b.from).then(by_length)
    });
    let mut lanes: Vec<Vec<Bar>> = Vec::new();
    for bar in bars {
        let is_free = |lane: &&mut Vec<Bar>| {
            let last = lane.last();
            last.is_none_or(|last| last.from + last.seconds <= bar.from + TOUCH)
        };
        match lanes.iter_mut().find(is_free) {
            Some(lane) => lane.push(bar),
            None => lanes.push(vec![bar]),
        }
    }
    lanes
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(lines: &str) -> Timeline {
        let timeline = Timeline::of_lines(lines);
        assert_eq!(timeline.unreadable, 0);
        timeline
    }

    fn names(row: &Row) -> Vec<Vec<&str>> {
        row.lanes
            .iter()
            .map(|lane| lane.iter().map(|bar| bar.name.as_str()).collect())
            .collect()
    }

    #[test]
    fn nothing_gives_an_empty_chart() {
        assert_eq!(chart(&Timeline::default()), Chart::default());
    }

    #[test]
    fn what_overlaps_has_lanes_of_its_own() {
        let chart = chart(&timeline(
            r#"{"at":"2026-01-01T00:00:00Z","process":1,"test":"t","kind":"start","name":"a","cluster":"vc-a","seconds":3}
               {"at":"2026-01-01T00:00:00Z","process":1,"test":"t","kind":"start","name":"b","cluster":"vc-b","seconds":2}
               {"at":"2026-01-01T00:00:03Z","process":1,"test":"t","kind":"body","name":"body","seconds":1}"#,
        ));
        assert!((chart.seconds - 4.0).abs() < 1e-9);
        assert_eq!(names(&chart.rows[0]), [vec!["a", "body"], vec!["b"]]);
        assert!((chart.rows[0].total(Kind::Start) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn phases_are_parts_of_the_start_of_their_cluster() {
        let chart = chart(&timeline(
            r#"{"at":"2026-01-01T00:00:00Z","process":1,"test":"t","kind":"start","name":"start","cluster":"vc-a","seconds":3}
               {"at":"2026-01-01T00:00:00Z","process":1,"test":"t","kind":"start","name":"start","cluster":"vc-b","seconds":3}
               {"at":"2026-01-01T00:00:01Z","process":1,"test":"t","kind":"phase","name":"readyz","cluster":"vc-b","seconds":1}"#,
        ));
        let row = &chart.rows[0];
        assert_eq!(row.lanes[0][0].parts, []);
        assert_eq!(row.lanes[1][0].parts[0].name, "readyz");
    }

    #[test]
    fn a_test_without_an_end_is_unfinished() {
        let chart = chart(&timeline(
            r#"{"at":"2026-01-01T00:00:00Z","process":1,"test":"killed","kind":"test","name":"begin"}
               {"at":"2026-01-01T00:00:01Z","process":2,"test":"failed","kind":"test","name":"begin"}
               {"at":"2026-01-01T00:00:01Z","process":2,"test":"failed","kind":"test","name":"end","seconds":2,"outcome":"failed"}
               {"at":"2026-01-01T00:00:02Z","process":3,"kind":"pool","name":"refill","seconds":1}"#,
        ));
        let states: Vec<_> = chart
            .rows
            .iter()
            .map(|row| (row.title.as_str(), row.state))
            .collect();
        let failed = State::Ended {
            passed: false,
            seconds: 2.0,
        };
        assert_eq!(
            states,
            [
                ("killed", State::Unfinished),
                ("failed", failed),
                ("upkeep, process 3", State::Upkeep)
            ]
        );
    }
}
