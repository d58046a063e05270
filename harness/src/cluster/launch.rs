//! The steps of a start, in their order. Everything that is made lies in the namespace or is owned by
//! it, so deleting the namespace undoes every step.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{Namespace, Service},
    storage::v1::StorageClass,
};
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use tracing::{debug, info, warn};
use vcluster_syncer::config::{LeaderElection, SyncConfig};

use super::{
    VirtualClusterBuilder,
    bootstrap::Bootstrap,
    claim::{Claim, Claimant},
    connection::Connection,
    control_plane::{Watch, account_exists, api_ready, check_version, syncers_ready},
    delete::{delete, wait_until_gone},
    endpoint::Endpoint,
    error::{Cause, Failure, Step, request},
    names::Names,
    objects::{self, Exposure, Images},
    phases::{Phase, Phases},
    request::{Requests, within},
    sightings::Sightings,
};
use crate::{
    asset::Component,
    deadline::Deadline,
    distro::ControlPlane,
    fixture::Contents,
    host::HostCluster,
    pki::{self, Pki, ServerNames},
    pool::{PoolKey, Standing},
    slice::ServiceRanges,
    version::KubernetesVersion,
};

/// How long it may take until the kinds of fixtures are served.
const FURNISH: Duration = Duration::from_secs(30);
/// How long the undoing of a failed start may hold up its error.
const UNDO: Duration = Duration::from_secs(10);
/// A pod that is lost is felt for as long as the others wait for its syncer.
const ELECTION: LeaderElection = LeaderElection {
    enabled: true,
    lease_seconds: 9,
};

/// A start under way: what was asked for, and what is known by now.
pub(super) struct Launch<'a> {
    pub(super) options: &'a VirtualClusterBuilder,
    pub(super) pool: Option<(&'a PoolKey, Standing)>,
    pub(super) fixtures: &'a Contents,
    pub(super) names: &'a Names,
    pub(super) version: KubernetesVersion,
    /// The control plane, without the names and addresses under which its API server answers.
    pub(super) described: &'a ControlPlane,
    pub(super) images: &'a Images,
    pub(super) bootstrap: &'a Bootstrap,
    pub(super) ranges: ServiceRanges,
    pub(super) host: &'a HostCluster,
    pub(super) client: Client,
    pub(super) deadline: Deadline,
}

/// What a control plane needs to run, made on the host.
#[derive(Debug)]
pub(super) struct Made {
    control_plane: ControlPlane,
    pki: Pki,
    service: Service,
    /// Where its API server is to be found in the virtual cluster.
    api: Option<(IpAddr, u16)>,
}

impl Launch<'_> {
    /// Makes the namespace, before which there is nothing to undo. One that is on its way out is
    /// waited for.
    pub(super) async fn namespace(&self) -> Result<Namespace, Failure> {
        let (distro, owner) = (self.options.distro.name(), &self.options.owner);
        let namespace = objects::namespace(self.names, distro, self.version, owner, self.pool);
        let requests = self.requests();
        let created = self.within(async {
            if let Some(created) = requests.namespace(&namespace).await? {
                return Ok(created);
            }
            let name = self.names.namespace();
            debug!(namespace = name, "waiting for its predecessor to go");
            wait_until_gone(&self.client, name, self.deadline).await?;
            let created = requests.namespace(&namespace).await?;
            created.ok_or_else(|| requests.exists())
        });
        created.await.map_err(Failure::at(Step::Namespace))
    }

    /// Claims addresses and makes everything but the pod, which needs the images.
    pub(super) async fn make(
        &self,
        namespace: &Namespace,
        phases: &mut Phases,
    ) -> Result<Made, Failure> {
        let claimant = Claimant {
            host: &self.client,
            names: self.names,
            exposure: self.exposure(),
            api_port: self.described.api_port,
            replicas: self.options.replicas,
        };
        let claim = self.within(claimant.claim(self.ranges, self.options.slice_bits));
        let claim = claim.await.map_err(Failure::at(Step::Address))?;
        phases.pass(Phase::Address);

        let nodes = self.host.addresses_for_sans();
        let names = self.server_names(&claim, &nodes);
        let ranges = claim.addressing.ranges();
        let control_plane = self
            .options
            .describe(self.version, ranges, &names.alternatives());
        let pki = Pki::generate(names, Timestamp::now()).and_then(|pki| self.with_members(pki));
        let pki = pki.map_err(Failure::at(Step::Objects))?;
        let objects = Box::pin(self.objects(namespace, &claim, &control_plane, &pki));
        let made = self.within(objects).await;
        made.map_err(Failure::at(Step::Objects))?;
        phases.pass(Phase::Objects);
        // Of the other family the first would be that of the range itself.
        let first = ranges.first.hosts().next().filter(IpAddr::is_ipv4);
        Ok(Made {
            api: first.map(|first| (first, control_plane.api_port)),
            control_plane,
            pki,
            service: claim.service,
        })
    }

    /// Makes the pod and waits until the cluster can be used.
    pub(super) async fn run(&self, made: Made, phases: &mut Phases) -> Result<Connection, Failure> {
        let set = objects::stateful_set(self.names, &made.control_plane, self.images);
        let created = self.within(self.requests().create(&set)).await;
        created.map_err(Failure::at(Step::Objects))?;
        let connection = self.within(self.connect(&made)).await;
        let connection = connection.map_err(Failure::at(Step::Connect))?;
        self.wait(&connection, &made, phases).await?;
        Ok(connection)
    }

    /// Puts into it what was asked for.
    pub(super) async fn furnish(
        &self,
        connection: &Connection,
        phases: &mut Phases,
    ) -> Result<(), Failure> {
        if self.fixtures.is_empty() {
            return Ok(());
        }
        let deadline = self.deadline.step("fixtures", FURNISH);
        let applied = self.fixtures.apply(&connection.client(), deadline).await;
        applied.map_err(Failure::at(Step::Fixtures))?;
        phases.pass(Phase::Fixtures);
        Ok(())
    }

    /// What several pods show one another.
    fn with_members(&self, pki: Pki) -> Result<Pki, pki::Error> {
        let replicas = self.names.replicas(self.options.replicas);
        if !replicas.are_several() {
            return Ok(pki);
        }
        let hosts: Vec<_> = replicas.names().map(|name| replicas.host(&name)).collect();
        pki.with_etcd_members(&hosts)
    }

    /// Every pod of several needs a volume.
    pub(super) async fn check_storage(&self) -> Result<(), Failure> {
        if self.options.replicas == 1 {
            return Ok(());
        }
        let checked = self.within(async {
            let classes: Api<StorageClass> = Api::all(self.client.clone());
            let classes = classes.list(&ListParams::default()).await;
            let classes = classes.map_err(request("list storage classes on host"))?;
            if classes.iter().any(is_default) {
                Ok(())
            } else {
                Err(Cause::NoStorage)
            }
        });
        checked.await.map_err(Failure::at(Step::Host))
    }

    /// Deletes what there is of it.
    pub(super) async fn undo(&self) {
        let namespace = self.names.namespace();
        let undone = tokio::time::timeout(UNDO, delete(&self.client, namespace)).await;
        match undone {
            Ok(Ok(())) => info!(namespace, "undone"),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                warn!(namespace, error, "not undone");
            }
            Err(_) => warn!(namespace, "not undone: the host does not answer"),
        }
    }

    async fn objects(
        &self,
        namespace: &Namespace,
        claim: &Claim,
        control_plane: &ControlPlane,
        pki: &Pki,
    ) -> Result<(), Cause> {
        let (names, requests) = (self.names, self.requests());
        let sync = self.sync_config(namespace, claim);
        let access = objects::access(names, namespace, &sync);
        let kubeconfig = objects::kubeconfig_secret(names, pki)?;
        let config = objects::config_map(names, control_plane, &sync)?;
        let pki = objects::pki_secret(names, pki);
        let secrets = objects::secrets(names, control_plane);
        let members = objects::member_services(names, control_plane.replicas);
        let slice = objects::slice_patch(&claim.addressing);
        let [syncer, workload] = &access.accounts;
        tokio::try_join!(
            requests.create(&pki),
            requests.create_if_some(secrets.as_ref()),
            requests.create_all(&members),
            requests.create(&kubeconfig),
            requests.create(&config),
            requests.create(syncer),
            requests.create(workload),
            requests.create(&access.role),
            requests.create(&access.role_binding),
            requests.create_global(&access.cluster_role),
            requests.create_global(&access.cluster_role_binding),
            requests.annotate(&slice),
        )
        .map(drop)
    }

    async fn connect(&self, made: &Made) -> Result<Connection, Cause> {
        let node = self.host.endpoint_address();
        let port = made.control_plane.api_port;
        let endpoint = Endpoint::open(node, &made.service, self.names, &self.client, port).await?;
        Connection::new(self.names.cluster(), made.pki.admin(), endpoint).await
    }

    async fn wait(
        &self,
        connection: &Connection,
        made: &Made,
        phases: &mut Phases,
    ) -> Result<(), Failure> {
        let control_plane = &made.control_plane;
        let seen = Sightings::default();
        let mut watch = Watch::start(
            self.client.clone(),
            self.names,
            control_plane.database.as_ref(),
            seen.clone(),
        );
        let remaining = |awaited| self.deadline.step(awaited, self.deadline.limit());

        let cluster = connection
            .impatient_client()
            .map_err(Failure::at(Step::ControlPlane))?;
        let own = connection.own_client();
        let own = own.map_err(Failure::at(Step::ControlPlane))?;
        let ready = self.api_ready(&cluster, &own, made, &seen);
        watch
            .until(remaining("the API server"), phases, ready)
            .await
            .map_err(Failure::at(Step::ControlPlane))?;
        phases.pass(Phase::Ready);

        let found = self
            .within(self.check_version(&cluster, control_plane))
            .await;
        found.map_err(Failure::at(Step::ControlPlane))?;

        let account = account_exists(&cluster, &seen);
        watch
            .until(remaining("the default service account"), phases, account)
            .await
            .map_err(Failure::at(Step::Account))?;
        phases.pass(Phase::Account);

        let host = self.impatient_host().await;
        let host = host.map_err(Failure::at(Step::Syncer))?;
        let syncer = syncers_ready(&host, self.names, control_plane.replicas, &seen);
        watch
            .until(remaining("the syncer"), phases, syncer)
            .await
            .map_err(Failure::at(Step::Syncer))?;
        phases.pass(Phase::Syncer);
        Ok(())
    }

    /// Returns when the API server is ready and has what it begins with.
    async fn api_ready(&self, cluster: &Client, own: &Client, made: &Made, seen: &Sightings) {
        let path = made.control_plane.ready_path;
        api_ready(cluster, &self.bootstrap.ready_path(path), seen).await;
        debug!("the API server answers");
        if !self.bootstrap.give(own, made.api).await {
            api_ready(cluster, path, seen).await;
            self.bootstrap.learn(own).await;
        }
    }

    async fn check_version(
        &self,
        cluster: &Client,
        control_plane: &ControlPlane,
    ) -> Result<(), Cause> {
        let images = || {
            let components = control_plane.containers.iter().map(|each| each.image);
            let images: Vec<_> = components
                .filter(|component| component.is_kubernetes())
                .filter_map(|component| self.images.get(&component).cloned())
                .collect();
            images.join(" or ")
        };
        check_version(cluster, self.version, images).await
    }

    /// A client of the host that reports what goes wrong instead of trying again.
    async fn impatient_host(&self) -> Result<Client, Cause> {
        let mut config = self.host.config().await?;
        config.default_retry = false;
        Client::try_from(config).map_err(Cause::Client)
    }

    fn server_names<'a>(&'a self, claim: &Claim, nodes: &'a [IpAddr]) -> ServerNames<'a> {
        ServerNames {
            cluster: self.names.cluster(),
            namespace: self.names.namespace(),
            domain: &self.options.domain,
            service: claim.api_address,
            nodes,
        }
    }

    fn sync_config(&self, made: &Namespace, claim: &Claim) -> SyncConfig {
        let (cluster, namespace) = (self.names.cluster(), self.names.namespace());
        SyncConfig {
            host_namespace_uid: made.metadata.uid.clone(),
            cluster_domain: self.options.domain.clone(),
            coredns_image: self.images.get(&Component::Coredns).cloned(),
            syncer_image: self.images.get(&Component::Syncer).cloned(),
            leader_election: if self.options.replicas > 1 {
                ELECTION
            } else {
                LeaderElection::default()
            },
            sync: self.options.sync.clone().completed(),
            ..SyncConfig::new(cluster, namespace, claim.api_address, claim.dns_address)
        }
    }

    fn exposure(&self) -> Exposure {
        match self.host.endpoint_address() {
            Some(_) => Exposure::NodePort,
            None => Exposure::ClusterIp,
        }
    }

    fn requests(&self) -> Requests<'_> {
        Requests {
            host: &self.client,
            names: self.names,
        }
    }

    /// A request that hangs is the host's failure, not ours to wait for.
    async fn within<T>(&self, step: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
        within(self.deadline, step).await
    }
}

/// Volumes that name no class are of this one.
fn is_default(class: &StorageClass) -> bool {
    const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
    class
        .annotations()
        .get(DEFAULT)
        .is_some_and(|value| value == "true")
}
