//! The endpoint of a database, whose password nobody sees.

use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};

use super::dsn;

/// Where a database is and how to get in: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS`, and the same
/// with `mysql`, also in the form `mysql://USER:PASSWORD@tcp(HOST:PORT)/DATABASE?OPTIONS` that kine and k3s
/// have. Everything but the host may be left out; special characters are percent-encoded.
///
/// One that names no database gives every cluster one of its own, which is called after it. No cluster's end
/// deletes a database.
///
/// ```
/// use vcluster_harness::datastore::Endpoint;
///
/// let endpoint: Endpoint = "postgres://me:secret@db.test/web?sslmode=require".parse()?;
/// assert_eq!(format!("{endpoint} {endpoint:?}").matches("secret").count(), 0);
/// # Ok::<_, vcluster_harness::datastore::EndpointError>(())
/// ```
#[derive(Clone)]
pub struct Endpoint {
    pub(super) database: Database,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    /// With its port, if it has one.
    pub(super) host: String,
    pub(super) name: Option<String>,
    /// These may hold secrets, too.
    pub(super) options: Option<SecretString>,
}

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Database {
    /// `PostgreSQL`.
    Postgres,
    /// `MySQL` or `MariaDB`.
    MySql,
}

/// Text that is no endpoint. It shows what may be shown of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{shown}` is no endpoint of a database: {reason}; write `postgres://USER:PASSWORD@HOST:PORT/DATABASE` or \
     `mysql://…`, special characters percent-encoded"
)]
pub struct EndpointError {
    /// The text, without its password and options.
    pub shown: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Endpoint {
    /// What kind of database is there.
    pub fn database(&self) -> Database {
        self.database
    }

    /// The same for one cluster: with a database of its own, when none is named.
    #[must_use]
    pub(crate) fn of_cluster(&self, cluster: &str) -> Self {
        let own = || cluster.replace('-', "_");
        Self {
            name: Some(self.name.clone().unwrap_or_else(own)),
            ..self.clone()
        }
    }

    /// As kine takes it. A database that does not answer is then complained of in time: unless somebody has set
    /// a limit, drivers wait for two minutes, and their user knows nothing but that there is no API server.
    pub(crate) fn for_kine(&self) -> SecretString {
        let (name, limit) = self.database.connect_limit();
        let options = self.exposed_options().unwrap_or_default();
        let is_set = options
            .split('&')
            .any(|option| option.split('=').next() == Some(name));
        if is_set {
            return dsn::write(self).into();
        }
        let options = match options {
            "" => format!("{name}={limit}"),
            options => format!("{options}&{name}={limit}"),
        };
        let limited = Self {
            options: Some(options.into()),
            ..self.clone()
        };
        dsn::write(&limited).into()
    }

    fn secret(secret: Option<&SecretString>) -> Option<&str> {
        secret.map(ExposeSecret::expose_secret)
    }

    pub(super) fn exposed_password(&self) -> Option<&str> {
        Self::secret(self.password.as_ref())
    }

    pub(super) fn exposed_options(&self) -> Option<&str> {
        Self::secret(self.options.as_ref())
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        dsn::read(text).map_err(|reason| EndpointError {
            shown: dsn::shown(text),
            reason,
        })
    }
}

impl Database {
    /// The word before `://`.
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }

    /// The option that limits how long a connection may take, and for how long. Only that of `PostgreSQL` includes
    /// the log-in, for which a busy machine may need seconds.
    fn connect_limit(self) -> (&'static str, &'static str) {
        match self {
            Self::Postgres => ("connect_timeout", "6"),
            Self::MySql => ("timeout", "3s"),
        }
    }
}

/// Without password and options.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.database.scheme())?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        if let Some(name) = &self.name {
            write!(f, "/{name}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        dsn::write(self) == dsn::write(other)
    }
}

impl Eq for Endpoint {}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::postgres("postgres://db.test/web", "postgres://db.test/web?connect_timeout=6")]
    #[case::mysql("mysql://db.test/web", "mysql://tcp(db.test:3306)/web?timeout=3s")]
    #[case::beside_others(
        "mysql://db.test/web?readTimeout=9s",
        "mysql://tcp(db.test:3306)/web?readTimeout=9s&timeout=3s"
    )]
    #[case::set(
        "postgres://db.test/web?connect_timeout=30&sslmode=disable",
        "postgres://db.test/web?connect_timeout=30&sslmode=disable"
    )]
    fn kine_does_not_wait_for_ever(#[case] text: &str, #[case] expected: &str) {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.for_kine().expose_secret(), expected);
    }
}
