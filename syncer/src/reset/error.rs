//! Why a store could not be saved or put back.

use std::{io, path::PathBuf, time::Duration};

use super::told;

/// A store that could not be saved or put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint is no address.
    #[error(
        "`{endpoint}` is no address of a store; expected such as http://127.0.0.1:2379 or unix:/run/kine.sock"
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// A file that a store with certificates needs.
    #[error("{} is of no use for a store with certificates", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificates or the key that a store wants.
    #[error("the certificates for the store cannot be used")]
    Credentials(#[source] rustls::Error),
    /// The store refused, or was not reached.
    #[error("could not {action} the store at {endpoint}")]
    Store {
        /// `read` or `write to`.
        action: &'static str,
        /// Which store.
        endpoint: String,
        /// What it said.
        source: Box<tonic::Status>,
    },
    /// A key that no API server writes.
    #[error("the store has the key {key:?}, which is no text")]
    Key {
        /// The key, with what is no text replaced.
        key: String,
    },
    /// The store did not answer in time.
    #[error("the store did not answer within {:.1} s", limit.as_secs_f64())]
    Silent {
        /// The time it had.
        limit: Duration,
    },
    /// The store takes more than it is worth.
    #[error("the store has grown to {} MB, and those of more than {} MB are not put back", size >> 20, largest >> 20)]
    Grown {
        /// How many bytes it takes.
        size: u64,
        /// How many it may take.
        largest: u64,
    },
    /// The store did not come to rest, so there is no state to save.
    #[error("the store did not come to rest within {:.1} s; still changing: {}", limit.as_secs_f64(), told(keys))]
    Restless {
        /// The time it had.
        limit: Duration,
        /// The keys that changed between the last two readings.
        keys: Vec<String>,
    },
    /// The state has what cannot be brought back.
    #[error(
        "the state cannot be saved with the service account token in {}, since a reset ends it; delete it, or use a token of limited life",
        told(keys)
    )]
    LastingToken {
        /// The keys of the secrets.
        keys: Vec<String>,
    },
    /// The store is not what it was.
    #[error("the store differs from its saved state after {:.1} s in {} of its keys: {}", limit.as_secs_f64(), keys.len(), told(keys))]
    Differs {
        /// The time it had.
        limit: Duration,
        /// The keys.
        keys: Vec<String>,
    },
    /// The file of the saved state.
    #[error("could not {action} the saved state {}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The file of the saved state is something else.
    #[error("{} is no saved state", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: prost::DecodeError,
    },
}
