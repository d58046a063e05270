//! The steps in which a store is put back while other things are done on the host.

use std::str::FromStr;

/// A step, by the name that the program is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Puts everything back until the store is once what it was. Who answers to that later is left to the next step.
    Reset,
    /// Takes away what came since, until the store is what it was and still is when everybody has had time to answer.
    Tidy,
}

/// A word that names no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no step `{0}`; there are `reset` and `tidy`")]
pub struct UnknownStep(String);

impl Step {
    /// What the program is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Tidy => "tidy",
        }
    }

    /// How many readings in a row must agree with the saved state.
    #[cfg(feature = "program")]
    pub(super) fn agreements(self) -> usize {
        match self {
            Self::Reset => 1,
            Self::Tidy => 2,
        }
    }
}

impl FromStr for Step {
    type Err = UnknownStep;

    fn from_str(name: &str) -> Result<Self, UnknownStep> {
        [Self::Reset, Self::Tidy]
            .into_iter()
            .find(|step| step.name() == name)
            .ok_or_else(|| UnknownStep(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_known_by_its_name() {
        for step in [Step::Reset, Step::Tidy] {
            assert_eq!(step.name().parse(), Ok(step));
        }
        let error = "Reset".parse::<Step>().unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no step `Reset`; there are `reset` and `tidy`"
        );
    }
}
