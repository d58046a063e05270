//! Puts off the expiry of clusters whose test still runs, for a debugger may hold it for a day.
//!
//! Only other machines go by the expiry: here the lease says that the owner lives.

use std::{thread, time::Duration};

use jiff::SignedDuration;
use kube::{Client, config::Kubeconfig};
use tracing::{debug, warn};

use super::delete;
use crate::{
    host,
    owner::{self, clock, key},
};

/// How long a cluster may outlive a process of which nobody can say whether it lives.
pub(crate) const TIED_FOR: SignedDuration = SignedDuration::from_hours(2);

/// Often enough to miss one.
const EVERY: Duration = Duration::from_mins(30);

/// Renews in the background for as long as this process waits for the lease.
pub(super) fn start(session: String, kubeconfig: Kubeconfig) {
    let renewer = thread::Builder::new()
        .name("renew".to_owned())
        .spawn(move || {
            loop {
                thread::sleep(EVERY);
                once(&session, &kubeconfig);
            }
        });
    if let Err(error) = renewer {
        warn!(%error, "expiries are not put off");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn once(session: &str, kubeconfig: &Kubeconfig) {
    match host::client(kubeconfig, "of the session").await {
        Ok(host) => renew(&host, session).await,
        Err(error) => warn!(%error, "the host cannot be reached to put off an expiry"),
    }
}

/// Puts off the expiry of all clusters of a session. One that has just been kept is no longer the
/// session's, and stays as it is.
pub(super) async fn renew(host: &Client, session: &str) {
    let selector = format!("{}={session}", key::SESSION);
    let found = match delete::list(host, &selector).await {
        Ok(found) => found,
        Err(error) => {
            warn!(%error, "no expiry is put off");
            return;
        }
    };
    let until = clock::host_now(host).await.saturating_add(TIED_FOR);
    let Ok(until) = until else { return };
    for namespace in found {
        let changed = owner::change(host, &namespace, |mut owner| {
            owner.expires_at = owner.expires_at.map(|_| until);
            owner
        });
        if let Err(error) = changed.await {
            debug!(%error, "an expiry is not put off");
        }
    }
}
