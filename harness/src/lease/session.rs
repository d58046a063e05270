//! What one test process is to one host: an id, a lease and a reaper that watches it.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use kube::config::Kubeconfig;
use tokio::sync::OnceCell;
use tracing::debug;

use super::file::{self, Lease, Runs};
use crate::{
    host::{
        HostCluster,
        idle::{self, Idle},
    },
    owner::{Owner, Place, Process, clock},
    reaper::{self, Restart},
    settings::{HostChoice, Keep, Settings},
};

/// How long a cluster stays that was asked to be kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(4);

/// What a session needs to know of its host. The reaper gets its own copy of the kubeconfig.
#[derive(Clone, Copy)]
pub struct HostAccess<'a> {
    /// The host's name: one session per process and name.
    pub name: &'a str,
    /// How to reach it.
    pub kubeconfig: &'a Kubeconfig,
    /// A client on the current runtime, to ask for the time.
    pub client: &'a kube::Client,
}

impl<'a> HostAccess<'a> {
    /// What a host that is up says of itself.
    pub fn new(host: &'a HostCluster, client: &'a kube::Client) -> Self {
        Self {
            name: host.name(),
            kubeconfig: host.kubeconfig(),
            client,
        }
    }
}

impl fmt::Debug for HostAccess<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostAccess")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One test process on one host. It ends with the process.
#[derive(Debug)]
pub struct Session {
    id: String,
    place: Place,
    process: Process,
    user: String,
    /// The host's clock less ours.
    clock: SignedDuration,
    lease: Lease,
    reaper: Option<reaper::Running>,
}

/// A session that could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Its lease.
    #[error("could not take a lease for this test process")]
    Lease(#[from] file::Error),
    /// The reaper.
    #[error(
        "could not start the reaper, which cleans up when a test is killed; set VCLUSTER_TEST_REAPER=0 to do without"
    )]
    Reaper(#[from] reaper::SpawnError),
    /// The blocking part was cancelled because the runtime ends.
    #[error("the runtime ended while the session began")]
    RuntimeEnded,
}

type Sessions = Mutex<BTreeMap<String, Arc<OnceCell<Arc<Session>>>>>;

/// Sessions of this process by host. They hold no client: clients belong to the runtimes of tests.
static SESSIONS: Sessions = Mutex::new(BTreeMap::new());

impl Session {
    /// The session of this process on that host; begins it at the first call and starts its reaper.
    /// `restart` says how this program becomes a reaper when it is run again.
    ///
    /// # Errors
    /// The lease cannot be taken, or the reaper does not start.
    pub async fn for_process(
        settings: &Settings,
        host: HostAccess<'_>,
        restart: &Restart,
    ) -> Result<Arc<Self>, SessionError> {
        let cell = Arc::clone(
            SESSIONS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(host.name.to_owned())
                .or_default(),
        );
        cell.get_or_try_init(|| Self::begin(settings, host, restart))
            .await
            .cloned()
    }

    async fn begin(
        settings: &Settings,
        host: HostAccess<'_>,
        restart: &Restart,
    ) -> Result<Arc<Self>, SessionError> {
        let now = clock::host_now(host.client).await;
        let offset = now.duration_since(Timestamp::now());
        let order = reaper::Order {
            session: new_id(),
            host: host.name.to_owned(),
            log: settings.cache.join("reaper.log"),
            limit: settings.stop_timeout,
            idle: idle(settings),
        };
        if order.idle.is_some() {
            idle::mark_used(host.client).await;
        }
        let runs = Runs::new(&settings.cache);
        let kubeconfig = host.kubeconfig.clone();
        let restart = settings.reaper.then(|| restart.clone());
        // A child is started and waited for: not on a thread that drives other tests.
        tokio::task::spawn_blocking(move || {
            let (user, process) = (crate::owner::user(), Process::this());
            let lease = runs.create(&order.session, &description(&user, process, &order.host))?;
            debug!(session = order.session, "has a lease");
            let reaper = restart
                .map(|restart| reaper::spawn(&restart, lease.directory(), &order, &kubeconfig))
                .transpose()?;
            debug!(session = order.session, host = order.host, "begun");
            Ok(Arc::new(Self {
                id: order.session,
                place: Place::here(),
                process,
                user,
                clock: offset,
                lease,
                reaper,
            }))
        })
        .await
        .map_err(|_| SessionError::RuntimeEnded)?
    }

    /// The session's id, the value of the label [`key::SESSION`](crate::owner::key::SESSION).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The directory of this run in the cache.
    pub fn directory(&self) -> &Path {
        self.lease.directory()
    }

    /// The process that cleans up should this one be killed; `None` when it is switched off.
    pub fn reaper(&self) -> Option<&reaper::Running> {
        self.reaper.as_ref()
    }

    /// The owner of a cluster that this process makes now.
    ///
    /// A cluster that is kept whatever happens belongs to no process from the start, so that neither
    /// the reaper nor a signal takes it.
    pub fn owner(&self, test: &str, keep: Keep) -> Owner {
        let owner = Owner {
            place: self.place.clone(),
            user: self.user.clone(),
            process: Some(self.process),
            session: self.id.clone(),
            test: Some(test.to_owned()),
            expires_at: Some(self.in_host_time(reaper::TIED_FOR)),
        };
        match keep {
            Keep::Always => owner.kept_until(self.kept_until()),
            Keep::Never | Keep::OnFailure => owner,
        }
    }

    /// Until when a cluster stays that is kept from now on, by the host's clock. Pass it to
    /// [`owner::keep`](crate::owner::keep) when a test failed.
    pub fn kept_until(&self) -> Timestamp {
        self.in_host_time(KEPT_FOR)
    }

    fn in_host_time(&self, from_now: SignedDuration) -> Timestamp {
        Timestamp::now()
            .saturating_add(self.clock.saturating_add(from_now))
            .unwrap_or(Timestamp::MAX)
    }
}

/// What becomes of the host afterwards. One that is not in this machine's engine is not ours.
fn idle(settings: &Settings) -> Option<Idle> {
    let is_elsewhere = matches!(settings.host, HostChoice::Kubeconfig { .. });
    let after = settings.host_idle.filter(|_| !is_elsewhere)?;
    Some(Idle {
        after,
        cache: settings.cache.clone(),
    })
}

/// Writes a kubeconfig so that only its user can read it.
pub(crate) fn write_private(path: &Path, content: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content.as_bytes())
}

fn description(user: &str, process: Process, host: &str) -> String {
    format!(
        "Locked for as long as process {} of {user} lives, which uses host {host}.\nStarted at {}.\n",
        process.pid,
        Timestamp::now()
    )
}

/// Ids of sessions are never reused; 12 hexadecimal digits also fit a label.
fn new_id() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    // The standard library's random state is seeded by the operating system.
    let random =
        RandomState::new().hash_one((std::process::id(), Timestamp::now().as_nanosecond()));
    hex::encode(&random.to_be_bytes()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(clock: SignedDuration) -> (tempfile::TempDir, Session) {
        let cache = tempfile::tempdir().unwrap();
        let lease = Runs::new(cache.path()).create("s1", "").unwrap();
        let session = Session {
            id: "s1".to_owned(),
            place: Place::here(),
            process: Process::this(),
            user: "ada".to_owned(),
            clock,
            lease,
            reaper: None,
        };
        (cache, session)
    }

    #[test]
    fn expiry_is_in_the_time_of_the_host() {
        let (_cache, session) = session(SignedDuration::from_hours(24));
        let expires_at = session.owner("t", Keep::Never).expires_at.unwrap();
        let from_now = expires_at.duration_since(Timestamp::now());
        assert!(from_now > SignedDuration::from_hours(25), "{from_now}");
    }

    #[test]
    fn only_what_is_always_kept_is_tied_to_no_process() {
        let (_cache, session) = session(SignedDuration::ZERO);
        assert_eq!(session.owner("t", Keep::Always).process, None);
        for keep in [Keep::Never, Keep::OnFailure] {
            assert_eq!(session.owner("t", keep).process, Some(Process::this()));
        }
    }

    #[test]
    fn ids_differ() {
        assert_ne!(new_id(), new_id());
        assert_eq!(new_id().len(), 12);
    }
}
