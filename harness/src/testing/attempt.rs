//! Which run of a test this is, as nextest says: a retry, or one of many in a stress run.

use crate::settings::Environment;

/// What is added to the name of a test; nothing for its first and only run. Clusters and bundles of two runs of
/// a test are told apart by it.
pub(super) fn suffix(env: &impl Environment) -> String {
    let number = |name| env.get(name)?.parse::<u64>().ok();
    // Attempts are counted from one, stress runs from zero; without a stress run it says `none`.
    let attempt = number("NEXTEST_ATTEMPT").filter(|attempt| *attempt > 1);
    let stress = number("NEXTEST_STRESS_CURRENT");
    let mut suffix = String::new();
    for (word, number) in [("stress", stress), ("attempt", attempt)] {
        if let Some(number) = number {
            suffix.extend(["-", word, "-", &number.to_string()]);
        }
    }
    suffix
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::cargo_test("", "", "")]
    #[case::the_first_attempt("1", "none", "")]
    #[case::a_retry("2", "none", "-attempt-2")]
    #[case::a_stress_run("1", "0", "-stress-0")]
    #[case::a_retry_in_a_stress_run("3", "7", "-stress-7-attempt-3")]
    #[case::nonsense("many", "some", "")]
    fn runs_of_one_test_are_told_apart(
        #[case] attempt: &str,
        #[case] stress: &str,
        #[case] expected: &str,
    ) {
        let environment = [
            ("NEXTEST_ATTEMPT", attempt),
            ("NEXTEST_STRESS_CURRENT", stress),
        ];
        assert_eq!(suffix(&environment), expected);
    }
}
