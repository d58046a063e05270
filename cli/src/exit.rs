//! How the program ends: one number per kind of fault, so that scripts can tell them apart.

use std::{error::Error, io, process::ExitCode};

use vcluster_harness::{
    asset,
    cluster::{self, Cause},
    engine, host,
};

/// The numbers. They do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Good = 0,
    /// None of the below.
    Unexpected = 1,
    /// The command line means nothing.
    Usage = 2,
    /// Nothing has the given name.
    NothingSelected = 4,
    /// The version that was asked for cannot be had.
    Version = 92,
    /// No host, or not a usable one.
    Host = 95,
    /// A setting means nothing.
    Configuration = 96,
    /// An image or binary cannot be had.
    Asset = 97,
    /// The machine or host is full.
    Capacity = 98,
    /// It took too long.
    TimedOut = 99,
    /// `doctor` found something.
    Findings = 100,
}

impl Exit {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 11] = [
        Self::Good,
        Self::Unexpected,
        Self::Usage,
        Self::NothingSelected,
        Self::Version,
        Self::Host,
        Self::Configuration,
        Self::Asset,
        Self::Capacity,
        Self::TimedOut,
        Self::Findings,
    ];

    /// The number.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Why a command did not do its work: the whole chain of causes, and the number to end with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) cause: anyhow::Error,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(exit: Exit, cause: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            cause: cause.into(),
        }
    }

    /// Did only the reader of our output go away?
    pub(crate) fn is_closed_output(&self) -> bool {
        let output = self.cause.downcast_ref::<io::Error>();
        output.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The command line cannot be carried out as it is.
    pub(crate) fn usage(what: &str) -> Self {
        Self::new(Exit::Usage, anyhow::anyhow!("{what}"))
    }

    /// Nothing has the name that was given.
    pub(crate) fn nothing_selected(what: &str) -> Self {
        Self::new(Exit::NothingSelected, anyhow::anyhow!("{what}"))
    }
}

impl From<host::Error> for Failure {
    fn from(error: host::Error) -> Self {
        // A host that cannot be made for want of its image is a missing image.
        let exit = cause_of::<asset::Error>(&error).map_or(Exit::Host, asset);
        Self::new(exit, error)
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Self::new(Exit::Host, error)
    }
}

impl From<asset::Error> for Failure {
    fn from(error: asset::Error) -> Self {
        Self::new(asset(&error), error)
    }
}

impl From<cluster::Error> for Failure {
    fn from(error: cluster::Error) -> Self {
        let exit = match &error.source {
            Cause::Name(_) | Cause::NoSuchStore { .. } | Cause::Replicas { .. } => Exit::Usage,
            Cause::NotFound { .. } => Exit::NothingSelected,
            Cause::Asset(error) => asset(error),
            Cause::Host(_) | Cause::Request { .. } => Exit::Host,
            Cause::NoSlice { .. } | Cause::Room(_) => Exit::Capacity,
            Cause::TimedOut { .. } => Exit::TimedOut,
            _ => Exit::Unexpected,
        };
        Self::new(exit, error)
    }
}

impl From<cluster::DeleteError> for Failure {
    fn from(error: cluster::DeleteError) -> Self {
        let exit = match error {
            cluster::DeleteError::StillThere { .. } => Exit::TimedOut,
            _ => Exit::Host,
        };
        Self::new(exit, error)
    }
}

fn asset(error: &asset::Error) -> Exit {
    match error {
        asset::Error::UnknownVersion { .. } => Exit::Version,
        _ => Exit::Asset,
    }
}

/// The first cause of this type.
fn cause_of<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_do_not_change() {
        assert_eq!(
            Exit::ALL.map(Exit::number),
            [0, 1, 2, 4, 92, 95, 96, 97, 98, 99, 100]
        );
    }
}
