//! Starts a cluster: steps in their order. Everything that is made lies in the namespace or is owned
//! by it, so deleting the namespace undoes every step.

use std::fmt::Debug;

use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Namespace, Service},
    serde::{Serialize, de::DeserializeOwned},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use tracing::debug;
use vcluster_syncer::config::SyncConfig;

use super::{
    VirtualClusterBuilder,
    claim::{Claim, Claimant},
    connection::Connection,
    control_plane::{Watch, account_exists, api_ready, syncer_ready},
    delete::wait_until_gone,
    endpoint::Endpoint,
    error::{Cause, Failure, Step, request},
    names::Names,
    objects::{self, Exposure, Images},
    phases::{Phase, Phases},
    sightings::Sightings,
};
use crate::{
    asset::Component,
    deadline::Deadline,
    distro::ControlPlane,
    host::HostCluster,
    pki::{Pki, ServerNames},
    version::KubernetesVersion,
};

const FIELD_MANAGER: &str = "vcluster-test";

/// A start under way: what was asked for, and what is known by now.
pub(super) struct Launch<'a> {
    pub(super) options: &'a VirtualClusterBuilder,
    pub(super) names: &'a Names,
    pub(super) version: KubernetesVersion,
    pub(super) images: &'a Images,
    pub(super) range: IpNet,
    pub(super) host: &'a HostCluster,
    pub(super) client: Client,
    pub(super) deadline: Deadline,
}

impl Launch<'_> {
    /// Makes the namespace, before which there is nothing to undo. One that is on its way out is
    /// waited for.
    pub(super) async fn namespace(&self) -> Result<Namespace, Failure> {
        let (distro, owner) = (self.options.distro.name(), &self.options.owner);
        let namespace = objects::namespace(self.names, distro, self.version, owner);
        let created = self.within(async {
            if let Some(created) = self.try_namespace(&namespace).await? {
                return Ok(created);
            }
            let name = self.names.namespace();
            debug!(namespace = name, "waiting for its predecessor to go");
            wait_until_gone(&self.client, name, self.deadline).await?;
            let created = self.try_namespace(&namespace).await?;
            created.ok_or_else(|| self.exists())
        });
        created.await.map_err(Failure::at(Step::Namespace))
    }

    /// `None` when there is one that is being deleted.
    async fn try_namespace(&self, namespace: &Namespace) -> Result<Option<Namespace>, Cause> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let name = self.names.namespace();
        match api.create(&parameters(), namespace).await {
            Ok(created) => Ok(Some(created)),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = api.get_metadata_opt(name).await;
                let found = found.map_err(request(format!("read namespace {name} on host")))?;
                let stays = |found: &kube::core::PartialObjectMeta<Namespace>| {
                    found.metadata.deletion_timestamp.is_none()
                };
                if found.as_ref().is_some_and(stays) {
                    return Err(self.exists());
                }
                Ok(None)
            }
            Err(error) => Err(request(format!("create namespace {name} on host"))(error)),
        }
    }

    fn exists(&self) -> Cause {
        Cause::Exists {
            namespace: self.names.namespace().to_owned(),
        }
    }

    /// Fills the namespace and waits until the cluster can be used.
    pub(super) async fn fill(
        &self,
        namespace: &Namespace,
        phases: &mut Phases,
    ) -> Result<Connection, Failure> {
        let claimant = Claimant {
            host: &self.client,
            names: self.names,
            exposure: self.exposure(),
            api_port: self.options.describe(self.version, self.range).api_port,
        };
        let claim = self.within(claimant.claim(self.range, self.options.slice_bits));
        let claim = claim.await.map_err(Failure::at(Step::Address))?;
        phases.pass(Phase::Address);

        let range = claim.addressing.range();
        let control_plane = self.options.describe(self.version, range);
        let pki = self
            .pki(&claim)
            .map_err(|error| Failure::at(Step::Objects)(Cause::from(error)))?;
        self.within(Box::pin(self.objects(
            namespace,
            &claim,
            &control_plane,
            &pki,
        )))
        .await
        .map_err(Failure::at(Step::Objects))?;
        phases.pass(Phase::Objects);

        let connection = self.connect(&claim.service, &control_plane, &pki);
        let connection = self.within(connection);
        let connection = connection.await.map_err(Failure::at(Step::Connect))?;
        self.wait(&connection, &control_plane, phases).await?;
        Ok(connection)
    }

    async fn objects(
        &self,
        namespace: &Namespace,
        claim: &Claim,
        control_plane: &ControlPlane,
        pki: &Pki,
    ) -> Result<(), Cause> {
        let names = self.names;
        let sync = self.sync_config(claim);
        let access = objects::access(names, namespace, &sync);
        let kubeconfig = objects::kubeconfig_secret(names, pki)?;
        let config = objects::config_map(names, control_plane, &sync)?;
        let pki = objects::pki_secret(names, pki);
        let [syncer, workload] = &access.accounts;
        tokio::try_join!(
            self.create(&pki),
            self.create(&kubeconfig),
            self.create(&config),
            self.create(syncer),
            self.create(workload),
            self.create(&access.role),
            self.create(&access.role_binding),
            self.create_global(&access.cluster_role),
            self.create_global(&access.cluster_role_binding),
            self.record(claim),
        )?;
        // Last: a pod that finds its account or its volumes missing is tried again seconds later.
        self.create(&objects::stateful_set(names, control_plane, self.images))
            .await
    }

    async fn connect(
        &self,
        service: &Service,
        control_plane: &ControlPlane,
        pki: &Pki,
    ) -> Result<Connection, Cause> {
        let node = self.host.endpoint_address();
        let port = control_plane.api_port;
        let endpoint = Endpoint::open(node, service, self.names, &self.client, port).await?;
        Connection::new(self.names.cluster(), pki.admin(), endpoint).await
    }

    async fn wait(
        &self,
        connection: &Connection,
        control_plane: &ControlPlane,
        phases: &mut Phases,
    ) -> Result<(), Failure> {
        let seen = Sightings::default();
        let mut watch = Watch::start(self.client.clone(), self.names, seen.clone());
        let remaining = |awaited| self.deadline.step(awaited, self.deadline.limit());

        let cluster = connection
            .impatient_client()
            .map_err(Failure::at(Step::ControlPlane))?;
        let ready = api_ready(&cluster, control_plane.ready_path, &seen);
        watch
            .until(remaining("the API server"), phases, ready)
            .await
            .map_err(Failure::at(Step::ControlPlane))?;
        phases.pass(Phase::Ready);

        let account = account_exists(&cluster, &seen);
        watch
            .until(remaining("the default service account"), phases, account)
            .await
            .map_err(Failure::at(Step::Account))?;
        phases.pass(Phase::Account);

        let mut host = config_of(self.host).await?;
        host.default_retry = false;
        let host = Client::try_from(host)
            .map_err(|error| Failure::at(Step::Syncer)(Cause::Client(error)))?;
        let syncer = syncer_ready(&host, self.names, &seen);
        watch
            .until(remaining("the syncer"), phases, syncer)
            .await
            .map_err(Failure::at(Step::Syncer))?;
        phases.pass(Phase::Syncer);
        debug!(cluster = self.names.cluster(), %phases, "started");
        Ok(())
    }

    fn pki(&self, claim: &Claim) -> Result<Pki, crate::pki::Error> {
        let names = ServerNames {
            cluster: self.names.cluster(),
            namespace: self.names.namespace(),
            domain: &self.options.domain,
            service: claim.api_address,
            nodes: &self.host.addresses_for_sans(),
        };
        Pki::generate(names, Timestamp::now())
    }

    fn sync_config(&self, claim: &Claim) -> SyncConfig {
        let (cluster, namespace) = (self.names.cluster(), self.names.namespace());
        SyncConfig {
            cluster_domain: self.options.domain.clone(),
            coredns_image: self.images.get(&Component::Coredns).cloned(),
            sync: self.options.sync.clone(),
            ..SyncConfig::new(cluster, namespace, claim.api_address, claim.dns_address)
        }
    }

    fn exposure(&self) -> Exposure {
        match self.host.endpoint_address() {
            Some(_) => Exposure::NodePort,
            None => Exposure::ClusterIp,
        }
    }

    async fn record(&self, claim: &Claim) -> Result<(), Cause> {
        let name = self.names.namespace();
        let api: Api<Namespace> = Api::all(self.client.clone());
        let patch = objects::slice_patch(&claim.addressing);
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .map(drop)
            .map_err(request(format!("annotate namespace {name} on host")))
    }

    async fn create<K>(&self, object: &K) -> Result<(), Cause>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let api = Api::namespaced(self.client.clone(), self.names.namespace());
        Box::pin(self.create_in(&api, object)).await
    }

    async fn create_global<K>(&self, object: &K) -> Result<(), Cause>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let api = Api::all(self.client.clone());
        Box::pin(self.create_in(&api, object)).await
    }

    async fn create_in<K>(&self, api: &Api<K>, object: &K) -> Result<(), Cause>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let kind = K::kind(&()).to_lowercase();
        let name = object.meta().name.as_deref().unwrap_or_default();
        api.create(&parameters(), object)
            .await
            .map(drop)
            .map_err(request(format!("create {kind} {name} on host")))
    }

    /// A request that hangs is the host's failure, not ours to wait for.
    async fn within<T>(&self, step: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
        tokio::time::timeout_at(self.deadline.instant(), step)
            .await
            .unwrap_or_else(|_| {
                Err(Cause::TimedOut {
                    awaited: "the host's API server",
                    limit: self.deadline.limit(),
                    last_seen: "no answer to a request".to_owned(),
                })
            })
    }
}

async fn config_of(host: &HostCluster) -> Result<kube::Config, Failure> {
    host.config().await.map_err(Failure::at(Step::Syncer))
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
