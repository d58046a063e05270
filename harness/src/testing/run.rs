//! The run of one test: clusters, arguments, body under a limit, the cause of a failure, clean-up, verdict.

use std::{
    error::Error,
    io::Write as _,
    panic::AssertUnwindSafe,
    pin::Pin,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::join_all};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{
    argument::{self, ArgumentError, Given, Need},
    backend::{Backend, Explanation},
    clean_up::{self, CleanedUp},
    current::{self, Current},
    outcome::Outcome,
    report,
    selection::{self, Selection},
    spec::{Flavor, TestInfo, TestSpec},
    telemetry,
    verdict::{Ended, Trouble, Verdict},
};
use crate::{
    deadline::Deadline,
    diagnostics::Failure,
    timeline::{self, Event, Kind},
};

/// How long the search for the cause of a failure may take.
const EXPLAIN_LIMIT: Duration = Duration::from_secs(30);

/// How long tasks that block may hold up the end of the runtime.
const RUNTIME_LIMIT: Duration = Duration::from_secs(2);

/// Runs one test on clusters of a backend, in the order in which this file reads.
///
/// `body` makes the arguments and, of them, the test's future. The future is polled on this thread and
/// needs to be neither `Send` nor `'static`.
///
/// # Panics
/// When the test fails, as a test does: with the test's own panic when it has one, with a message that
/// begins with `vcluster set-up failed` when the test did not come to run.
#[track_caller]
pub fn run_on<B, F, R>(
    backend: &B,
    spec: TestSpec,
    needs: &[Need],
    body: impl AsyncFnOnce(&mut Given<'_, B::Cluster>) -> Result<F, ArgumentError>,
) -> R
where
    B: Backend,
    F: Future<Output = R>,
    R: Outcome,
{
    let test = TestInfo {
        clusters: argument::count(needs),
        ..TestInfo::new(spec)
    };
    let settings = backend.settings();
    let runtime = match selection::of(&test.spec, settings) {
        Selection::Skipped(reason) => return skipped(&test, &reason),
        Selection::Nothing(reason) => Err(reason.into()),
        Selection::Runs => runtime(&test),
    };
    telemetry::start(settings.log.as_deref());
    let verdict = match runtime {
        Ok(runtime) => {
            let conducted = Box::pin(conduct(backend, &test, needs, body));
            let played = runtime.block_on(timeline::of_test(test.full_name(), conducted));
            // What the test has spawned and left ends before its clusters go, to others maybe.
            runtime.shutdown_timeout(RUNTIME_LIMIT);
            played.finish(backend, &test)
        }
        Err(error) => Verdict::not_set_up(&test.spec, &*error),
    };
    verdict.deliver(&test, settings.ci)
}

/// A test whose body has ended, and its clusters.
struct Played<C, R> {
    begun: Instant,
    clusters: Vec<C>,
    ended: Ended<R>,
    failure: Option<String>,
    explanation: Explanation,
}

async fn conduct<B, F, R>(
    backend: &B,
    test: &TestInfo,
    needs: &[Need],
    body: impl AsyncFnOnce(&mut Given<'_, B::Cluster>) -> Result<F, ArgumentError>,
) -> Played<B::Cluster, R>
where
    B: Backend,
    F: Future<Output = R>,
    R: Outcome,
{
    let begun = Instant::now();
    timeline::record(Event::mark(Kind::Test, "begin"));
    let (clusters, started) = start(backend, test).await;
    let future = if let Err(trouble) = started {
        Err(trouble)
    } else {
        let given = Given::new(needs, &clusters, test);
        let from = Instant::now();
        let future = prepare(given, body, backend.settings().start_timeout).await;
        timeline::record(Event::span(Kind::Arguments, "arguments", from).outcome(future.is_ok()));
        future
    };
    let ended = match future {
        Ok(future) => {
            let current = Current {
                clusters: clusters.clone(),
                test: test.clone(),
            };
            let from = Instant::now();
            let ended = current::scope(current, play(future, test.spec.timeout)).await;
            let is_good = ended.failure(&test.spec).is_none();
            timeline::record(Event::span(Kind::Body, "body", from).outcome(is_good));
            ended
        }
        Err(trouble) => Ended::NotSetUp(trouble),
    };
    let failure = ended.failure(&test.spec);
    let explanation = match (&failure, &ended) {
        (None, _) => Explanation::default(),
        (Some(_), Ended::NotSetUp(trouble)) if trouble.is_explained() => {
            trouble.explanation.clone()
        }
        (Some(failure), ended) => {
            let failure = Failure {
                test: test.run.clone(),
                step: ended.step().to_owned(),
                elapsed: Some(begun.elapsed()),
                last_seen: None,
                error: failure.clone(),
            };
            let from = Instant::now();
            let explanation = explain(backend, &clusters, &failure).await;
            timeline::record(Event::span(Kind::Explain, "explain", from));
            explanation
        }
    };
    Played {
        begun,
        clusters,
        ended,
        failure,
        explanation,
    }
}

impl<C: Clone + Send + Sync + 'static, R: Outcome> Played<C, R> {
    /// Cleans up, on a runtime on which nothing of the test runs.
    fn finish<B: Backend<Cluster = C>>(self, backend: &B, test: &TestInfo) -> Verdict<R> {
        let is_good = self.failure.is_none();
        let cleaned = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(timeline::of_test(test.full_name(), async {
                let from = Instant::now();
                let cleaned = clean_up::all(backend, test, self.clusters, !is_good);
                let cleaned = Box::pin(cleaned).await;
                let is_clean = cleaned.errors.is_empty();
                timeline::record(Event::span(Kind::CleanUp, "clean-up", from).outcome(is_clean));
                timeline::record(Event::span(Kind::Test, "end", self.begun).outcome(is_good));
                cleaned
            })),
            Err(error) => CleanedUp {
                errors: vec![format!("could not start a runtime: {error}")],
                ..CleanedUp::default()
            },
        };
        Verdict {
            ended: self.ended,
            failure: self.failure,
            explanation: self.explanation,
            cleaned,
        }
    }
}

/// Starts clusters side by side and waits for all, so that none is left half-made when another fails.
async fn start<B: Backend>(backend: &B, test: &TestInfo) -> (Vec<B::Cluster>, Result<(), Trouble>) {
    let starts = (0..test.clusters).map(|_| AssertUnwindSafe(backend.start(test)).catch_unwind());
    let mut clusters = Vec::new();
    let mut outcome = Ok(());
    for started in join_all(starts).await {
        let error = match started {
            Ok(Ok(cluster)) => {
                clusters.push(cluster);
                continue;
            }
            Ok(Err(error)) => Trouble {
                text: report::chain(&*error.cause),
                explanation: error.explanation,
            },
            Err(payload) => format!("a panic: {}", report::panic_text(&*payload)).into(),
        };
        outcome = outcome.and(Err(error));
    }
    (clusters, outcome)
}

/// Makes the arguments; a type of the test's own may do anything there, even hang.
async fn prepare<C, F>(
    mut given: Given<'_, C>,
    body: impl AsyncFnOnce(&mut Given<'_, C>) -> Result<F, ArgumentError>,
    limit: Duration,
) -> Result<Pin<Box<F>>, Trouble> {
    // A large body would be carried on the stack by every layer between here and its poll.
    let made = async { body(&mut given).await.map(Box::pin) };
    let made = AssertUnwindSafe(made).catch_unwind();
    let error = match tokio::time::timeout(limit, made).await {
        Ok(Ok(Ok(future))) => return Ok(future),
        Ok(Ok(Err(error))) => report::chain(&*error),
        Ok(Err(payload)) => format!("a panic: {}", report::panic_text(&*payload)),
        Err(_) => format!("not done after {}", humantime::format_duration(limit)),
    };
    Err(format!("could not make the arguments\n  because: {error}").into())
}

/// Polls the test's future on this task, so that a panic is caught where it happens.
async fn play<R>(future: impl Future<Output = R>, limit: Duration) -> Ended<R> {
    let deadline = Deadline::after("test", limit);
    let mut body = Box::pin(AssertUnwindSafe(future).catch_unwind());
    match tokio::time::timeout_at(deadline.instant(), &mut body).await {
        Ok(Ok(value)) => Ended::Returned(value),
        Ok(Err(payload)) => Ended::Panicked(payload),
        // What the test holds is dropped here; if that panics, the test is over time all the same.
        Err(_) => match std::panic::catch_unwind(AssertUnwindSafe(|| drop(body))) {
            Ok(()) | Err(_) => Ended::TimedOut,
        },
    }
}

async fn explain<B: Backend>(
    backend: &B,
    clusters: &[B::Cluster],
    failure: &Failure,
) -> Explanation {
    if clusters.is_empty() {
        return Explanation::default();
    }
    let search = AssertUnwindSafe(backend.explain(clusters, failure)).catch_unwind();
    let trouble = match tokio::time::timeout(EXPLAIN_LIMIT, search).await {
        Ok(Ok(explanation)) => return explanation,
        Ok(Err(payload)) => format!("a panic: {}", report::panic_text(&*payload)),
        Err(_) => format!("not done after {} s", EXPLAIN_LIMIT.as_secs()),
    };
    Explanation {
        summary: format!("the cause could not be looked for: {trouble}"),
        bundles: Vec::new(),
    }
}

/// A runtime of its own for each test: clients die with the runtime that they were made on.
fn runtime(test: &TestInfo) -> Result<Runtime, Box<dyn Error + Send + Sync>> {
    if Handle::try_current().is_ok() {
        return Err("the test was called from a runtime; \
                    delete the other test attribute, or do not call the test as a function"
            .into());
    }
    let mut builder = match test.spec.flavor {
        Flavor::MultiThread => Builder::new_multi_thread(),
        Flavor::CurrentThread => Builder::new_current_thread(),
    };
    if let Some(threads) = test.spec.worker_threads {
        builder.worker_threads(threads);
    }
    Ok(builder.enable_all().build()?)
}

/// The test passes, as its author would have it, and the user is told past all capturing.
fn skipped<R: Outcome>(test: &TestInfo, reason: &str) -> R {
    let line = format!("SKIPPED: {} ({reason})", test.path);
    // Standard error may be closed; the test is skipped all the same.
    drop(writeln!(std::io::stderr(), "{line}"));
    match test.spec.should_panic {
        Some(expected) => panic!("{line} {expected}"),
        None => R::passed(),
    }
}
