//! Waiting for room, and saying for what.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::{debug, warn};

use super::{
    decide::{Decision, Limits, Machine, Reason, decide},
    measure::Gauge,
    queue::{Entry, Error, Guard, Place, Queue, State},
    spare::Spare,
};
use crate::{
    deadline::Deadline,
    progress::{Progress, Step},
    settings::{HostChoice, Settings},
    timeline::{self, Event, Kind},
};

/// How long a test may wait for room.
const WAIT: Duration = Duration::from_hours(1);
/// How often the first of the queue looks. Those behind it look less often.
const LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_millis(500);
/// How long the guard may be held by others. It takes them moments.
const GUARD: Duration = Duration::from_secs(30);
/// A wait that is over sooner is not worth a line.
const QUIET: Duration = Duration::from_secs(1);
/// How often a long wait is told again.
const AGAIN: Duration = Duration::from_secs(30);

/// Lets tests in as long as there is room.
#[derive(Debug, Clone)]
pub struct Gate {
    queue: Queue,
    limits: Limits,
    /// `None` where clusters run on other machines.
    gauge: Option<Gauge>,
}

/// A test that was let in. Its place is free again when this is dropped or the process ends.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub struct Pass {
    gate: Gate,
    place: Place,
    entry: Entry,
}

impl Gate {
    /// The gate of this user on this machine.
    pub fn new(settings: &Settings) -> Self {
        let limits = Limits {
            starts: settings.starts,
            clusters: settings.clusters,
        };
        let is_here = !matches!(settings.host, HostChoice::Kubeconfig { .. });
        Self::at(&settings.cache, limits, is_here.then(Gauge::here))
    }

    fn at(cache: &Path, limits: Limits, gauge: Option<Gauge>) -> Self {
        Self {
            queue: Queue::new(cache),
            limits,
            gauge,
        }
    }

    /// Waits until a test may start all its clusters, saying for what when it takes longer.
    ///
    /// # Errors
    /// The queue's files cannot be used, or there was no room for an hour.
    pub async fn enter(
        &self,
        test: &str,
        clusters: usize,
        progress: &Progress,
    ) -> Result<Pass, Error> {
        let (began, deadline) = (Instant::now(), Deadline::after("room", WAIT));
        let entry = Entry {
            test: test.to_owned(),
            process: std::process::id(),
            clusters,
            state: State::Waiting,
            since: Timestamp::now(),
        };
        let place = self.queue.join(&self.guard().await?, &entry)?;
        debug!(test, clusters, "in the queue");
        let pass = Pass {
            gate: self.clone(),
            place,
            entry,
        };
        let mut waiting = Waiting::default();
        while let Decision::Wait(reason) = pass.look().await? {
            if deadline.is_over() {
                return Err(Error::NoRoom {
                    clusters,
                    waited: humantime::format_duration(deadline.limit()),
                    reason,
                });
            }
            let pause = match &reason {
                Reason::Turn { ahead } => LOOK * u32::try_from(*ahead).unwrap_or(u32::MAX),
                _ => LOOK,
            };
            waiting.tell(reason, began.elapsed(), progress);
            tokio::time::sleep(pause.min(LONGEST_LOOK)).await;
        }
        waiting.end(began);
        Ok(pass)
    }

    /// A look at the processors that begins now.
    pub(super) fn spare(&self) -> Spare {
        Spare::watch(self.gauge.as_ref())
    }

    async fn guard(&self) -> Result<Guard, Error> {
        let deadline = Deadline::after("guard", GUARD);
        loop {
            if let Some(guard) = self.queue.guard()? {
                return Ok(guard);
            }
            if deadline.is_over() {
                let path = self.queue.guard_path();
                return Err(Error::Stuck { path });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn machine(&self) -> Machine {
        let unknown = Machine {
            memory: None,
            processors: usize::MAX - 1,
            load: None,
            pressure: None,
        };
        self.gauge.as_ref().map_or(unknown, Gauge::read)
    }
}

impl Pass {
    /// Goes in when it may.
    async fn look(&self) -> Result<Decision, Error> {
        let guard = self.gate.guard().await?;
        let seen = self.gate.queue.look(&guard)?;
        let ahead = seen.ahead_of(&self.place);
        if ahead > 0 {
            return Ok(Decision::Wait(Reason::Turn { ahead }));
        }
        let (occupancy, machine) = (seen.occupancy(), self.gate.machine());
        let decision = decide(self.entry.clusters, occupancy, self.gate.limits, &machine);
        if decision == Decision::Enter {
            debug!(?occupancy, ?machine, "let in");
            self.write(State::Starting, &guard)?;
        }
        Ok(decision)
    }

    /// All its clusters have started, or will not: others may start theirs.
    pub async fn started(&self) {
        let changed = async {
            let guard = self.gate.guard().await?;
            self.write(State::Running, &guard)
        };
        if let Err(error) = changed.await {
            warn!(%error, "others wait longer than they have to");
        }
    }

    fn write(&self, state: State, guard: &Guard) -> Result<(), Error> {
        let entry = Entry {
            state,
            since: Timestamp::now(),
            ..self.entry.clone()
        };
        self.place.write(guard, &entry)
    }
}

/// What was said so far.
#[derive(Debug, Default)]
struct Waiting {
    step: Option<Step>,
    /// All that was waited for, each once.
    reasons: Vec<Reason>,
    told: Duration,
}

impl Waiting {
    fn tell(&mut self, reason: Reason, waited: Duration, progress: &Progress) {
        let is_new = !self
            .reasons
            .last()
            .is_some_and(|last| last.is_like(&reason));
        let is_worth_it = waited > QUIET
            && (is_new || self.step.is_none() || waited.saturating_sub(self.told) > AGAIN);
        if is_worth_it {
            self.told = waited;
            let step = self
                .step
                .get_or_insert_with(|| progress.step("waiting for room on this machine"));
            step.detail(&format!("{reason} ({} s so far)", waited.as_secs()));
        }
        self.reasons.retain(|known| !known.is_like(&reason));
        self.reasons.push(reason);
    }

    fn end(self, began: Instant) {
        if let Some(step) = self.step {
            step.done();
        }
        if !self.reasons.is_empty() {
            let reasons: Vec<String> = self.reasons.iter().map(ToString::to_string).collect();
            timeline::record(Event::span(Kind::Wait, "room", began).detail(reasons.join("; ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, OpenOptions},
        io::Write as _,
        process::{Child, Command, Stdio},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use tokio::task::JoinSet;

    use super::*;

    const CACHE: &str = "ADMISSION_CACHE";
    const NUMBER: &str = "ADMISSION_NUMBER";

    fn gate(cache: &Path, clusters: usize) -> Gate {
        let limits = Limits {
            starts: None,
            clusters: Some(clusters),
        };
        Gate::at(cache, limits, None)
    }

    async fn enter(gate: &Gate, clusters: usize) -> Pass {
        let progress = Progress::silent();
        gate.enter("t", clusters, &progress).await.unwrap()
    }

    /// A process that waits for the one place there is, says so when it has it, and ends.
    #[tokio::test]
    #[ignore = "started by other tests"]
    async fn one_of_many() {
        let (Ok(cache), Ok(number)) = (std::env::var(CACHE), std::env::var(NUMBER)) else {
            return;
        };
        let cache = Path::new(&cache);
        let pass = enter(&gate(cache, 1), 1).await;
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(cache.join("log"))
            .unwrap();
        writeln!(log, "{number}").unwrap();
        drop(pass);
    }

    fn start(cache: &Path, number: usize) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "admission::gate::tests::one_of_many",
                "--exact",
                "--ignored",
            ])
            .env(CACHE, cache)
            .env(NUMBER, number.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap()
    }

    fn places(cache: &Path) -> usize {
        let entries = fs::read_dir(cache.join("admission")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".place"))
            .count()
    }

    #[tokio::test]
    async fn processes_come_in_the_order_of_the_queue_and_a_killed_one_is_left_out() {
        let cache = tempfile::tempdir().unwrap();
        let first = enter(&gate(cache.path(), 1), 1).await;
        let deadline = Deadline::after("queue", Duration::from_mins(2));
        let mut children = Vec::new();
        for number in 0..6 {
            children.push(start(cache.path(), number));
            while places(cache.path()) < number + 2 {
                assert!(!deadline.is_over(), "process {number} does not queue up");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        for killed in [0, 3] {
            children[killed].kill().unwrap();
            children[killed].wait().unwrap();
        }
        drop(first);
        for number in [1, 2, 4, 5] {
            assert!(children[number].wait().unwrap().success());
        }
        let log = fs::read_to_string(cache.path().join("log")).unwrap();
        assert_eq!(log.lines().collect::<Vec<_>>(), ["1", "2", "4", "5"]);
        // What the killed ones left is removed by the next who looks.
        drop(enter(&gate(cache.path(), 1), 1).await);
        assert_eq!(places(cache.path()), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn tests_of_several_clusters_never_wait_for_each_other() {
        const LIMIT: usize = 3;
        let cache = tempfile::tempdir().unwrap();
        let gate = gate(cache.path(), LIMIT);
        let (there, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tests = JoinSet::new();
        for clusters in [2, 1, 3, 2, 2, 1, 3, 2, 1, 1] {
            let (gate, there, most) = (gate.clone(), Arc::clone(&there), Arc::clone(&most));
            tests.spawn(async move {
                let pass = enter(&gate, clusters).await;
                let now = there.fetch_add(clusters, Ordering::SeqCst) + clusters;
                most.fetch_max(now, Ordering::SeqCst);
                pass.started().await;
                tokio::task::yield_now().await;
                there.fetch_sub(clusters, Ordering::SeqCst);
                drop(pass);
            });
        }
        let all = tokio::time::timeout(Duration::from_mins(1), tests.join_all());
        assert_eq!(all.await.expect("nobody waits for ever").len(), 10);
        assert!(most.load(Ordering::SeqCst) <= LIMIT);
    }

    #[tokio::test]
    async fn starts_are_over_before_tests_are() {
        let cache = tempfile::tempdir().unwrap();
        let limits = Limits {
            starts: Some(1),
            clusters: None,
        };
        let gate = Gate::at(cache.path(), limits, None);
        let first = enter(&gate, 1).await;
        let second = tokio::spawn({
            let gate = gate.clone();
            async move { enter(&gate, 1).await }
        });
        while places(cache.path()) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!second.is_finished());
        first.started().await;
        drop(second.await.unwrap());
    }

    #[tokio::test]
    async fn a_cache_that_cannot_be_written_is_named() {
        let cache = tempfile::tempdir().unwrap();
        let file = cache.path().join("file");
        File::create(&file).unwrap();
        let progress = Progress::silent();
        let error = gate(&file, 1).enter("t", 1, &progress).await.unwrap_err();
        assert!(error.to_string().contains("file/admission"), "{error}");
    }
}
