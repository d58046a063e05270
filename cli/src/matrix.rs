//! The cells of matrices, read from the names of tests: `works_everywhere::k3s_1_34` is one. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use vcluster_harness::{distro, version::VersionRequest};

/// One cell, and the tests that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cell {
    /// Its name, which is the last part of its tests' names.
    pub(crate) name: String,
    /// Its distro; absent where the matrix does not vary it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) distro: Option<String>,
    /// Its version, as a test author writes it; absent where the matrix does not vary it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// The tests, without their crates.
    pub(crate) tests: Vec<String>,
}

/// The cells among what `cargo test -- --list --format terse` printed, by name.
pub(crate) fn cells(listing: &str) -> Vec<Cell> {
    let mut cells = BTreeMap::new();
    for test in listing
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
    {
        let Some((_, name)) = test.rsplit_once("::") else {
            continue;
        };
        let Some((distro, version)) = meaning(name) else {
            continue;
        };
        let cell = cells.entry(name.to_owned()).or_insert_with(|| Cell {
            name: name.to_owned(),
            distro,
            version,
            tests: Vec::new(),
        });
        cell.tests.push(test.to_owned());
    }
    cells.into_values().collect()
}

/// The lines of a listing but for those of ignored tests. Two programs may have a test of one name, so each line of
/// `ignored` takes one away.
pub(crate) fn without(listing: &str, ignored: &str) -> String {
    let mut ignored: Vec<_> = ignored.lines().collect();
    let runs = |line: &&str| {
        let position = ignored.iter().position(|found| found == line);
        position
            .map(|position| ignored.swap_remove(position))
            .is_none()
    };
    let runs: Vec<_> = listing.lines().filter(runs).collect();
    runs.join("\n")
}

/// The distro and the version that a cell of this name has; none when it is the name of no cell.
fn meaning(name: &str) -> Option<(Option<String>, Option<String>)> {
    for distro in distro::all().iter().map(|distro| distro.name()) {
        let Some(rest) = name.strip_prefix(distro) else {
            continue;
        };
        let version = match rest.strip_prefix('_') {
            Some(words) => Some(version(words)?),
            None if rest.is_empty() => None,
            None => continue,
        };
        return Some((Some(distro.to_owned()), version));
    }
    // Alone, a version of numbers has a letter in front, or it were no name.
    let words = match name.strip_prefix('v') {
        Some(numbers) if numbers.starts_with(|first: char| first.is_ascii_digit()) => numbers,
        _ if name.starts_with(|first: char| first.is_ascii_digit()) => return None,
        _ => name,
    };
    Some((None, Some(version(words)?)))
}

/// `1_34` is the version 1.34, `latest_1` is `latest-1`.
fn version(words: &str) -> Option<String> {
    let separator = if words.starts_with("latest") {
        "-"
    } else {
        "."
    };
    let text = words.replace('_', separator);
    text.parse::<VersionRequest>().is_ok().then_some(text)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::both("k3s_1_34", Some((Some("k3s"), Some("1.34"))))]
    #[case::exact("k8s_1_34_2", Some((Some("k8s"), Some("1.34.2"))))]
    #[case::a_word("k0s_latest_1", Some((Some("k0s"), Some("latest-1"))))]
    #[case::a_distro("k0s", Some((Some("k0s"), None)))]
    #[case::a_version("v1_34", Some((None, Some("1.34"))))]
    #[case::oldest("oldest", Some((None, Some("oldest"))))]
    #[case::another_test("k3s_stand_in_runs_a_pod", None)]
    #[case::another_case("case_1_34", None)]
    #[case::a_longer_word("k8smaller", None)]
    #[case::nothing_in_front("1_34", None)]
    fn a_name_means_a_cell(
        #[case] name: &str,
        #[case] expected: Option<(Option<&str>, Option<&str>)>,
    ) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let expected = expected.map(|(distro, version)| (owned(distro), owned(version)));
        assert_eq!(meaning(name), expected);
    }

    #[test]
    fn an_ignored_test_is_taken_away_once() {
        let listing = "one::k8s_1_33: test\none::k8s_1_34: test\none::k8s_1_34: test\n";
        let left = without(listing, "one::k8s_1_34: test\n");
        assert_eq!(left, "one::k8s_1_33: test\none::k8s_1_34: test");
        assert_eq!(without(listing, listing), "");
    }

    #[test]
    fn cells_of_all_programs_are_put_together() {
        let listing = "\
operator::works_everywhere::k3s_1_34: test
operator::works_everywhere::k8s_1_34: test
operator::starts: test
k8s: test
src/lib.rs - testing::run (line 3): test

upgrades::case_1_small::k3s_1_34: test
speed::k3s_1_34: benchmark
";
        let cells = cells(listing);
        let found: Vec<_> = cells
            .iter()
            .map(|cell| (cell.name.as_str(), cell.tests.len()))
            .collect();
        assert_eq!(found, [("k3s_1_34", 2), ("k8s_1_34", 1)]);
    }
}
