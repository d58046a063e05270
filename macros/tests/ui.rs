//! Every message of the attribute, as a user sees it.

/// Checked on the pinned toolchain: other compilers word their part of the output differently.
/// `TRYBUILD=overwrite cargo test -p vcluster-macros --test ui` writes the expectations anew.
#[test]
fn every_wrong_use_has_a_clear_message() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
