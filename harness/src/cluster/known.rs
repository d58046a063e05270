//! What is known of a cluster before anything of it is made: names, version, addresses, images, and whether it can be as
//! it was asked for at all.

use futures::future::try_join_all;
use kube::Client;
use tracing::warn;

use super::{
    VirtualClusterBuilder,
    bootstrap::Bootstrap,
    error::{Cause, Failure, Step},
    launch::Launch,
    names::Names,
    objects::Images,
    phases::Phases,
    pooled::Seat,
    virtual_cluster::{Origin, Started},
};
use crate::{
    asset::{self, Assets, Component, Image},
    datastore::{Datastore, DatastoreKind},
    deadline::Deadline,
    distro::{ControlPlane, Scheduling},
    fixture::Contents,
    host::HostCluster,
    pool::{self, Ingredients, Pool, PoolKey, Since, Standing, Stock, demand},
    slice::ServiceRanges,
    version::KubernetesVersion,
};

/// What is known of a cluster before anything of it is made.
pub(super) struct Known<'a> {
    pub(super) options: &'a VirtualClusterBuilder,
    pub(super) host: &'a HostCluster,
    pub(super) assets: &'a Assets,
    pub(super) names: Names,
    version: KubernetesVersion,
    ranges: ServiceRanges,
    /// The control plane, without the names and addresses under which its API server answers.
    described: ControlPlane,
    images: Images,
    /// What the host may have to load.
    pub(super) archives: Vec<Image>,
    fixtures: Contents,
    pub(super) client: Client,
    pub(super) key: PoolKey,
    /// How it goes from test to test, if it does.
    pub(super) pool: Option<Pool>,
}

impl<'a> Known<'a> {
    pub(super) async fn of(
        options: &'a VirtualClusterBuilder,
        host: &'a HostCluster,
        assets: &'a Assets,
    ) -> Result<Self, Failure> {
        let names = Names::new(&options.name, &options.namespace);
        let names = names.map_err(Failure::at(Step::Namespace))?;
        let choice = options.sync.check();
        choice.map_err(Failure::at(Step::Objects))?;
        check_store(options).map_err(Failure::at(Step::Objects))?;
        check_replicas(options).map_err(Failure::at(Step::Objects))?;
        let request = options
            .version
            .unwrap_or_else(|| options.distro.default_version());
        let version = assets.resolve(request).await;
        let version = version.map_err(Failure::at(Step::Images))?;
        let ranges = host.service_ranges().await;
        let mut ranges = ranges.map_err(Failure::at(Step::Host))?;
        if !options.distro.can_be_dual_stack() {
            ranges = ranges.of_one_family();
        }
        let described = options.describe(version, ranges, &[]);
        let components = described.containers.iter().map(|container| container.image);
        // CoreDNS runs on the host as the tenant's pod.
        let components = components.chain([Component::Syncer, Component::Coredns]);
        let (images, archives) = images(components, version, assets).await?;
        let fixtures = options.fixtures.read();
        let fixtures = fixtures.map_err(Failure::at(Step::Fixtures))?;
        let client = host.client().await.map_err(Failure::at(Step::Host))?;
        let key = key(options, version, &described, &images, &fixtures);
        let pool = pool_of(options, &described);
        Ok(Self {
            options,
            host,
            assets,
            names,
            version,
            ranges,
            described,
            images,
            archives,
            fixtures,
            client,
            key,
            pool,
        })
    }

    /// What the cluster is to others, if it may go to them.
    pub(super) async fn standing(&self) -> Option<Standing> {
        let pool = self.pool?;
        let is_first_of_process = demand::is_first(&self.key);
        if pool.since == Since::First || !is_first_of_process {
            return Some(Standing::Member);
        }
        Some(match Stock::read(&self.client, &self.key).await {
            Ok(stock) if !stock.is_unheard_of() => Standing::Member,
            _ => Standing::Alone,
        })
    }

    /// Opens a cluster to others after all that was started for the first test alone: by now another test of this
    /// process has asked for the same. Says whether it did.
    pub(super) async fn is_opened(&self) -> bool {
        if !demand::is_repeated(&self.key) {
            return false;
        }
        let opened = pool::open(&self.client, self.names.namespace(), &self.key).await;
        if let Err(error) = &opened {
            let error = error as &dyn std::error::Error;
            warn!(cluster = self.names.cluster(), error, "for one test alone");
        }
        opened.is_ok()
    }

    pub(super) fn seat(&self, pool: Pool) -> Seat<'_> {
        Seat { known: self, pool }
    }

    /// What the API server of a new cluster begins with. Who takes one that is there needs none of it.
    pub(super) async fn bootstrap(&self) -> Bootstrap {
        let store = self.options.store.as_ref();
        let (described, images) = (&self.described, &self.images);
        Bootstrap::of(self.assets, self.version, store, described, images).await
    }

    pub(super) fn launch(
        &'a self,
        standing: Option<Standing>,
        bootstrap: &'a Bootstrap,
    ) -> Launch<'a> {
        Launch {
            options: self.options,
            pool: standing.map(|standing| (&self.key, standing)),
            fixtures: &self.fixtures,
            names: &self.names,
            version: self.version,
            described: &self.described,
            images: &self.images,
            bootstrap,
            ranges: self.ranges,
            host: self.host,
            client: self.client.clone(),
            deadline: Deadline::after("virtual cluster", self.options.timeout),
        }
    }

    /// Where a cluster of these names is from, that was started like this.
    pub(super) fn origin(
        &self,
        names: Names,
        host_config: kube::Config,
        phases: &Phases,
    ) -> Origin {
        Origin {
            names,
            distro: Some(self.options.distro.name().to_owned()),
            version: Some(self.version),
            owner: self.options.owner.clone(),
            host: self.host.clone(),
            host_config,
            started: Some(Started {
                options: self.options.clone(),
                ranges: self.ranges,
                assets: self.assets.clone(),
            }),
            phases: phases.clone(),
        }
    }
}

/// A distro may have no such store.
fn check_store(options: &VirtualClusterBuilder) -> Result<(), Cause> {
    let known = options.distro.stores();
    match options.store.as_ref().map(Datastore::kind) {
        Some(asked) if !known.contains(&asked) => Err(Cause::NoSuchStore {
            distro: options.distro.name(),
            asked,
            known,
        }),
        _ => Ok(()),
    }
}

/// Not every control plane can be made of several pods.
fn check_replicas(options: &VirtualClusterBuilder) -> Result<(), Cause> {
    let store = options.store.as_ref().map(Datastore::kind);
    let reason = match options.replicas {
        1 => return Ok(()),
        0 | 2 | 4 | 6.. => "it takes a majority to decide: 3 or 5 can",
        _ if !options.distro.can_be_several() => "only those of `k8s` can",
        _ if !matches!(store, None | Some(DatastoreKind::Etcd)) => "only with etcd can they",
        _ if options.scheduling() == Scheduling::Virtual => {
            "only without a scheduler of its own can it"
        }
        _ => return Ok(()),
    };
    Err(Cause::Replicas {
        replicas: options.replicas,
        reason,
    })
}

/// Finds the images of these components.
pub(super) async fn images(
    components: impl Iterator<Item = Component>,
    version: KubernetesVersion,
    assets: &Assets,
) -> Result<(Images, Vec<Image>), Failure> {
    let found = try_join_all(components.map(async |component| {
        let image = assets.image(component, version).await?;
        Ok::<_, asset::Error>((component, image))
    }));
    let found = found.await.map_err(Failure::at(Step::Images))?;
    let references = found
        .iter()
        .map(|(component, image)| (*component, image.reference.clone()));
    Ok((
        references.collect(),
        found.into_iter().map(|(_, image)| image).collect(),
    ))
}

/// What the cluster is, as far as a test can tell.
fn key(
    options: &VirtualClusterBuilder,
    version: KubernetesVersion,
    control_plane: &ControlPlane,
    images: &Images,
    fixtures: &Contents,
) -> PoolKey {
    PoolKey::of(&Ingredients {
        distro: options.distro.name(),
        version,
        sync: &options.sync,
        domain: &options.domain,
        slice_bits: options.slice_bits,
        control_plane,
        images,
        fixtures: &fixtures.digest(),
    })
}

/// Only what can be put back, ends with a process and is called like its namespace goes from test to test.
fn pool_of(options: &VirtualClusterBuilder, described: &ControlPlane) -> Option<Pool> {
    let can_be = described.store.is_some()
        && described.database.is_none()
        && !described.is_several()
        && options.owner.process.is_some()
        && options.name == options.namespace;
    options.pool.filter(|_| can_be)
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use rstest::rstest;

    use super::*;
    use crate::{
        cluster::VirtualCluster,
        distro::{ControlPlane, ControlPlaneContext, Distro, K0s, K3s, K8s},
        owner::{Owner, Process},
    };

    fn builder(replicas: u8) -> VirtualClusterBuilder {
        VirtualCluster::builder("web").replicas(replicas)
    }

    #[rstest]
    #[case::none(builder(0), "3 or 5 can")]
    #[case::no_majority(builder(2), "3 or 5 can")]
    #[case::too_many(builder(7), "3 or 5 can")]
    #[case::another_distro(builder(3).distro(&K3s), "only those of `k8s` can")]
    #[case::another_store(builder(3).store(Datastore::Kine), "only with etcd can they")]
    fn not_every_control_plane_has_several_pods(
        #[case] builder: VirtualClusterBuilder,
        #[case] expected: &str,
    ) {
        let error = check_replicas(&builder).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }

    #[rstest]
    #[case::usual(builder(1))]
    #[case::three(builder(3))]
    #[case::with_etcd(builder(5).distro(&K8s).store(Datastore::Etcd))]
    fn a_control_plane_that_can_have_them_has_them(#[case] builder: VirtualClusterBuilder) {
        check_replicas(&builder).unwrap();
        check_store(&builder).unwrap();
    }

    fn is_pooled(builder: VirtualClusterBuilder) -> bool {
        let options = builder.pooled(Pool::usual(false));
        let range: IpNet = "10.96.0.0/12".parse().unwrap();
        let described = options.describe("1.34.2".parse().unwrap(), range.into(), &[]);
        pool_of(&options, &described).is_some()
    }

    /// Of a process that runs.
    fn owned(builder: VirtualClusterBuilder) -> VirtualClusterBuilder {
        let process = Process {
            pid: 4242,
            start_time: 1000,
        };
        builder.owner(Owner {
            process: Some(process),
            ..Owner::standing()
        })
    }

    #[rstest]
    #[case::k8s(builder(1))]
    #[case::k8s_with_kine(builder(1).store(Datastore::Kine))]
    #[case::k3s(builder(1).distro(&K3s))]
    #[case::k3s_with_etcd(builder(1).distro(&K3s).store(Datastore::Etcd))]
    #[case::k0s(builder(1).distro(&K0s))]
    #[case::k0s_with_etcd(builder(1).distro(&K0s).store(Datastore::Etcd))]
    fn what_can_be_put_back_goes_from_test_to_test(#[case] builder: VirtualClusterBuilder) {
        assert!(is_pooled(owned(builder)));
    }

    #[rstest]
    #[case::of_nobody(builder(1).owner(Owner::standing()))]
    #[case::in_a_namespace_of_another_name(owned(builder(1).namespace("other")))]
    #[case::of_several_pods(owned(builder(3)))]
    #[case::with_a_database_outside(owned(builder(1).store(database())))]
    #[case::of_k3s_with_a_database_outside(owned(builder(1).distro(&K3s).store(database())))]
    #[case::of_a_distro_that_hides_its_store(owned(builder(1).distro(&Own)))]
    fn what_cannot_go_on_is_for_one_test(#[case] builder: VirtualClusterBuilder) {
        assert!(!is_pooled(builder));
    }

    fn database() -> Datastore {
        let endpoint = "postgres://me:hush@db.test/web".parse().unwrap();
        Datastore::External(endpoint)
    }

    #[derive(Debug)]
    struct Own;

    impl Distro for Own {
        fn name(&self) -> &'static str {
            "own"
        }

        fn control_plane(
            &self,
            version: KubernetesVersion,
            cx: &ControlPlaneContext<'_>,
        ) -> ControlPlane {
            ControlPlane {
                store: None,
                ..K8s.control_plane(version, cx)
            }
        }
    }

    #[test]
    fn a_distro_without_a_choice_of_stores_says_so() {
        let builder = builder(1).distro(&Own).store(Datastore::Etcd);
        let error = check_store(&builder).unwrap_err().to_string();
        let expected = "distro `own` cannot keep its objects in etcd: it has a store of its own";
        assert_eq!(error, expected);
    }
}
