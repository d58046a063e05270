//! One client for all that ask on the same runtime: each new one is a connection, whose handshake costs both sides more
//! than most requests.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use kube::Client;
use tokio::runtime::{Handle, Id};

/// A client that is made where it is first asked for, and again on another runtime: it ends with the one that it was
/// made on.
#[derive(Default)]
pub(crate) struct SharedClient {
    last: Mutex<Option<(Id, Client)>>,
}

impl SharedClient {
    /// The client of the current runtime, which `make` makes if there is none.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn get<E>(&self, make: impl FnOnce() -> Result<Client, E>) -> Result<Client, E> {
        let runtime = Handle::current().id();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = &*last
            && *of == runtime
        {
            return Ok(client.clone());
        }
        let client = make()?;
        *last = Some((runtime, client.clone()));
        Ok(client)
    }
}

impl fmt::Debug for SharedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedClient").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use kube::Config;
    use tokio::runtime::Builder;

    use super::*;
    use crate::host::install_provider;

    #[test]
    fn each_runtime_has_one_client() {
        install_provider();
        let (shared, made) = (SharedClient::default(), Cell::new(0));
        let ask = || {
            shared.get(|| {
                made.set(made.get() + 1);
                Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap()))
            })
        };
        for expected in [1, 2] {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                ask().unwrap();
                ask().unwrap();
            });
            assert_eq!(made.get(), expected);
        }
    }
}
