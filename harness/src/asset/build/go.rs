//! Building a static program from a Go module.

use std::{path::Path, time::Duration};

use tokio::process::Command;

use super::{Error, command, go_module::GoModule};
use crate::{
    asset::{
        Binary,
        store::{Key, Store},
    },
    progress::Progress,
    version::KubernetesVersion,
};

/// One program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoBuild {
    /// What is being built, with its version: `kubelet-v1.34.2`.
    pub(crate) title: String,
    /// The module that is built in.
    pub(crate) module: GoModule,
    /// The package of the command.
    pub(crate) package: String,
    /// `name=value` for the linker's `-X`.
    pub(crate) variables: Vec<String>,
}

/// A cold build of the API server takes four minutes on two cores.
const LIMIT: Duration = Duration::from_mins(40);

/// Go uses all cores by itself; two builds at a time only get in each other's way.
static IN_THIS_PROCESS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl GoBuild {
    /// A command of Kubernetes itself, which must be told its version: it is not in the module.
    pub(crate) fn kubernetes(binary: Binary, version: KubernetesVersion, module: GoModule) -> Self {
        let variables = [
            "k8s.io/component-base/version",
            "k8s.io/client-go/pkg/version",
        ]
        .into_iter()
        .flat_map(|package| {
            [
                format!("{package}.gitVersion=v{version}"),
                format!("{package}.gitMajor={}", version.major),
                format!("{package}.gitMinor={}", version.minor),
                format!("{package}.gitTreeState=clean"),
            ]
        })
        .collect();
        Self {
            title: format!("{binary}-v{version}"),
            module,
            package: format!("k8s.io/kubernetes/cmd/{binary}"),
            variables,
        }
    }

    /// Another command.
    pub(crate) fn plain(title: String, module: GoModule, package: &str) -> Self {
        Self {
            title,
            module,
            package: package.to_owned(),
            variables: Vec::new(),
        }
    }

    /// All that decides what comes out, but for the Go version: a build stays good when Go moves on.
    pub(crate) fn key(&self) -> Key {
        let mut inputs = vec!["go 1", std::env::consts::ARCH, &self.package];
        inputs.extend(self.variables.iter().map(String::as_str));
        inputs.extend(self.module.inputs());
        Key::new(&self.title, inputs)
    }

    /// Builds it into `output`.
    ///
    /// # Errors
    /// Go is missing or failed.
    pub(crate) async fn run(
        &self,
        store: &Store,
        progress: &Progress,
        output: &Path,
    ) -> Result<(), Error> {
        if !command::exists("go") {
            return Err(Error::MissingTool {
                tool: "go",
                purpose: "to build Kubernetes and its companions from source",
                remedy: "install Go 1.26 or newer, or make the images available through a registry, \
                         a mirror (VCLUSTER_TEST_MIRROR) or a directory (VCLUSTER_TEST_ASSETS)",
            });
        }
        let _one = IN_THIS_PROCESS.lock().await;
        let _claim = store.claim("go-build", "a Go build").await?;
        let step = progress.step(format!("building {}", self.title));
        let work = store.work(&format!("go-{}", self.key()))?;
        self.module.write_to(work.path())?;
        command::run(&mut self.command(work.path(), output), LIMIT).await?;
        step.done();
        Ok(())
    }

    fn command(&self, directory: &Path, output: &Path) -> Command {
        let flags = std::iter::once("-s -w".to_owned())
            .chain(
                self.variables
                    .iter()
                    .map(|variable| format!("-X {variable}")),
            )
            .collect::<Vec<_>>()
            .join(" ");
        let mut command = Command::new("go");
        command
            .current_dir(directory)
            .args(["build", "-trimpath", "-mod=readonly", "-buildvcs=false"])
            .args(["-ldflags", &flags, "-o"])
            .arg(output)
            .arg(&self.package)
            .env("CGO_ENABLED", "0")
            .env("GOOS", "linux")
            .env("GOWORK", "off")
            // Flags of the user's own projects.
            .env_remove("GOFLAGS");
        command
    }
}
