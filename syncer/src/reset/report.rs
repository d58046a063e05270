//! What the program says about a reset to whoever called it.

use serde::{Deserialize, Serialize};

/// The exit code of a program that could not bring the store back to its saved state.
pub const DIFFERS: u8 = 3;

/// How it went. It names keys, never values, which may be secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many keys the saved state has.
    pub keys: usize,
    /// How often the store was read.
    pub readings: usize,
    /// How many keys were written.
    pub written: usize,
    /// How many keys were deleted.
    pub deleted: usize,
    /// How long it took.
    pub milliseconds: u64,
    /// The keys that differ from the saved state still; none when it went well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// How many names a message tells.
const TOLD: usize = 5;

/// The first of the names, and how many more there are.
pub fn told(names: &[String]) -> String {
    let (first, more) = names.split_at(names.len().min(TOLD));
    let first = first.join(", ");
    if more.is_empty() {
        first
    } else {
        format!("{first} and {} more", more.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_some_names_and_how_many_more() {
        let names = |count: usize| (1..=count).map(|n| format!("k{n}")).collect::<Vec<_>>();
        assert_eq!(told(&names(0)), "");
        assert_eq!(told(&names(5)), "k1, k2, k3, k4, k5");
        assert_eq!(told(&names(7)), "k1, k2, k3, k4, k5 and 2 more");
    }
}
