//! Writing: each process appends whole lines, so that nothing is lost when one of them is killed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

use tracing::debug;

use super::{Event, FILE, Kind};
use crate::{
    cluster::{Phase, VirtualCluster},
    diagnostics::Artifacts,
};

/// The file of this process's run.
static FILE_OF_RUN: OnceLock<Option<Mutex<File>>> = OnceLock::new();

tokio::task_local! {
    /// The test that the current task belongs to.
    static TEST: String;
}

/// From here on, what this process [records](record) goes to the time line of its run. The first call counts.
pub fn start(artifacts: &Artifacts) {
    FILE_OF_RUN.get_or_init(|| match artifacts.of_run().and_then(|run| open(&run)) {
        Ok(file) => Some(Mutex::new(file)),
        Err(error) => {
            debug!(%error, "no time line is written");
            None
        }
    });
}

/// Writes an event, as the current test's unless it says whose it is. Does nothing before [`start`].
pub fn record(event: Event) {
    let Some(Some(file)) = FILE_OF_RUN.get() else {
        return;
    };
    let event = Event {
        test: event.test.or_else(current_test),
        ..event
    };
    let written = write(
        &mut file.lock().unwrap_or_else(PoisonError::into_inner),
        &event,
    );
    if let Err(error) = written {
        debug!(%error, "an event is missing in the time line");
    }
}

/// Writes the start of a cluster, which began then, and its phases.
pub(crate) fn record_start(cluster: &VirtualCluster, began: Instant) {
    let name = cluster.name();
    let detail = [
        cluster.distro().map(str::to_owned),
        cluster.version().map(|v| v.to_string()),
    ];
    let detail: Vec<String> = detail.into_iter().flatten().collect();
    // Waiting for room has an event of its own.
    let waited = cluster.phases().get(Phase::Room).unwrap_or_default();
    let start = Event::span(Kind::Start, "start", began + waited).outcome(true);
    record(start.cluster(name).detail(detail.join(" ")));
    let mut passed = waited;
    for (phase, elapsed) in cluster.phases().iter() {
        if elapsed <= waited {
            continue;
        }
        let took = elapsed.saturating_sub(passed);
        let event = Event::lasting(Kind::Phase, phase.name(), began + passed, took);
        record(event.cluster(name));
        passed = elapsed;
    }
}

/// The test that the current task belongs to.
pub(crate) fn current_test() -> Option<String> {
    TEST.try_with(Clone::clone).ok()
}

/// What is recorded by `future` belongs to this test.
pub(crate) async fn of_test<F: Future>(test: String, future: F) -> F::Output {
    TEST.scope(test, future).await
}

fn open(run: &Path) -> io::Result<File> {
    fs::create_dir_all(run)?;
    let path = run.join(FILE);
    OpenOptions::new().create(true).append(true).open(path)
}

/// In one write: the kernel then appends it in one piece, whoever else writes.
fn write(file: &mut File, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_string(event).map_err(io::Error::other)?;
    line.push('\n');
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Kind, Timeline},
        *,
    };

    #[test]
    fn lines_of_several_writers_are_whole() {
        let run = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let mut file = open(run.path()).unwrap();
                scope.spawn(move || {
                    for _ in 0..50 {
                        let event = Event::mark(Kind::Pool, "hit").detail("x".repeat(writer * 700));
                        write(&mut file, &event).unwrap();
                    }
                });
            }
        });
        let timeline = Timeline::read(run.path()).unwrap();
        assert_eq!((timeline.events.len(), timeline.unreadable), (200, 0));
    }
}
