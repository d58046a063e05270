//! What happens in which order, however a test ends.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    rc::Rc,
    time::Duration,
};

use rstest::rstest;
use vcluster_harness::{
    settings::Keep,
    testing::{
        self, ArgumentError, Need,
        Need::{NewCluster, TheCluster},
        Outcome, Slot, TestSpec,
    },
};

use crate::pretend::{Client, Cluster, Fault, Pretend};

const SPEC: TestSpec = TestSpec::new("events", "test");

/// Runs a body on one cluster; `Err` is the text of the panic.
fn run<R: Outcome>(
    backend: &Pretend,
    spec: TestSpec,
    body: impl AsyncFnOnce() -> R,
) -> Result<R, String> {
    run_on(backend, spec, &[NewCluster], body)
}

fn run_on<R: Outcome>(
    backend: &Pretend,
    spec: TestSpec,
    needs: &[Need],
    body: impl AsyncFnOnce() -> R,
) -> Result<R, String> {
    let run = || {
        testing::run_on(backend, spec, needs, async |_| {
            Ok(async {
                backend.note("body");
                body().await
            })
        })
    };
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| text(&*payload))
}

/// A call and not the macro: the body of a test is a unit, not a never.
fn boom() {
    panic!("boom");
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    })
    .unwrap_or_else(|| "not a text".to_owned())
}

#[test]
fn a_test_that_passes_is_cleaned_up() {
    let backend = Pretend::default();
    run(&backend, SPEC, async || ()).unwrap();
    assert_eq!(backend.events(), ["start 0", "body", "stop 0"]);
}

#[test]
fn an_error_is_explained_and_returned_as_it_is() {
    let backend = Pretend::default();
    let result = run(&backend, SPEC, async || {
        Err::<(), _>(std::io::Error::from_raw_os_error(98))
    });
    assert_eq!(result.unwrap().unwrap_err().raw_os_error(), Some(98));
    let events = backend.events();
    assert!(
        events[2].starts_with("explain 1 because the test returned an error"),
        "{events:?}"
    );
    assert_eq!(events[3..], ["stop 0"]);
}

#[test]
fn a_panic_is_explained_and_goes_on_with_its_own_payload() {
    #[derive(Debug, PartialEq)]
    struct Payload(u32);
    fn explode() {
        panic_any(Payload(7));
    }

    let backend = Pretend::default();
    let run = || {
        testing::run_on(&backend, SPEC, &[NewCluster], async |_| {
            Ok(async { explode() })
        });
    };
    let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&Payload(7)));
    let events = backend.events();
    assert_eq!(
        events,
        [
            "start 0",
            "explain 1 because the test panicked: a panic without a text",
            "stop 0"
        ]
    );
}

#[test]
fn a_test_that_does_not_end_is_ended() {
    let backend = Pretend::default();
    let spec = SPEC.timeout(Duration::from_millis(20));
    let error = run(&backend, spec, async || std::future::pending::<()>().await).unwrap_err();
    assert!(
        error.starts_with("the test was still running after 20ms, its timeout"),
        "{error}"
    );
    let expected = "explain 1 because the test was still running after 20ms, its timeout";
    assert_eq!(backend.events(), ["start 0", "body", expected, "stop 0"]);
}

#[test]
fn what_panics_when_it_is_dropped_at_the_limit_is_cleaned_up_after() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let backend = Pretend::default();
    let spec = SPEC.timeout(Duration::from_millis(20));
    let error = run(&backend, spec, async || {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    });
    assert!(error.unwrap_err().starts_with("the test was still running"));
    assert_eq!(backend.events().last().unwrap(), "stop 0");
}

#[rstest]
#[case::any_panic("", "stop 0")]
#[case::the_text_it_wants("oo", "stop 0")]
#[case::another_text("bang", "keep 0")]
fn a_wanted_panic_is_no_failure(#[case] expected: &'static str, #[case] end: &str) {
    let backend = Pretend::default();
    let spec = SPEC.keep(Keep::OnFailure).should_panic(expected);
    let error = run(&backend, spec, async || boom()).unwrap_err();
    assert_eq!(error, "boom");
    assert_eq!(backend.events().last().unwrap(), end);
    assert_eq!(backend.events().len(), if end == "stop 0" { 3 } else { 4 });
}

#[test]
fn a_panic_that_does_not_come_is_a_failure() {
    let backend = Pretend::default();
    let spec = SPEC.keep(Keep::OnFailure).should_panic("");
    run(&backend, spec, async || ()).unwrap();
    let expected = [
        "start 0",
        "body",
        "explain 1 because the test did not panic",
        "keep 0",
    ];
    assert_eq!(backend.events(), expected);
}

#[test]
fn a_start_that_fails_is_no_failure_of_the_test() {
    let backend = Pretend::default().fault(Fault::Start(0));
    let error = run(&backend, SPEC, async || ()).unwrap_err();
    let expected = "vcluster set-up failed: could not start\n  because: engine not reachable\n";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.contains("why: the engine is stopped"), "{error}");
    assert_eq!(backend.events(), ["start 0"]);
}

#[rstest]
#[case::fails(Fault::Start(1))]
#[case::panics(Fault::StartPanics(1))]
fn the_cluster_that_did_start_is_stopped(#[case] fault: Fault) {
    let backend = Pretend::default().fault(fault);
    let error = run_on(&backend, SPEC, &[NewCluster, NewCluster], async || ()).unwrap_err();
    assert!(error.starts_with("vcluster set-up failed: "), "{error}");
    assert_eq!(backend.events().last().unwrap(), "stop 0");
}

#[test]
fn two_clusters_start_side_by_side() {
    let backend = Pretend::default().fault(Fault::StartAlone);
    run_on(&backend, SPEC, &[NewCluster, NewCluster], async || ()).unwrap();
    assert_eq!(
        backend.events(),
        ["start 0", "start 1", "body", "stop 0", "stop 1"]
    );
}

/// Its panic would be taken for the wanted one: a test would pass without its cluster.
#[rstest]
#[case::set_up(Pretend::default().fault(Fault::Start(0)))]
#[case::clean_up_in_ci(Pretend::with(&[("CI", "true")]).fault(Fault::Stop))]
fn trouble_of_ours_is_never_the_wanted_panic(#[case] backend: Pretend) {
    let result = run(&backend, SPEC.should_panic(""), async || boom());
    assert_eq!(result, Ok(()), "libtest fails it, because it did not panic");
}

#[test]
fn time_running_out_is_never_the_wanted_panic() {
    let spec = SPEC.should_panic("").timeout(Duration::from_millis(20));
    let result = run(&Pretend::default(), spec, async || {
        std::future::pending::<()>().await;
    });
    assert_eq!(result, Ok(()));
}

#[rstest]
#[case::elsewhere(Pretend::default(), Ok(()))]
#[case::in_ci(Pretend::with(&[("CI", "true")]), Err("vcluster clean-up failed: host not reachable"))]
fn a_failed_clean_up_fails_a_passing_test_in_ci(
    #[case] backend: Pretend,
    #[case] expected: Result<(), &str>,
) {
    let result = run(&backend.fault(Fault::Stop), SPEC, async || ());
    assert_eq!(result, expected.map_err(str::to_owned));
}

#[test]
fn a_failed_clean_up_does_not_hide_the_failure() {
    let backend = Pretend::with(&[("CI", "true")]).fault(Fault::Stop);
    let error = run(&backend, SPEC, async || boom()).unwrap_err();
    assert_eq!(error, "boom");
}

#[test]
fn a_clean_up_that_hangs_is_given_up() {
    let backend = Pretend::with(&[("CI", "true")])
        .fault(Fault::StopHangs)
        .stop_timeout(Duration::from_millis(20));
    let error = run(&backend, SPEC, async || ()).unwrap_err();
    assert_eq!(error, "vcluster clean-up failed: not done after 20ms");
}

#[test]
fn a_bug_in_the_search_for_the_cause_is_no_reason_to_leave_a_cluster() {
    let backend = Pretend::default().fault(Fault::Explain);
    let error = run(&backend, SPEC, async || boom()).unwrap_err();
    assert_eq!(error, "boom");
    assert_eq!(backend.events().last().unwrap(), "stop 0");
}

#[rstest]
#[case::never("never", "stop 0", "stop 0")]
#[case::failed("failed", "stop 0", "keep 0")]
#[case::always("always", "keep 0", "keep 0")]
fn a_cluster_is_kept_as_the_environment_says(
    #[case] policy: &str,
    #[case] passed: &str,
    #[case] failed: &str,
) {
    let spec = SPEC.keep(Keep::OnFailure);
    let backend = Pretend::with(&[("VCLUSTER_TEST_KEEP", policy)]);
    run(&backend, spec.clone(), async || ()).unwrap();
    assert_eq!(backend.events().last().unwrap(), passed);
    let backend = Pretend::with(&[("VCLUSTER_TEST_KEEP", policy)]);
    run(&backend, spec, async || boom()).unwrap_err();
    assert_eq!(backend.events().last().unwrap(), failed);
}

#[test]
fn an_argument_that_cannot_be_made_is_a_set_up_failure() {
    let backend = Pretend::default();
    let run = || {
        testing::run_on(&backend, SPEC, &[NewCluster], async |_| {
            Err::<std::future::Ready<()>, ArgumentError>("no such image".into())
        });
    };
    let error = text(&*catch_unwind(AssertUnwindSafe(run)).unwrap_err());
    let expected = "vcluster set-up failed: could not make the arguments\n  because: no such image";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(backend.events().last().unwrap(), "stop 0");
}

#[test]
fn an_argument_that_hangs_is_given_up() {
    let backend = Pretend::default().start_timeout(Duration::from_millis(20));
    let run = || {
        testing::run_on(&backend, SPEC, &[NewCluster], async |_| {
            std::future::pending::<Result<std::future::Ready<()>, ArgumentError>>().await
        });
    };
    let error = text(&*catch_unwind(AssertUnwindSafe(run)).unwrap_err());
    assert!(error.contains("because: not done after 20ms"), "{error}");
    assert_eq!(backend.events().last().unwrap(), "stop 0");
}

#[test]
fn a_body_may_borrow_and_need_not_be_sent() {
    let backend = Pretend::default();
    let local = "on the stack".to_owned();
    let length = run(&backend, SPEC, async || {
        let counted = Rc::new(local.as_str());
        tokio::task::yield_now().await;
        assert_eq!(counted.len(), 12);
    });
    length.unwrap();
}

#[test]
fn a_skipped_test_passes_without_a_cluster() {
    let backend = Pretend::with(&[("VCLUSTER_TEST_SKIP", "1")]);
    run(&backend, SPEC, async || boom()).unwrap();
    let wanted = run(&backend, SPEC.should_panic("boom"), async || ()).unwrap_err();
    assert!(
        wanted.contains("boom"),
        "passes, because it panics as wanted"
    );
    assert!(backend.events().is_empty());
}

#[test]
fn required_tests_are_not_skipped() {
    let backend = Pretend::with(&[("VCLUSTER_TEST_SKIP", "1"), ("VCLUSTER_TEST_REQUIRE", "1")]);
    run(&backend, SPEC, async || ()).unwrap();
    assert_eq!(backend.events(), ["start 0", "body", "stop 0"]);
}

#[test]
fn the_running_test_is_found_from_within_only() {
    let backend = Pretend::default();
    run(&backend, SPEC, async || {
        let current = testing::current::<Cluster>().unwrap();
        assert_eq!(
            (current.clusters, current.test.path.as_str()),
            (vec![Cluster(0)], "test")
        );
        let elsewhere = tokio::spawn(async { testing::current::<Cluster>().is_none() });
        assert!(elsewhere.await.unwrap());
    })
    .unwrap();
    assert!(testing::current::<Cluster>().is_none());
}

#[test]
fn a_test_called_from_a_runtime_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error =
        runtime.block_on(async { run(&Pretend::default(), SPEC, async || ()).unwrap_err() });
    assert!(
        error.contains("the test was called from a runtime"),
        "{error}"
    );
}

#[test]
fn arguments_come_from_their_clusters() {
    let backend = Pretend::default();
    let (cluster, client) = (Slot::<Cluster, _>::new(), Slot::<Client, _>::new());
    let needs = [cluster.need(), cluster.need(), client.need()];
    assert_eq!(needs, [NewCluster, NewCluster, TheCluster]);
    testing::run_on(&backend, SPEC, &needs, async |given| {
        let (left, right) = (given.next(&cluster).await?, given.next(&cluster).await?);
        let client = given.next(&client).await?;
        Ok(async move {
            assert_eq!((left, right), (Cluster(0), Cluster(1)));
            assert_eq!(client.cluster, 1);
        })
    });
}

/// A test of many steps is a large future, and the thread of a test has two megabytes.
#[test]
#[expect(clippy::large_stack_arrays, reason = "it stands for many steps")]
fn a_large_body_has_room() {
    testing::run_on(&Pretend::default(), SPEC, &[NewCluster], async |_| {
        Ok(async {
            let kept = [7_u8; 200_000];
            tokio::task::yield_now().await;
            assert_eq!(kept[kept.len() - 1], 7);
        })
    });
}
