//! What the fuzzers begin with, and what they found: `fuzz/seeds`, a folder for each of them.

use std::{collections::BTreeSet, fs, path::PathBuf};

use rstest::rstest;

use crate::properties;

const FUZZERS: &[&str] = &[
    "annotations",
    "configuration",
    "identities",
    "relay_requests",
    "relay_targets",
    "stored_values",
];

fn seeds() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds"))
}

#[rstest]
#[case::annotations(properties::annotation_line, FUZZERS[0])]
#[case::configuration(properties::configuration_text, FUZZERS[1])]
#[case::identities(properties::identity_lines, FUZZERS[2])]
#[case::relay_requests(properties::relay::request_text, FUZZERS[3])]
#[case::relay_targets(properties::relay::target_text, FUZZERS[4])]
#[case::stored_values(properties::store::value, FUZZERS[5])]
fn all_of_them_hold(#[case] check: fn(&[u8]), #[case] fuzzer: &str) {
    let folder = seeds().join(fuzzer);
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    assert!(!files.is_empty());
    for file in files {
        check(&fs::read(file.path()).unwrap());
    }
}

#[test]
fn each_fuzzer_has_seeds_and_none_is_forgotten() {
    let names = |folder: PathBuf| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let names = entries.map(|entry| entry.path().file_stem().unwrap().to_owned());
        names.map(|name| name.into_string().unwrap()).collect()
    };
    let expected: BTreeSet<_> = FUZZERS.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(names(seeds()), expected);
    assert_eq!(names(seeds().join("../fuzz_targets")), expected);
}
