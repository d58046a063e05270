//! The container of a node, as kind runs it. Pure: what is asked of the engine, nothing else.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigCgroupnsModeEnum, Mount,
    MountType, MountVolumeOptions, NetworkingConfig, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};

use super::{
    find::NodeRole,
    labels,
    options::{KindOptions, Port},
};

/// The port of the API server in its container.
pub(super) const API_PORT: u16 = 6443;

/// What the machine adds to every node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// Who makes the containers, as a label.
    pub(super) maker: String,
    /// Environment variables, such as a proxy's.
    pub(super) environment: Vec<String>,
    /// The engine maps users, which nodes cannot live with.
    pub(super) remaps_users: bool,
    /// The engine's storage needs `/dev/mapper`.
    pub(super) needs_device_mapper: bool,
    /// The engine runs without root, so `/dev/fuse` has to be given.
    pub(super) is_rootless: bool,
}

/// The container called `name`.
pub(super) fn body(
    name: &str,
    role: NodeRole,
    options: &KindOptions,
    network: &str,
    machine: &Machine,
) -> ContainerCreateBody {
    let is_control_plane = role == NodeRole::ControlPlane;
    let mut environment = machine.environment.clone();
    let mut ports = Vec::new();
    if is_control_plane {
        environment.push("KUBECONFIG=/etc/kubernetes/admin.conf".to_owned());
        ports.push(Port {
            node: API_PORT,
            host: None,
        });
        ports.extend(&options.ports);
    }
    ContainerCreateBody {
        hostname: Some(name.to_owned()),
        image: Some(options.image.clone()),
        // The entrypoint logs to the terminal.
        tty: Some(true),
        env: Some(environment),
        labels: Some(labels(role, options, machine)),
        exposed_ports: Some(ports.iter().map(|port| tcp(port.node)).collect()),
        host_config: Some(host_config(&ports, options, network, machine)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(
                network.to_owned(),
                EndpointSettings::default(),
            )])),
        }),
        ..ContainerCreateBody::default()
    }
}

fn labels(role: NodeRole, options: &KindOptions, machine: &Machine) -> HashMap<String, String> {
    [
        (labels::CLUSTER, options.name.clone()),
        (labels::ROLE, role.label().to_owned()),
        (labels::MADE_BY_US.0, labels::MADE_BY_US.1.to_owned()),
        (labels::MAKER, machine.maker.clone()),
        (labels::NODES, (options.workers + 1).to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn host_config(
    ports: &[Port],
    options: &KindOptions,
    network: &str,
    machine: &Machine,
) -> HostConfig {
    let mut binds = vec!["/lib/modules:/lib/modules:ro".to_owned()];
    if machine.needs_device_mapper {
        binds.push("/dev/mapper:/dev/mapper".to_owned());
    }
    binds.extend(options.mounts.iter().map(|mount| {
        let mode = if mount.read_only { ":ro" } else { "" };
        format!("{}:{}{mode}", mount.source.display(), mount.target)
    }));
    let unconfined = ["seccomp=unconfined", "apparmor=unconfined", "label=disable"];
    let devices = machine.is_rootless.then(|| {
        vec![bollard::models::DeviceMapping {
            path_on_host: Some("/dev/fuse".to_owned()),
            path_in_container: Some("/dev/fuse".to_owned()),
            cgroup_permissions: Some("rwm".to_owned()),
        }]
    });
    HostConfig {
        privileged: Some(true),
        security_opt: Some(unconfined.map(str::to_owned).to_vec()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        userns_mode: machine.remaps_users.then(|| "host".to_owned()),
        init: Some(false),
        tmpfs: Some(
            ["/tmp", "/run"]
                .map(|path| (path.to_owned(), String::new()))
                .into(),
        ),
        binds: Some(binds),
        mounts: Some(vec![volume(&options.name)]),
        devices,
        network_mode: Some(network.to_owned()),
        port_bindings: Some(ports.iter().copied().map(binding).collect()),
        sysctls: options.is_dual_stack().then(forwards_ipv6),
        // Comes back with the engine, and otherwise tries once more at most.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::ON_FAILURE),
            maximum_retry_count: Some(1),
        }),
        ..HostConfig::default()
    }
}

/// The engine switches IPv6 off in a container unless its network has it, and forwarding always.
fn forwards_ipv6() -> HashMap<String, String> {
    [("disable_ipv6", "0"), ("forwarding", "1")]
        .map(|(name, value)| (format!("net.ipv6.conf.all.{name}"), value.to_owned()))
        .into()
}

/// Pods and images stay off the container's own layers. Anonymous, so that it goes with the container; where somebody
/// removes that and leaves its volumes, the labels say whose it was.
fn volume(cluster: &str) -> Mount {
    let labels = [labels::MADE_BY_US, (labels::CLUSTER, cluster)];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Mount {
        target: Some("/var".to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            labels: Some(labels.into()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

fn binding(port: Port) -> (String, Option<Vec<PortBinding>>) {
    let binding = PortBinding {
        host_ip: Some("127.0.0.1".to_owned()),
        host_port: Some(port.host.map_or_else(String::new, |port| port.to_string())),
    };
    (tcp(port.node), Some(vec![binding]))
}

fn tcp(port: u16) -> String {
    format!("{port}/tcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> KindOptions {
        KindOptions {
            name: "web".to_owned(),
            image: "kindest/node:v1.34.2".to_owned(),
            workers: 1,
            ..KindOptions::default()
        }
    }

    fn check(role: NodeRole) -> serde_json::Value {
        let body = body("web-node", role, &options(), "kind", &Machine::default());
        let mut json = serde_json::to_value(body).unwrap();
        json.as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        let host_config = json["HostConfig"].as_object_mut().unwrap();
        host_config.retain(|_, value| !value.is_null());
        json
    }

    #[test]
    fn the_control_plane_publishes_the_api() {
        insta::with_settings!({sort_maps => true}, {
            insta::assert_yaml_snapshot!(check(NodeRole::ControlPlane));
        });
    }

    #[test]
    fn a_worker_publishes_nothing() {
        let worker = check(NodeRole::Worker);
        assert_eq!(worker["HostConfig"]["PortBindings"], serde_json::json!({}));
        assert_eq!(worker["Labels"][labels::ROLE], "worker");
    }

    #[test]
    fn a_node_of_two_families_forwards_ipv6() {
        let options = options().dual_stack();
        let body = body(
            "web",
            NodeRole::Worker,
            &options,
            "kind",
            &Machine::default(),
        );
        let sysctls = body.host_config.unwrap().sysctls.unwrap();
        assert_eq!(sysctls["net.ipv6.conf.all.forwarding"], "1");
    }
}
