//! The kind node image: a Debian tree, the programs of a node, and the images that kubeadm needs, so
//! that a node starts without any registry. It keeps the contract of the official `kindest/node`.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

use super::{
    Builder, Error,
    archive::{self, ImageConfig, Part},
    builder::{Made, blocking, program_layer, write_image},
    kube_proxy,
    layer::Layer,
    shell,
};
use crate::{
    asset::{
        Binary, Component,
        catalogue::Release,
        engine::{Commit, Engine},
        store::Key,
    },
    version::KubernetesVersion,
};

/// Images are made anew when this changes.
const REVISION: &str = "node 1";

const ENTRYPOINT: [&str; 2] = ["/usr/local/bin/entrypoint", "/sbin/init"];

/// What asks systemd in a container to stop.
const STOP_SIGNAL: &str = "SIGRTMIN+3";

/// Pods of all nodes have addresses of this range unless kubeadm is told otherwise.
const POD_SUBNET: &str = "10.244.0.0/16";

/// The kubelet shall know in which cgroup the container runtime is.
const KUBELET: &str = "KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service\n";

macro_rules! files {
    ($(($source:literal, $path:literal, $mode:literal)),* $(,)?) => {
        [$(($path, $mode, include_str!(concat!("../../../build/node/files/", $source)))),*]
    };
}

/// What the project itself puts into a node.
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

/// An image that goes into the node: its name there, and its archive's place.
#[derive(Debug)]
struct Preload {
    reference: String,
    layer: Layer,
    entrypoint: Vec<String>,
}

impl Builder {
    /// The key of the node image of a release.
    ///
    /// # Errors
    /// The release cannot be built here.
    pub(crate) fn node_key(&self, release: &Release) -> Result<Key, Error> {
        let version = release.version;
        let mut inputs = vec![
            REVISION.to_owned(),
            self.node_base_key().digest().to_owned(),
        ];
        for (path, _, text) in FILES {
            inputs.extend([path.to_owned(), text.to_owned()]);
        }
        for binary in programs() {
            inputs.push(self.binary_key(binary, version)?.digest().to_owned());
        }
        inputs.extend([shell::REVISION.to_owned(), release.kubeadm.pause.clone()]);
        Ok(Key::new(format!("node-v{version}"), inputs))
    }

    /// The name of the node image in the engine.
    pub(crate) fn node_reference(&self, version: KubernetesVersion, key: &Key) -> String {
        format!("localhost/vcluster-test/node:v{version}-{}", key.short())
    }

    /// The archive of the node image, built if need be; it is in the engine as well when it was built.
    ///
    /// # Errors
    /// A build fails, or the engine does.
    pub(crate) async fn node(
        &self,
        engine: &Engine,
        release: &Release,
        official: &str,
    ) -> Result<Made, Error> {
        self.check_companions(release)?;
        let key = self.node_key(release)?;
        self.store
            .get_or_make(&key, |output| async move {
                let base = self.node_base(official).await?;
                let preloads = self.preloads(&base, release).await?;
                let programs = self.node_programs(release).await?;
                let step = self
                    .progress
                    .step(format!("assembling the node image v{}", release.version));
                let work = self.store.work("node")?;
                let layer = self
                    .node_layer(release, programs, preloads, work.path())
                    .await?;
                self.assemble(engine, release, &base, layer, work.path(), &output)
                    .await?;
                step.done();
                Ok(())
            })
            .await
    }

    /// A node image must carry what its kubeadm asks for, and not something like it.
    fn check_companions(&self, release: &Release) -> Result<(), Error> {
        let version = release.version;
        for (component, wanted) in [
            (Component::Etcd, &release.kubeadm.etcd),
            (Component::Coredns, &release.kubeadm.coredns),
        ] {
            let have = component.version(&self.catalogue, version);
            if have != *wanted {
                return Err(Error::NodeCompanion {
                    version,
                    component,
                    wanted: wanted.clone(),
                    have,
                });
            }
        }
        Ok(())
    }

    async fn node_programs(&self, release: &Release) -> Result<Vec<(Binary, PathBuf)>, Error> {
        let mut programs = Vec::new();
        for binary in [Binary::Kubeadm, Binary::Kubelet, Binary::Kubectl] {
            programs.push((binary, self.binary(binary, release.version).await?.0));
        }
        Ok(programs)
    }

    /// All that goes onto the tree: programs, files, and archives of images in `/preload`.
    async fn node_layer(
        &self,
        release: &Release,
        programs: Vec<(Binary, PathBuf)>,
        preloads: Vec<Preload>,
        work: &Path,
    ) -> Result<Layer, Error> {
        let version = release.version;
        let services = ["containerd", "kubelet"];
        let mut layer = Layer::default()
            .bytes("kind/version", 0o644, format!("v{version}"))
            .bytes("kind/pod-subnet", 0o644, POD_SUBNET)
            .bytes("etc/default/kubelet", 0o644, KUBELET);
        for service in services {
            let link = format!("etc/systemd/system/multi-user.target.wants/{service}.service");
            layer = layer.link(&link, format!("../{service}.service"));
        }
        for (path, mode, text) in FILES {
            layer = layer.bytes(path, mode, self.fill_in(text, release));
        }
        for (binary, program) in programs {
            layer = layer.copy(&format!("usr/bin/{binary}"), 0o755, program);
        }
        for (number, preload) in preloads.into_iter().enumerate() {
            let archive = work.join(format!("{number:02}.tar"));
            let config = ImageConfig {
                entrypoint: preload.entrypoint,
                ..ImageConfig::default()
            };
            let names = vec![preload.reference];
            write_image(work, archive.clone(), names, config, preload.layer).await?;
            layer = layer.copy(&format!("preload/{number:02}.tar"), 0o644, archive);
        }
        Ok(layer)
    }

    /// The images under the names that kubeadm and the manifests use.
    async fn preloads(&self, base: &Path, release: &Release) -> Result<Vec<Preload>, Error> {
        let version = release.version;
        let kubeadm = &release.kubeadm;
        let pinned = |component: Component| component.version(&self.catalogue, version);
        let programs = [
            (
                Binary::KubeApiserver,
                format!("registry.k8s.io/kube-apiserver:v{version}"),
                "/usr/local/bin/kube-apiserver",
            ),
            (
                Binary::KubeControllerManager,
                format!("registry.k8s.io/kube-controller-manager:v{version}"),
                "/usr/local/bin/kube-controller-manager",
            ),
            (
                Binary::KubeScheduler,
                format!("registry.k8s.io/kube-scheduler:v{version}"),
                "/usr/local/bin/kube-scheduler",
            ),
            (
                Binary::Etcd,
                format!("registry.k8s.io/etcd:{}-0", kubeadm.etcd),
                "/usr/local/bin/etcd",
            ),
            (
                Binary::Coredns,
                format!("registry.k8s.io/coredns/coredns:v{}", kubeadm.coredns),
                "/coredns",
            ),
            (
                Binary::Pause,
                format!("registry.k8s.io/pause:{}", kubeadm.pause),
                "/pause",
            ),
            (
                Binary::LocalPathProvisioner,
                format!(
                    "localhost/vcluster-test/local-path-provisioner:v{}",
                    pinned(Component::LocalPathProvisioner)
                ),
                "/usr/local/bin/local-path-provisioner",
            ),
        ];
        let mut preloads = Vec::new();
        for (binary, reference, path) in programs {
            let (program, _) = self.binary(binary, version).await?;
            preloads.push(Preload {
                reference,
                layer: program_layer(path, program),
                entrypoint: vec![path.to_owned()],
            });
        }
        let (proxy, _) = self.binary(Binary::KubeProxy, version).await?;
        let (wrapper, _) = self.binary(Binary::IptablesWrapper, version).await?;
        let tree = base.to_owned();
        preloads.push(Preload {
            reference: format!("registry.k8s.io/kube-proxy:v{version}"),
            layer: blocking(move || kube_proxy::layer(&tree, proxy, wrapper)).await?,
            entrypoint: Vec::new(),
        });
        let busybox = self.busybox().await?;
        let commands = shell::commands(&busybox).await?;
        preloads.push(Preload {
            reference: format!(
                "localhost/vcluster-test/local-path-helper:v{}",
                pinned(Component::Shell)
            ),
            layer: shell::layer(&busybox, &commands),
            entrypoint: Vec::new(),
        });
        Ok(preloads)
    }

    fn fill_in(&self, text: &str, release: &Release) -> String {
        let pinned = |component: Component| {
            format!("v{}", component.version(&self.catalogue, release.version))
        };
        text.replace("@PAUSE@", &release.kubeadm.pause)
            .replace("@HELPER@", &pinned(Component::Shell))
            .replace("@PROVISIONER@", &pinned(Component::LocalPathProvisioner))
    }

    async fn assemble(
        &self,
        engine: &Engine,
        release: &Release,
        base: &Path,
        layer: Layer,
        work: &Path,
        output: &Path,
    ) -> Result<(), Error> {
        let key = self.node_key(release)?;
        let reference = self.node_reference(release.version, &key);
        let base_reference = format!("localhost/vcluster-test/node-base:{}", key.short());
        let base_archive = work.join("base.tar");
        let filling = work.join("filling.tar");
        {
            let (tree, name) = (base.to_owned(), base_reference.clone());
            let (archive, filling) = (base_archive.clone(), filling.clone());
            let scratch = work.to_owned();
            blocking(move || {
                write_filling(&layer, &filling)?;
                write_base(&tree, &archive, &scratch, name)
            })
            .await?;
        }
        engine.load(&base_archive, &base_reference).await?;
        std::fs::remove_file(&base_archive).map_err(Error::io("remove", &base_archive))?;
        let committed = engine
            .commit(&Commit {
                base: &base_reference,
                reference: &reference,
                command: vec!["/kind/preload".to_owned()],
                upload: &filling,
                entrypoint: ENTRYPOINT.map(ToOwned::to_owned).to_vec(),
                stop_signal: STOP_SIGNAL,
            })
            .await;
        engine.untag(&base_reference).await?;
        committed?;
        engine.save(&reference, output).await?;
        Ok(())
    }
}

/// The programs in a node image.
fn programs() -> [Binary; 12] {
    [
        Binary::Kubeadm,
        Binary::Kubelet,
        Binary::Kubectl,
        Binary::KubeApiserver,
        Binary::KubeControllerManager,
        Binary::KubeScheduler,
        Binary::KubeProxy,
        Binary::Etcd,
        Binary::Coredns,
        Binary::LocalPathProvisioner,
        Binary::Pause,
        Binary::IptablesWrapper,
    ]
}

fn write_filling(layer: &Layer, output: &Path) -> Result<(), Error> {
    let file = File::create(output).map_err(Error::io("create", output))?;
    layer
        .write_to(BufWriter::new(file))
        .map_err(Error::io("write", output))
}

fn write_base(tree: &Path, output: &Path, scratch: &Path, name: String) -> Result<(), Error> {
    let file = File::create(output).map_err(Error::io("create", output))?;
    let (config, parts) = (ImageConfig::default(), [Part::Tar(tree)]);
    archive::write(BufWriter::new(file), scratch, &[name], &config, &parts)
        .map_err(Error::io("write", output))
}
