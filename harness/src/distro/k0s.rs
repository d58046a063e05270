//! k0s: one program that unpacks, configures and supervises the upstream ones.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{
    Container, ControlPlane, ControlPlaneContext, Distro, Mount, NOBODY, OutsideDatabase,
    Privileges, Requests, Scheduling, StoreAccess, Volume, controllers, egress,
};
use crate::{
    asset::Component,
    datastore::{Datastore, DatastoreKind},
    version::KubernetesVersion,
};

/// k0s in its official image, with kine and `SQLite` unless told otherwise.
///
/// A cluster of it differs from upstream's in a namespace `k0s-autopilot` that is always there, and in
/// its rejecting anonymous requests even for health.
#[derive(Debug, Clone, Copy)]
pub struct K0s;

const CONFIG: &str = "k0s.yaml";
const LEFT_OUT: &str = "disabled-components";
const USERS: &str = "passwd";

/// Puts the authorities where k0s looks for them, in files of its own: it changes their owners. With a
/// certificate but no key it would replace the authority without a word. The names of our authorities
/// are those with which it makes its own certificates anew at every start. All but the one of aggregated
/// APIs are one, as in the rest of this project.
///
/// Its configuration comes in a variable, which is read whenever the container starts, and goes on as a
/// file that nobody else reads: it may hold the password of a database.
const SCRIPT: &str = r#"set -eu
mkdir -p /etc/k0s
(umask 077; printf %s "$CONFIGURATION" > /etc/k0s/k0s.yaml)
unset CONFIGURATION
pki=/var/lib/k0s/pki
mkdir -p -m 0751 "$pki"
mkdir -p -m 0711 "$pki/etcd"
for authority in ca front-proxy-ca etcd/ca; do
  cp "/pki/${authority#etcd/}.crt" "$pki/$authority.crt"
  cp "/pki/${authority#etcd/}.key" "$pki/$authority.key"
  chmod 0644 "$pki/$authority.crt"
  chmod 0640 "$pki/$authority.key"
done
cp /pki/sa.key /pki/sa.pub "$pki/"
chmod 0640 "$pki/sa.key"
chmod 0644 "$pki/sa.pub"
exec k0s "$@"
"#;

/// What it runs beside the API server, the controller manager and the store. A name that it does not
/// know is an error.
const COMPONENTS: &[&str] = &[
    "applier-manager",
    "autopilot",
    "control-api",
    "coredns",
    "csr-approver",
    "endpoint-reconciler",
    "helm",
    "konnectivity-server",
    "kube-proxy",
    "metrics-server",
    "network-provider",
    "node-role",
    "system-rbac",
    "windows-node",
    "worker-config",
];

/// Those that can only be left out since a minor version. The `update-prober` of older releases is
/// there and asks nothing within the life of a test.
const LATER_COMPONENTS: &[(u32, &str)] = &[(34, "update-prober")];

/// For the owners of files and for processes of other users.
const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "SETGID",
    "SETUID",
];

/// The users that k0s starts its programs as.
const PROGRAM_USERS: &[&str] = &[
    "etcd",
    "konnectivity-server",
    "kube-apiserver",
    "kube-scheduler",
];

impl Distro for K0s {
    fn name(&self) -> &'static str {
        "k0s"
    }

    fn control_plane(
        &self,
        version: KubernetesVersion,
        cx: &ControlPlaneContext<'_>,
    ) -> ControlPlane {
        let mut control_plane = ControlPlane::of(vec![controller(cx)]);
        control_plane.store = Some(match cx.store {
            Some(Datastore::Etcd) => StoreAccess::SecurePort,
            // Its kine listens there whatever is behind it.
            _ => StoreAccess::Socket(Volume::Run, "kine.sock:2379"),
        });
        control_plane.files.insert(USERS, users());
        let left_out = left_out(version, cx.scheduling).join(",");
        control_plane.files.insert(LEFT_OUT, left_out);
        let configuration = configuration(version, cx);
        match cx.store {
            // It takes the endpoint from this file alone, and tells its kine on a command line inside the
            // container.
            Some(Datastore::External(endpoint)) => {
                control_plane.database = Some(OutsideDatabase::at(endpoint, NAME));
                control_plane.secrets.insert(CONFIG, configuration.into());
            }
            _ => {
                control_plane.files.insert(CONFIG, configuration);
            }
        }
        control_plane
    }

    fn stores(&self) -> &'static [DatastoreKind] {
        &[
            DatastoreKind::Kine,
            DatastoreKind::Etcd,
            DatastoreKind::External,
        ]
    }
}

/// Its container.
const NAME: &str = "k0s";

fn controller(cx: &ControlPlaneContext<'_>) -> Container {
    let command = [
        "/bin/sh",
        "-c",
        SCRIPT,
        "k0s",
        "controller",
        "--config=/etc/k0s/k0s.yaml",
        "--disable-components=$(DISABLED_COMPONENTS)",
    ];
    let mut file_environment = BTreeMap::from([("DISABLED_COMPONENTS", LEFT_OUT)]);
    let mut secret_environment = BTreeMap::new();
    let configuration = match cx.store {
        Some(Datastore::External(_)) => &mut secret_environment,
        _ => &mut file_environment,
    };
    configuration.insert("CONFIGURATION", CONFIG);
    let mut mounts = Volume::OF_API_SERVERS.to_vec();
    let data = if matches!(cx.store, Some(Datastore::Etcd)) {
        "/var/lib/k0s/etcd"
    } else {
        // The socket of its kine is for the syncer's container, too.
        mounts.push(Volume::Run.mount_at("/run/k0s/kine"));
        "/var/lib/k0s/db"
    };
    mounts.extend([
        // The programs that it unpacks beside it need not be in memory twice.
        Volume::Data.mount_at(data),
        Mount {
            volume: Volume::Config,
            file: Some(USERS),
            path: "/etc/passwd",
        },
    ]);
    Container {
        command: command.map(str::to_owned).into(),
        file_environment,
        secret_environment,
        mounts,
        privileges: Privileges {
            root: true,
            capabilities: CAPABILITIES,
            writable_files: true,
        },
        ..Container::new(
            NAME,
            Component::K0s,
            Requests {
                cpu_millis: 70,
                memory_mib: 450,
            },
        )
    }
}

fn left_out(version: KubernetesVersion, scheduling: Scheduling) -> Vec<&'static str> {
    let later = LATER_COMPONENTS
        .iter()
        .filter(|(since, _)| *since <= version.minor)
        .map(|(_, name)| *name);
    let scheduler = (scheduling == Scheduling::Host).then_some("kube-scheduler");
    let mut names: Vec<_> = COMPONENTS
        .iter()
        .copied()
        .chain(later)
        .chain(scheduler)
        .collect();
    names.sort_unstable();
    names
}

fn configuration(version: KubernetesVersion, cx: &ControlPlaneContext<'_>) -> String {
    let settings = controllers::settings(cx.replicas);
    let mut controllers: serde_json::Map<_, _> = settings
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    let selection = controllers::selection(version, cx.scheduling);
    controllers.insert(controllers::SETTING.to_owned(), selection.into());
    let storage = match cx.store {
        None | Some(Datastore::Kine) => json!({ "type": "kine" }),
        Some(Datastore::Etcd) => json!({ "type": "etcd" }),
        Some(Datastore::External(endpoint)) => json!({
            "type": "kine",
            "kine": { "dataSource": endpoint.for_kine().expose_secret() },
        }),
    };
    let configuration = json!({
        "apiVersion": "k0s.k0sproject.io/v1beta1",
        "kind": "ClusterConfig",
        "metadata": { "name": "k0s" },
        "spec": {
            "api": {
                "port": 6443,
                "sans": cx.names,
                "extraArgs": {
                    "egress-selector-config-file": egress::PATH,
                    // The syncer says where the API server is, for all distros alike.
                    "endpoint-reconciler-type": "none",
                },
            },
            "controllerManager": { "extraArgs": controllers },
            "network": {
                "provider": "custom",
                // Of no consequence: the host gives pods their addresses.
                "podCIDR": "10.244.0.0/16",
                "serviceCIDR": cx.service_ranges.to_string(),
                "clusterDomain": cx.domain,
            },
            "storage": storage,
            "telemetry": { "enabled": false },
        },
    });
    serde_yaml_ng::to_string(&configuration).expect("text and numbers have a form in YAML")
}

/// All of them are the user of the syncer, whose relay serves no other.
fn users() -> String {
    let mut lines = vec!["root:x:0:0:root:/root:/bin/sh".to_owned()];
    lines.extend(
        PROGRAM_USERS
            .iter()
            .map(|name| format!("{name}:x:{NOBODY}:{NOBODY}::/var/lib/k0s:/sbin/nologin")),
    );
    lines.join("\n") + "\n"
}
