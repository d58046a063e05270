//! Other attributes, names and return types keep working.

use vcluster_harness::vcluster_test;

use crate::pretend::Cluster;

#[vcluster_test(crate = crate::pretend)]
#[should_panic(expected = "boom")]
async fn a_panic_may_be_wanted(_: Cluster) {
    panic!("boom");
}

#[should_panic(expected = "boom")]
#[vcluster_test(crate = crate::pretend)]
async fn attributes_may_stand_above() {
    panic!("boom");
}

#[vcluster_test(crate = crate::pretend)]
#[ignore = "shows that it is not run"]
async fn an_ignored_test_is_not_run() {
    panic!("not reached");
}

#[vcluster_test(crate = crate::pretend)]
#[cfg(false)]
async fn what_is_not_for_this_platform_is_not_there(_: NoSuchType) {}

#[cfg(false)]
#[vcluster_test(crate = crate::pretend)]
async fn nor_when_the_condition_stands_above(_: NoSuchType) {}

#[vcluster_test(crate = crate::pretend)]
#[cfg_attr(true, should_panic(expected = "boom"))]
async fn a_conditional_panic_is_wanted() {
    panic!("boom");
}

/// A doc comment.
#[vcluster_test(crate = crate::pretend)]
#[expect(
    unused_variables,
    reason = "shows that the expectation reaches the body"
)]
async fn lints_are_as_the_author_says(cluster: Cluster) {}

#[vcluster_test(crate = crate::pretend)]
async fn an_error_may_be_returned() -> anyhow::Result<()> {
    let number: u32 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}

#[vcluster_test(crate = crate::pretend)]
async fn an_exit_code_may_be_returned() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}

#[vcluster_test(crate = crate::pretend)]
async fn given() {}

#[vcluster_test(crate = crate::pretend)]
async fn r#type(_: Cluster) {}

/// The expansion names nothing that a module may call differently.
mod shadows {
    use vcluster_harness::vcluster_test;

    use crate::pretend::Cluster as Given;

    mod core {}
    mod std {}
    #[expect(dead_code, reason = "only there to be in the way")]
    enum Result {
        Ok,
        Err,
    }

    #[vcluster_test(crate = crate::pretend, timeout = "250ms", keep = "never")]
    #[should_panic(expected = "boom")]
    async fn names_of_the_prelude_may_be_taken(_: Given) {
        panic!("boom");
    }
}

/// A literal and a type may come from a `macro_rules`.
mod made {
    macro_rules! test {
        ($name:ident, $version:literal, $kind:ty) => {
            #[vcluster_harness::vcluster_test(crate = crate::pretend, version = $version)]
            async fn $name(_: $kind) {}
        };
    }

    test!(by_a_macro, "1.34", crate::pretend::Cluster);
}
