//! What a test leaves in the time line of its run.

use vcluster_harness::{
    diagnostics::Artifacts,
    settings::Settings,
    testing::{self, Need::NewCluster, TestSpec},
    timeline::{self, Ending, Event, Kind, Timeline},
};

use crate::pretend::Pretend;

#[test]
fn each_part_of_a_test_is_in_the_time_line_of_its_run() {
    let root = tempfile::tempdir().unwrap();
    let environment = [("VCLUSTER_TEST_ARTIFACTS", root.path().to_str().unwrap())];
    let settings = Settings::from_environment(&environment).unwrap();
    timeline::start(&Artifacts::new(&settings));
    let spec = TestSpec::new("events", "timed");
    testing::run_on(&Pretend::default(), spec, &[NewCluster], async |_| {
        timeline::record(Event::mark(Kind::Pool, "hit").cluster("vc-1"));
        Ok(async {})
    });
    // Other tests of this program write there as well.
    let events = Timeline::read(&root.path().join("latest")).unwrap().events;
    let mut parts: Vec<(Kind, &str, Option<Ending>)> = events
        .iter()
        .filter(|event| event.test.as_deref() == Some("events timed"))
        .map(|event| (event.kind, event.name.as_str(), event.outcome))
        .collect();
    parts.sort_by_key(|(kind, name, _)| (*kind, *name));
    let good = Some(Ending::Passed);
    assert_eq!(
        parts,
        [
            (Kind::Test, "begin", None),
            (Kind::Test, "end", good),
            (Kind::Pool, "hit", None),
            (Kind::Arguments, "arguments", good),
            (Kind::Body, "body", good),
            (Kind::CleanUp, "clean-up", good),
        ]
    );
}
