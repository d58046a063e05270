//! The Debian tree below a kind node: init, container runtime, network tools.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::{Builder, Error, command, debian};
use crate::asset::store::Key;

/// Debian 12: its systemd starts on cgroup v1 as well as v2; the next one needs v2.
const SUITE: &str = "bookworm";

const PACKAGES: &str = "bash,ca-certificates,conntrack,containerd,containernetworking-plugins,\
                        dbus,ethtool,iproute2,iptables,kmod,mount,nftables,procps,runc,socat,\
                        systemd,systemd-sysv";

const CUSTOMIZE: &str = include_str!("../../../build/node/customize.sh");

/// What a container has of its own.
const MOUNTED: [&str; 4] = ["./dev/*", "./proc/*", "./sys/*", "./run/*"];

const LIMIT: Duration = Duration::from_mins(30);

impl Builder {
    /// The key of the tree.
    pub(super) fn node_base_key() -> Key {
        let inputs = ["1", SUITE, PACKAGES, CUSTOMIZE, std::env::consts::ARCH];
        Key::new(format!("node-base-{SUITE}"), inputs)
    }

    /// A tar of the tree.
    ///
    /// # Errors
    /// This user is not root, this is no Debian, or a mirror does not answer.
    pub(super) async fn node_base(&self, official: &str) -> Result<PathBuf, Error> {
        let key = &Self::node_base_key();
        let (path, _) = self
            .store
            .get_or_make(key, |output| async move {
                if !rustix::process::geteuid().is_root() {
                    return Err(Error::NeedsRoot {
                        official: official.to_owned(),
                    });
                }
                let step = self
                    .progress
                    .step("installing Debian into a directory for the node image");
                let work = self.store.work(&key.to_string())?;
                self.make_node_base(work.path(), &output).await?;
                step.done();
                Ok(())
            })
            .await?;
        Ok(path)
    }

    async fn make_node_base(&self, work: &Path, output: &Path) -> Result<(), Error> {
        let tree = work.join("tree");
        let mirror = debian::mirror(SUITE).await?;
        let installer = debian::unpack("debootstrap", work).await?;
        command::run(&mut debootstrap(&installer, &tree, &mirror), LIMIT).await?;
        let script = tree.join("customize.sh");
        std::fs::write(&script, CUSTOMIZE).map_err(Error::io("write", &script))?;
        command::run(
            private_mounts()
                .arg("chroot")
                .arg(&tree)
                .args(["/bin/sh", "/customize.sh"])
                .env("LC_ALL", "C"),
            LIMIT,
        )
        .await?;
        debian::pack(&tree, &MOUNTED, output).await
    }
}

fn debootstrap(installer: &Path, tree: &Path, mirror: &str) -> Command {
    let mut command = private_mounts();
    command
        .arg("sh")
        .arg(installer.join("usr/sbin/debootstrap"))
        .args(["--variant=minbase", &format!("--include={PACKAGES}")])
        .arg(SUITE)
        .arg(tree)
        .arg(mirror)
        .env("DEBOOTSTRAP_DIR", installer.join("usr/share/debootstrap"))
        .env("LC_ALL", "C");
    command
}

/// What is mounted in the tree goes with the process, even a killed one.
fn private_mounts() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]);
    command
}
