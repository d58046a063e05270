//! The files that the project itself puts into a node image.

use super::layer::Layer;
use crate::asset::{Catalogue, Component, catalogue::Release};

macro_rules! files {
    ($(($source:literal, $path:literal, $mode:literal)),* $(,)?) => {
        [$(($path, $mode, include_str!(concat!("../../../build/node/files/", $source)))),*]
    };
}

const FILES: [(&str, u32, &str); 11] = files![
    ("entrypoint", "usr/local/bin/entrypoint", 0o755),
    ("preload", "kind/preload", 0o755),
    (
        "prepare-kubelet-cgroups",
        "kind/bin/prepare-kubelet-cgroups",
        0o755
    ),
    ("containerd.toml", "etc/containerd/config.toml", 0o644),
    (
        "containerd.service",
        "etc/systemd/system/containerd.service",
        0o644
    ),
    (
        "kubelet.service",
        "etc/systemd/system/kubelet.service",
        0o644
    ),
    ("kubelet.slice", "etc/systemd/system/kubelet.slice", 0o644),
    ("sysctl.conf", "etc/sysctl.d/10-node.conf", 0o644),
    (
        "10-kindnet.conflist",
        "etc/cni/net.d/10-kindnet.conflist",
        0o644
    ),
    ("default-cni.yaml", "kind/manifests/default-cni.yaml", 0o644),
    (
        "default-storage.yaml",
        "kind/manifests/default-storage.yaml",
        0o644
    ),
];

/// kind's usual range; the CNI configuration and the entrypoint agree on it.
const POD_SUBNET: &str = "10.244.0.0/16";

/// The kubelet shall know in which cgroup the container runtime is.
const KUBELET: &str = "KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service\n";

/// What starts with the machine.
const SERVICES: [&str; 2] = ["containerd", "kubelet"];

/// All of them, for a release.
pub(super) fn layer(catalogue: &Catalogue, release: &Release) -> Layer {
    let mut layer = Layer::default()
        .bytes("kind/version", 0o644, format!("v{}", release.version))
        .bytes("kind/pod-subnet", 0o644, POD_SUBNET)
        .bytes("etc/default/kubelet", 0o644, KUBELET);
    for service in SERVICES {
        let link = format!("etc/systemd/system/multi-user.target.wants/{service}.service");
        layer = layer.link(&link, format!("../{service}.service"));
    }
    for (path, mode, text) in FILES {
        layer = layer.bytes(path, mode, fill_in(text, catalogue, release));
    }
    layer
}

/// All that decides what is in them, for a key.
pub(super) fn inputs() -> Vec<&'static str> {
    let texts = FILES.iter().flat_map(|(path, _, text)| [*path, *text]);
    texts.chain([POD_SUBNET, KUBELET]).collect()
}

fn fill_in(text: &str, catalogue: &Catalogue, release: &Release) -> String {
    let pinned =
        |component: Component| format!("v{}", component.version(catalogue, release.version));
    text.replace("@PAUSE@", &release.kubeadm.pause)
        .replace("@HELPER@", &pinned(Component::Shell))
        .replace("@PROVISIONER@", &pinned(Component::LocalPathProvisioner))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_yaml_ng::{Deserializer, Value};

    use super::*;

    fn filled(name: &str) -> String {
        let catalogue = Catalogue::embedded();
        let release = catalogue.resolve("1.34.2".parse().unwrap()).unwrap();
        let (_, _, text) = FILES
            .iter()
            .find(|(path, _, _)| path.ends_with(name))
            .unwrap();
        fill_in(text, &catalogue, release)
    }

    #[test]
    fn nothing_is_left_open() {
        for (path, _, _) in FILES {
            let text = filled(path);
            for open in ["@PAUSE@", "@HELPER@", "@PROVISIONER@"] {
                assert!(!text.contains(open), "{open} in {path}");
            }
        }
    }

    #[test]
    fn manifests_name_only_images_that_are_preloaded() {
        let text = filled("default-storage.yaml");
        let expected = [
            "localhost/vcluster-test/local-path-helper:v1.35.0",
            "localhost/vcluster-test/local-path-provisioner:v0.0.30",
        ];
        for line in text.lines().filter(|line| line.contains("image: ")) {
            let image = line.trim().trim_start_matches("image: ");
            assert!(expected.contains(&image), "{image}");
        }
        for document in Deserializer::from_str(&text) {
            assert!(Value::deserialize(document).unwrap()["kind"].is_string());
        }
    }

    #[test]
    fn the_sandbox_image_is_the_one_kubeadm_names() {
        let text = filled("config.toml");
        assert!(text.contains("sandbox_image = \"registry.k8s.io/pause:3.10.1\""));
        toml::from_str::<toml::Table>(&text).unwrap();
    }

    #[test]
    fn the_network_configuration_lies_in_the_pod_subnet() {
        let configuration: Value = serde_yaml_ng::from_str(&filled("10-kindnet.conflist")).unwrap();
        let subnet = &configuration["plugins"][0]["ipam"]["ranges"][0][0]["subnet"];
        assert_eq!(subnet, "10.244.0.0/24");
        assert!(POD_SUBNET.starts_with("10.244."));
    }
}
