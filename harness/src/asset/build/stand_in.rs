//! What stands in for k3s and k0s in this project's own tests, where their images cannot be had.

use std::{
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{
    Builder, Error, archive::ImageConfig, builder::write_image, go::GoBuild, go_module, shell,
    source::Source,
};
use crate::{
    asset::{Binary, store::Key},
    version::KubernetesVersion,
};

/// The image is made anew when this changes.
const REVISION: &str = "2";

const NAME: &str = "distro-stand-in";

/// The upstream programs that it starts.
const PROGRAMS: [Binary; 4] = [
    Binary::Etcd,
    Binary::Kine,
    Binary::KubeApiserver,
    Binary::KubeControllerManager,
];

/// A stand-in for k3s and k0s: not a distro, and no source of any image.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// The program that is called `k3s` and `k0s` in the image.
    pub program: PathBuf,
    /// The image, as `VCLUSTER_TEST_ASSETS` takes it.
    pub archive: PathBuf,
}

impl StandIn {
    /// Puts it into a user's directory of assets, under the name that the image of a distro has there, such as
    /// `k3s-v1.34.2`.
    ///
    /// # Errors
    /// The directory cannot be written, or has such an image.
    #[doc(hidden)]
    pub fn offer(&self, directory: &Path, image: &str) -> io::Result<()> {
        let images = directory.join("images");
        std::fs::create_dir_all(&images)?;
        symlink(&self.archive, images.join(format!("{image}.tar")))
    }
}

impl Builder {
    /// A stand-in with the upstream programs of this version.
    ///
    /// # Errors
    /// A build fails.
    pub(crate) async fn stand_in(&self, version: KubernetesVersion) -> Result<StandIn, Error> {
        let source = Source::Go(GoBuild {
            // Not every version takes the same command line.
            variables: vec![format!("main.minor={}", version.minor)],
            ..GoBuild::plain(NAME.to_owned(), go_module::STAND_IN, ".")
        });
        let (program, _) = self.program(&source).await?;
        let mut files = vec![
            ("bin/k3s".to_owned(), program.clone()),
            ("usr/local/bin/k0s".to_owned(), program.clone()),
        ];
        let mut inputs = vec![REVISION.to_owned(), shell::REVISION.to_owned()];
        inputs.push(source.key().digest().to_owned());
        for binary in PROGRAMS {
            let (path, _) = self.binary(binary, version).await?;
            inputs.push(self.binary_key(binary, version)?.digest().to_owned());
            files.push((format!("usr/local/bin/{binary}"), path));
        }
        let key = Key::new(format!("image-{NAME}-v{version}"), inputs);
        let reference = format!("localhost/vcluster-test/{NAME}:v{version}-{}", key.short());
        let (archive, _) = self
            .store
            .get_or_make(&key, |output| async {
                let mut layer = self.shell_layer().await?;
                for (path, source) in files {
                    layer = layer.copy(&path, 0o755, source);
                }
                let work = self.store.work(&key.to_string())?;
                let config = ImageConfig::default();
                write_image(&work, output, vec![reference], config, layer).await
            })
            .await?;
        Ok(StandIn { program, archive })
    }
}
