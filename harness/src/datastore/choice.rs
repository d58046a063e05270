//! The stores there are, and the words for them.

use std::fmt;

use super::{Endpoint, EndpointError};

/// Where a control plane keeps its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datastore {
    /// etcd in the control plane's pod. Its data is in memory and ends with the pod.
    Etcd,
    /// kine with `SQLite` in the control plane's pod. Its data is in memory and ends with the pod.
    Kine,
    /// A database outside, through kine in the pod. Its data stays, also when the cluster is deleted.
    External(Endpoint),
}

/// A [`Datastore`] without what only one cluster knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatastoreKind {
    /// [`Datastore::Etcd`].
    Etcd,
    /// [`Datastore::Kine`].
    Kine,
    /// [`Datastore::External`].
    External,
}

/// Words that name no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatastoreError {
    /// There is no such store.
    #[error("there is no store `{text}` (known: `etcd`, `kine`, `env:NAME`)")]
    Unknown {
        /// What was asked for.
        text: String,
    },
    /// An endpoint stands where others read it.
    #[error(
        "an endpoint holds a password: put it into an environment variable and write `env:NAME`"
    )]
    Written,
    /// There is no such variable.
    #[error(
        "the environment variable `{variable}` is not set; it is to hold the endpoint of a database"
    )]
    Unset {
        /// The variable.
        variable: String,
    },
    /// The variable holds something else.
    #[error("the environment variable `{variable}` does not hold the endpoint of a database")]
    Endpoint {
        /// The variable.
        variable: String,
        /// Why.
        source: EndpointError,
    },
}

const ENVIRONMENT: &str = "env:";

impl Datastore {
    /// Reads `etcd`, `kine`, or `env:NAME` for a database whose endpoint is in the variable `NAME`: so
    /// that no password stands in a source file or on a command line.
    ///
    /// # Errors
    /// The words name no store, or the variable holds no endpoint.
    pub fn named(
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, DatastoreError> {
        if let Some(variable) = text.strip_prefix(ENVIRONMENT) {
            let variable = variable.to_owned();
            let Some(endpoint) = environment(&variable) else {
                return Err(DatastoreError::Unset { variable });
            };
            return match endpoint.trim().parse() {
                Ok(endpoint) => Ok(Self::External(endpoint)),
                Err(source) => Err(DatastoreError::Endpoint { variable, source }),
            };
        }
        match text {
            "etcd" => Ok(Self::Etcd),
            "kine" => Ok(Self::Kine),
            text if text.contains("://") => Err(DatastoreError::Written),
            text => Err(DatastoreError::Unknown {
                text: text.to_owned(),
            }),
        }
    }

    /// What it is, without where.
    pub fn kind(&self) -> DatastoreKind {
        match self {
            Self::Etcd => DatastoreKind::Etcd,
            Self::Kine => DatastoreKind::Kine,
            Self::External(_) => DatastoreKind::External,
        }
    }
}

impl From<Endpoint> for Datastore {
    fn from(endpoint: Endpoint) -> Self {
        Self::External(endpoint)
    }
}

impl fmt::Display for DatastoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Etcd => "etcd",
            Self::Kine => "kine",
            Self::External => "an external database",
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "DATABASE_URL" => "postgres://me:secret@db.test/web",
            "BROKEN" => "postgres://me:secret@",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn named(text: &str) -> Result<Datastore, DatastoreError> {
        Datastore::named(text, environment)
    }

    #[test]
    fn a_store_has_one_word() {
        assert_eq!(named("etcd"), Ok(Datastore::Etcd));
        assert_eq!(named("kine"), Ok(Datastore::Kine));
        let Ok(Datastore::External(endpoint)) = named("env:DATABASE_URL") else {
            panic!("an endpoint is in the variable");
        };
        assert_eq!(endpoint.to_string(), "postgres://me@db.test/web");
    }

    #[rstest]
    #[case::unknown(
        "sqlite",
        "there is no store `sqlite` (known: `etcd`, `kine`, `env:NAME`)"
    )]
    #[case::unset("env:NOTHING", "the environment variable `NOTHING` is not set")]
    #[case::written("postgres://me:secret@db.test/web", "write `env:NAME`")]
    #[case::broken("env:BROKEN", "the environment variable `BROKEN` does not hold")]
    fn other_words_are_refused(#[case] text: &str, #[case] expected: &str) {
        let error = named(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}
