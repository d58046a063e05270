//! Which annotations or labels go to the host, beside what is usual.

use serde::{Deserialize, Serialize};

use super::{error::Error, pattern};

/// Keys that are treated otherwise than usual; a `*` at the end stands for anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Keys {
    /// Those that stay in the virtual cluster.
    pub hold: Vec<String>,
    /// Those that go to the host although they usually stay; what is in `hold` as well stays.
    pub pass: Vec<String>,
}

impl Keys {
    /// Does `key` stay in the virtual cluster? `usual` are the patterns of those that do unless said
    /// otherwise.
    pub fn holds(&self, key: &str, usual: &[&str]) -> bool {
        pattern::matches_any(&self.hold, key)
            || pattern::matches_any(usual, key) && !pattern::matches_any(&self.pass, key)
    }

    pub(super) fn check(&self, [hold, pass]: [&'static str; 2]) -> Result<(), Error> {
        pattern::check(hold, &self.hold)?;
        pattern::check(pass, &self.pass)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::Sync;

    const USUAL: &[&str] = &["mesh/*"];

    fn read(annotations: &str) -> Result<Keys, Error> {
        let sync = Sync::from_yaml(&format!("sync: {{toHost: {{annotations: {annotations}}}}}"))?;
        Ok(sync.to_host.annotations)
    }

    #[rstest]
    #[case::what_is_usual("{}", "mesh/inject", true)]
    #[case::nothing_else("{}", "note", false)]
    #[case::what_is_named("{hold: [note]}", "note", true)]
    #[case::but_for_what_may_pass("{pass: [mesh/inject]}", "mesh/inject", false)]
    #[case::of_those_no_others("{pass: [mesh/inject]}", "mesh/other", true)]
    #[case::what_is_named_twice("{hold: ['mesh/*'], pass: ['*']}", "mesh/inject", true)]
    fn some_stay(#[case] keys: &str, #[case] key: &str, #[case] expected: bool) {
        assert_eq!(read(keys).unwrap().holds(key, USUAL), expected);
    }

    #[rstest]
    #[case::to_hold("{hold: ['a*b']}", "`a*b` in `annotations.hold` is no pattern")]
    #[case::to_pass("{pass: ['']}", "`` in `annotations.pass` is no pattern")]
    #[case::an_unknown_key("{holds: []}", "unknown key `holds`")]
    fn what_is_no_choice_is_refused(#[case] keys: &str, #[case] expected: &str) {
        let error = read(keys).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
