//! A virtual cluster, as a test holds it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    config::Kubeconfig,
};
use tracing::warn;
use vcluster_syncer::{ObjectKey, naming::NameTranslator};

use super::{
    VirtualClusterBuilder,
    connection::Connection,
    delete::{self, DeleteError},
    error::{Cause, request},
    membership::Membership,
    names::Names,
    phases::Phases,
};
use crate::{
    asset::{Assets, Component},
    deadline::Deadline,
    host::HostCluster,
    live::Registration,
    owner::Owner,
    pool,
    slice::ServiceRanges,
    version::KubernetesVersion,
};

/// A running virtual cluster. Cheap to clone; all clones are the same cluster.
///
/// It is deleted by [`delete`](Self::delete); dropping it only warns.
#[derive(Clone)]
#[must_use = "a cluster runs until it is deleted"]
pub struct VirtualCluster {
    inner: Arc<Inner>,
}

/// Why a cluster is for nobody else whose test was on the host.
const ON_HOST: &str = "its test asked for the host";

/// Why a configuration gives a client.
const SAME: &str = "the same configuration gave a client before";

/// Where a cluster is from.
pub(super) struct Origin {
    pub(super) names: Names,
    pub(super) distro: Option<String>,
    pub(super) version: Option<KubernetesVersion>,
    pub(super) owner: Owner,
    pub(super) host: HostCluster,
    pub(super) host_config: kube::Config,
    /// Absent for one that was only connected to.
    pub(super) started: Option<Started>,
    pub(super) phases: Phases,
}

/// What a cluster was started with.
pub(super) struct Started {
    pub(super) options: VirtualClusterBuilder,
    /// The host's service addresses.
    pub(super) ranges: ServiceRanges,
    pub(super) assets: Assets,
}

struct Inner {
    origin: Origin,
    connection: Connection,
    /// It changes with an upgrade.
    version: Mutex<Option<KubernetesVersion>>,
    membership: Option<Membership>,
    /// Why nobody else may have it, even if it is one that goes from test to test.
    reason: Mutex<Option<String>>,
    state: Mutex<State>,
}

/// Whose business the end of the cluster is.
enum State {
    /// Ours; the registration is for when a signal comes first.
    Ours(Option<Registration>),
    /// Somebody else's: it is deleted, kept, or was only connected to.
    NotOurs,
}

impl VirtualCluster {
    /// A cluster called `name`, yet to be started: upstream Kubernetes of the usual version.
    pub fn builder(name: &str) -> VirtualClusterBuilder {
        VirtualClusterBuilder::new(name)
    }

    pub(super) fn new(
        origin: Origin,
        connection: Connection,
        registration: Option<Registration>,
        membership: Option<Membership>,
    ) -> Self {
        Self::with(origin, connection, State::Ours(registration), membership)
    }

    pub(super) fn connected(origin: Origin, connection: Connection) -> Self {
        Self::with(origin, connection, State::NotOurs, None)
    }

    fn with(
        origin: Origin,
        connection: Connection,
        state: State,
        membership: Option<Membership>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                version: Mutex::new(origin.version),
                origin,
                connection,
                membership,
                reason: Mutex::new(None),
                state: Mutex::new(state),
            }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.names().cluster()
    }

    /// The namespace on the host that holds it and its pods.
    pub fn namespace(&self) -> &str {
        self.names().namespace()
    }

    /// Its distro, when the host's record says so.
    pub fn distro(&self) -> Option<&str> {
        self.inner.origin.distro.as_deref()
    }

    /// Its Kubernetes version, when the host's record says so.
    pub fn version(&self) -> Option<KubernetesVersion> {
        *lock(&self.inner.version)
    }

    /// Whom it belonged to when it was started or connected to.
    pub fn owner(&self) -> &Owner {
        &self.inner.origin.owner
    }

    /// The host it runs on. No other test gets a cluster whose host was asked for: what is done there, no
    /// reset undoes.
    pub fn host(&self) -> &HostCluster {
        self.not_for_others(ON_HOST);
        self.on()
    }

    /// A kubeconfig of its administrator, with an address that this machine reaches. Where the host's
    /// node ports are out of reach, the address is good only as long as this process holds the cluster.
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.inner.connection.kubeconfig
    }

    /// A client of its administrator, for the current runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn client(&self) -> Client {
        self.inner.connection.client()
    }

    /// A client of the host, for the current runtime. As with [`host`](Self::host), no other test gets the
    /// cluster afterwards.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn host_client(&self) -> Client {
        self.not_for_others(ON_HOST);
        Client::try_from(self.inner.origin.host_config.clone()).expect(SAME)
    }

    /// The host, for what this crate does there itself.
    pub(super) fn on(&self) -> &HostCluster {
        &self.inner.origin.host
    }

    /// A client of the host, for what this crate does there itself.
    pub(super) fn on_host(&self) -> Client {
        let origin = &self.inner.origin;
        origin.host.client_of(&origin.host_config).expect(SAME)
    }

    /// Where the host keeps the twin of an object in a namespace of this cluster.
    #[must_use]
    pub fn host_key(&self, namespace: &str, name: &str) -> ObjectKey {
        NameTranslator::new(self.name(), self.namespace())
            .host_key(&ObjectKey::namespaced(namespace, name))
    }

    /// The reference of a test image, which is on the host afterwards.
    ///
    /// # Errors
    /// It cannot be had, or this cluster was only connected to.
    pub async fn image(&self, component: Component) -> Result<String, Cause> {
        let (Some(started), Some(version)) = (self.started(), self.version()) else {
            return Err(Cause::NoAssets);
        };
        let image = started.assets.image(component, version).await?;
        self.on().load(std::slice::from_ref(&image)).await?;
        Ok(image.reference)
    }

    /// Gives its pods an image of your own: what the Docker engine of this machine has under `reference`,
    /// such as `my-operator:dev`. One that was built anew is loaded anew; one that is there costs a look.
    ///
    /// Kubernetes pulls images that are tagged `latest` in spite of that, unless the container says
    /// `imagePullPolicy: IfNotPresent`.
    ///
    /// ```no_run
    /// # async fn example(cluster: vcluster_harness::cluster::VirtualCluster) -> anyhow::Result<()> {
    /// cluster.load_image("my-operator:dev").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The engine does not have it, or the host cannot be given images and lacks it.
    pub async fn load_image(&self, reference: &str) -> Result<(), Cause> {
        Ok(self.on().load_from_engine(reference).await?)
    }

    /// How long each part of its start took; empty for one that was connected to.
    pub fn phases(&self) -> &Phases {
        &self.inner.origin.phases
    }

    /// Deletes it, and returns when the host is at it. Twice is the same as once.
    ///
    /// # Errors
    /// The host refuses. The cluster then counts as not deleted.
    pub async fn delete(&self) -> Result<(), DeleteError> {
        delete::delete(&self.on_host(), self.namespace()).await?;
        self.let_go();
        Ok(())
    }

    /// Waits until nothing of it is left on the host.
    ///
    /// # Errors
    /// Something is left when the deadline passes.
    pub async fn wait_until_gone(&self, deadline: Deadline) -> Result<(), DeleteError> {
        delete::wait_until_gone(&self.on_host(), self.namespace(), deadline).await
    }

    /// Hands it over to `owner`, so that it outlives this process.
    ///
    /// # Errors
    /// The host refuses. The cluster then still belongs to its owner before.
    pub async fn keep(&self, owner: &Owner) -> Result<(), Cause> {
        let namespaces: Api<Namespace> = Api::all(self.on_host());
        let name = self.namespace();
        let mut patch = owner.patch();
        pool::withdraw(&mut patch);
        namespaces
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .map_err(request(format!(
                "change the owner of namespace {name} on host"
            )))?;
        self.let_go();
        Ok(())
    }

    pub(super) fn names(&self) -> &Names {
        &self.inner.origin.names
    }

    pub(super) fn started(&self) -> Option<&Started> {
        self.inner.origin.started.as_ref()
    }

    /// A client of its administrator that reports what goes wrong instead of trying again.
    pub(super) fn impatient_client(&self) -> Result<Client, Cause> {
        self.inner.connection.impatient_client()
    }

    /// It has this version from now on.
    pub(super) fn is_now(&self, version: KubernetesVersion) {
        *lock(&self.inner.version) = Some(version);
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    pub(super) fn membership(&self) -> Option<&Membership> {
        self.inner.membership.as_ref()
    }

    /// Says that no other test may have it, and why.
    pub(crate) fn not_for_others(&self, reason: impl Into<String>) {
        lock(&self.inner.reason).get_or_insert_with(|| reason.into());
    }

    pub(super) fn not_for_others_because(&self) -> Option<String> {
        lock(&self.inner.reason).clone()
    }

    pub(super) fn let_go(&self) {
        let mut state = lock(&self.inner.state);
        if let State::Ours(Some(registration)) = std::mem::replace(&mut *state, State::NotOurs) {
            registration.deleted();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for VirtualCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.inner.origin;
        f.debug_struct("VirtualCluster")
            .field("name", &self.name())
            .field("namespace", &self.namespace())
            .field("distro", &origin.distro)
            .field("version", &self.version())
            .field("host", &origin.host.name())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if matches!(state, State::Ours(_)) {
            let names = &self.origin.names;
            warn!(
                cluster = names.cluster(),
                namespace = names.namespace(),
                "dropped without being deleted; it runs on until its owner's end or its expiry"
            );
        }
    }
}
