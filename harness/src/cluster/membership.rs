//! What a test has of a cluster that goes from test to test: rights of its own, which end with its use.
//! Who has kept a client from before is refused.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Secret, Service},
    rbac::v1::{ClusterRoleBinding, RoleRef, Subject},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use super::{
    connection::Connection,
    endpoint::{API_PORT, Endpoint},
    error::{Cause, request},
    names::Names,
};
use crate::{
    deadline::Deadline,
    host::HostCluster,
    pki::{self, Access},
    pool::Pool,
};

/// The one object that a cluster of the pool has and another has not: who may do anything in it now.
const BINDING: &str = "vcluster-test:administrator";
const ROLE: &str = "cluster-admin";
const GROUP: &str = "rbac.authorization.k8s.io";
/// How long between two looks at what is there within milliseconds.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a host may take to say that containers run that have answered.
const RUNS: Duration = Duration::from_secs(10);

/// One test's use of a cluster of the pool.
#[derive(Clone)]
pub(super) struct Membership {
    pub(super) pool: Pool,
    /// The administrator whom no reset locks out. No test gets this.
    root: Access,
    service: Service,
    /// The containers of the control plane when the test got it.
    pulse: String,
}

/// What the host has of a cluster that runs.
pub(super) struct Facts {
    root: Access,
    files: Secret,
    service: Service,
    pub(super) pulse: String,
}

impl Facts {
    /// Of a cluster that has just started: its host may not yet say that all containers run.
    pub(super) async fn of_new(host: &Client, names: &Names) -> Result<Self, Cause> {
        let deadline = Deadline::after("all containers", RUNS);
        loop {
            match Self::read(host, names).await {
                Err(Cause::Restarted) if !deadline.is_over() => {}
                read => return read,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) async fn read(host: &Client, names: &Names) -> Result<Self, Cause> {
        let namespace = names.namespace();
        let secrets: Api<Secret> = Api::namespaced(host.clone(), namespace);
        let services: Api<Service> = Api::namespaced(host.clone(), namespace);
        let (access, files) = (names.kubeconfig_secret(), names.pki_secret());
        let (access, files, service, pulse) = tokio::try_join!(
            secrets.get(&access),
            secrets.get(&files),
            services.get(names.control_plane()),
            pulse(host, names),
        )
        .map_err(request(format!(
            "read what namespace {namespace} holds on host"
        )))?;
        Ok(Self {
            root: Access::from_secret(&access)?,
            files,
            service,
            pulse: pulse.ok_or(Cause::Restarted)?,
        })
    }
}

impl Membership {
    /// Gives a test all rights, and a way to the API server.
    pub(super) async fn begin(
        host: &HostCluster,
        client: &Client,
        names: &Names,
        pool: Pool,
        facts: Facts,
    ) -> Result<(Connection, Self), Cause> {
        let membership = Self {
            pool,
            root: facts.root,
            service: facts.service,
            pulse: facts.pulse,
        };
        let group = new_group();
        let rights = async {
            let root = membership.root(host, client, names).await?;
            let bindings: Api<ClusterRoleBinding> = Api::all(root.own_client()?);
            bindings
                .create(&PostParams::default(), &binding(&group))
                .await
                .map_err(request("give the test its rights in the virtual cluster"))
        };
        let way = async {
            let access = pki::member_of(&group, &facts.files, Timestamp::now())?;
            let endpoint = membership.endpoint(host, client, names).await?.fronted()?;
            let connection = Connection::new(names.cluster(), &access, endpoint).await?;
            // Anybody may ask that, so the test's connection is there when its rights are.
            let answer = connection.client().apiserver_version().await;
            answer.map_err(request("reach the virtual cluster as its test will"))?;
            Ok(connection)
        };
        let (_, connection) = tokio::try_join!(rights, way)?;
        is_admitted(&connection.client()).await?;
        Ok((connection, membership))
    }

    /// The way of the administrator whom no reset locks out.
    pub(super) async fn root(
        &self,
        host: &HostCluster,
        client: &Client,
        names: &Names,
    ) -> Result<Connection, Cause> {
        let endpoint = self.endpoint(host, client, names).await?;
        Connection::new(names.cluster(), &self.root, endpoint).await
    }

    /// Do the containers run that ran when the test got the cluster?
    pub(super) async fn is_whole(&self, host: &Client, names: &Names) -> Result<bool, kube::Error> {
        Ok(pulse(host, names).await?.as_ref() == Some(&self.pulse))
    }

    pub(super) fn pulse(&self) -> &str {
        &self.pulse
    }

    async fn endpoint(
        &self,
        host: &HostCluster,
        client: &Client,
        names: &Names,
    ) -> Result<Endpoint, Cause> {
        let node = host.endpoint_address();
        Endpoint::open(node, &self.service, names, client, API_PORT).await
    }
}

/// Waits until the API server knows of the rights.
async fn is_admitted(client: &Client) -> Result<(), Cause> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    loop {
        match namespaces.get_metadata("default").await {
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            answer => {
                return answer
                    .map(drop)
                    .map_err(request("use the test's rights in the virtual cluster"));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Which containers are the control plane; `None` while not all of them run. Those that were started
/// again may have lost what they had in memory.
async fn pulse(host: &Client, names: &Names) -> Result<Option<String>, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(host.clone(), names.namespace());
    Ok(pods.get_opt(&names.pod()).await?.as_ref().and_then(beat))
}

fn beat(pod: &Pod) -> Option<String> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let runs = containers.iter().all(|container| {
        let state = container.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    });
    let restarts: i32 = containers
        .iter()
        .map(|container| container.restart_count)
        .sum();
    let stays = runs && pod.metadata.deletion_timestamp.is_none();
    stays.then(|| {
        format!(
            "{}:{restarts}",
            pod.metadata.uid.as_deref().unwrap_or_default()
        )
    })
}

fn binding(group: &str) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: ObjectMeta {
            name: Some(BINDING.to_owned()),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: GROUP.to_owned().into(),
            kind: "ClusterRole".to_owned(),
            name: ROLE.to_owned(),
        },
        subjects: Some(vec![Subject {
            api_group: Some(GROUP.to_owned()),
            kind: "Group".to_owned(),
            name: group.to_owned(),
            ..Subject::default()
        }]),
    }
}

/// Nobody was in it before.
fn new_group() -> String {
    // The standard library's random state is seeded by the operating system.
    let random = RandomState::new().hash_one(std::process::id());
    format!("vcluster-test:{random:016x}")
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("pool", &self.pool)
            .field("pulse", &self.pulse)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStatus, PodStatus,
    };

    use super::*;

    fn pod(restarts: i32, runs: bool) -> Pod {
        let container = ContainerStatus {
            restart_count: restarts,
            state: Some(ContainerState {
                running: runs.then(ContainerStateRunning::default),
                ..ContainerState::default()
            }),
            ..ContainerStatus::default()
        };
        Pod {
            metadata: ObjectMeta {
                uid: Some("u1".to_owned()),
                ..ObjectMeta::default()
            },
            status: Some(PodStatus {
                container_statuses: Some(vec![container]),
                ..PodStatus::default()
            }),
            ..Pod::default()
        }
    }

    #[test]
    fn a_container_that_was_started_again_is_another_one() {
        assert_eq!(beat(&pod(0, true)), beat(&pod(0, true)));
        assert_ne!(beat(&pod(0, true)), beat(&pod(1, true)));
    }

    #[test]
    fn what_does_not_run_has_no_pulse() {
        assert_eq!(beat(&pod(0, false)), None);
        assert_eq!(beat(&Pod::default()), None);
        let mut going = pod(0, true);
        going.metadata.deletion_timestamp =
            Some(serde_json::from_str("\"2026-01-02T03:04:05Z\"").unwrap());
        assert_eq!(beat(&going), None);
    }

    #[test]
    fn no_two_uses_have_one_group() {
        assert_ne!(new_group(), new_group());
    }
}
