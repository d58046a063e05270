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
    blocking::blocking,
    builder::Made,
    layer::Layer,
    node_files, shell,
    source::Source,
};
use crate::{
    asset::{
        Binary,
        catalogue::Release,
        store::{Key, Work},
    },
    engine::{Commit, Engine},
    version::KubernetesVersion,
};

/// Images are made anew when this changes.
const REVISION: &str = "node 1";

const ENTRYPOINT: [&str; 2] = ["/usr/local/bin/entrypoint", "/sbin/init"];

/// What asks systemd in a container to stop.
const STOP_SIGNAL: &str = "SIGRTMIN+3";

/// What a build needs while it runs, on the disk of the cache. The engine needs half as much.
const SPACE: u64 = 4 << 30;

/// The programs outside of containers.
const ON_THE_NODE: [Binary; 3] = [Binary::Kubeadm, Binary::Kubelet, Binary::Kubectl];

/// The programs in containers.
const IN_IMAGES: [Binary; 9] = [
    Binary::KubeApiserver,
    Binary::KubeControllerManager,
    Binary::KubeScheduler,
    Binary::KubeProxy,
    Binary::Etcd,
    Binary::Coredns,
    Binary::LocalPathProvisioner,
    Binary::Pause,
    Binary::IptablesWrapper,
];

impl Builder {
    /// The key of the node image of a release.
    ///
    /// # Errors
    /// The release cannot be built here.
    pub(crate) fn node_key(&self, release: &Release) -> Result<Key, Error> {
        let base = Self::node_base_key();
        let pause = release.kubeadm.pause.as_str();
        let mut inputs = vec![REVISION, shell::REVISION, pause, base.digest()];
        inputs.extend_from_slice(&node_files::inputs());
        let programs = ON_THE_NODE
            .iter()
            .chain(&IN_IMAGES)
            .map(|binary| Ok(Source::on_node(*binary, &self.catalogue, release)?.key()))
            .collect::<Result<Vec<_>, Error>>()?;
        inputs.extend(programs.iter().map(Key::digest));
        Ok(Key::new(format!("node-v{}", release.version), inputs))
    }

    /// The name of the node image in the engine.
    pub(crate) fn node_reference(version: KubernetesVersion, key: &Key) -> String {
        format!("localhost/vcluster-test/node:v{version}-{}", key.short())
    }

    /// The archive of the node image, built if need be; the engine has it as well when it was built.
    ///
    /// # Errors
    /// A build fails, or the engine does.
    pub(crate) async fn node(
        &self,
        engine: &Engine,
        release: &Release,
        official: &str,
    ) -> Result<Made, Error> {
        let key = &self.node_key(release)?;
        self.store
            .get_or_make(key, |output| async move {
                self.store.check_space(SPACE)?;
                let tree = self.node_base(official).await?;
                let preloads = self.preloads(&tree, release).await?;
                let mut layer = node_files::layer(&self.catalogue, release);
                for binary in ON_THE_NODE {
                    let (program, _) = self.binary(binary, release.version).await?;
                    layer = layer.copy(&format!("usr/bin/{binary}"), 0o755, program);
                }
                let step = self
                    .progress
                    .step(format!("assembling the node image v{}", release.version));
                let work = self.store.work(&key.to_string())?;
                for (number, preload) in preloads.into_iter().enumerate() {
                    let archive = preload.write(&work, number).await?;
                    layer = layer.copy(&format!("preload/{number:02}.tar"), 0o644, archive);
                }
                let reference = Self::node_reference(release.version, key);
                assemble(engine, &tree, layer, &work, &reference).await?;
                engine.save(&reference, &output).await?;
                step.done();
                Ok(())
            })
            .await
    }
}

/// Makes the image in the engine: first the tree alone, then, by running it once, all the rest.
async fn assemble(
    engine: &Engine,
    tree: &Path,
    layer: Layer,
    work: &Work,
    reference: &str,
) -> Result<(), Error> {
    let name = reference.rsplit_once(':').map_or(reference, |(_, tag)| tag);
    let base = format!("localhost/vcluster-test/node-base:{name}");
    let archive = work.path().join("base.tar");
    let filling = work.path().join("filling.tar");
    let written = Parts {
        tree: tree.to_owned(),
        layer,
        archive: archive.clone(),
        filling: filling.clone(),
        scratch: work.path().to_owned(),
        base: base.clone(),
    };
    blocking(move || written.write()).await?;
    engine.load(&archive, &base).await?;
    let committed = engine
        .commit(&Commit {
            container: &format!("vcluster-test-makes-node-{name}"),
            base: &base,
            reference,
            command: vec!["/kind/preload".to_owned()],
            upload: &filling,
            entrypoint: ENTRYPOINT.map(ToOwned::to_owned).to_vec(),
            stop_signal: STOP_SIGNAL,
        })
        .await;
    engine.untag(&base).await?;
    Ok(committed?)
}

/// The two files that the engine is given.
#[derive(Debug)]
struct Parts {
    tree: PathBuf,
    layer: Layer,
    archive: PathBuf,
    filling: PathBuf,
    scratch: PathBuf,
    base: String,
}

impl Parts {
    fn write(&self) -> Result<(), Error> {
        let create = |path: &Path| File::create(path).map_err(Error::io("create", path));
        self.layer
            .write_to(BufWriter::new(create(&self.filling)?))
            .map_err(Error::io("write", &self.filling))?;
        let names = [self.base.clone()];
        let config = ImageConfig::default();
        let parts = [Part::Tar(&self.tree)];
        let output = BufWriter::new(create(&self.archive)?);
        archive::write(output, &self.scratch, &names, &config, &parts)
            .map_err(Error::io("write", &self.archive))
    }
}
