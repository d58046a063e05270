//! What the compiler says where the attribute itself cannot know: types of arguments and of results.

/// The files call what the attribute writes: tests themselves are not compiled here. Checked on the pinned
/// toolchain: other compilers word their part of the output differently.
/// `TRYBUILD=overwrite cargo test -p vcluster-harness --test ui` writes the expectations anew.
#[test]
fn types_that_a_test_cannot_have_are_shown_where_they_stand() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
