//! What a reaper is told, through files in the directory of the run it watches.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::config::Kubeconfig;
use serde::{Deserialize, Serialize};

use crate::{host::idle::Idle, lease::write_private};

const ORDER: &str = "order.json";
const KUBECONFIG: &str = "kubeconfig";

/// Whom to watch, and what to clean up afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Everything labelled with this session is removed.
    pub session: String,
    /// The host's name, for the log.
    pub host: String,
    /// Where the end of the reaper's own log is kept.
    pub log: PathBuf,
    /// How long it may take.
    pub limit: Duration,
    /// What becomes of the host when nobody uses it any more; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<Idle>,
}

impl Order {
    /// Writes the order for the reaper of this run.
    pub(super) fn write(&self, directory: &Path, kubeconfig: &Kubeconfig) -> io::Result<()> {
        let order = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        let kubeconfig = serde_yaml_ng::to_string(kubeconfig).map_err(io::Error::other)?;
        write_private(&directory.join(ORDER), &order)?;
        write_private(&directory.join(KUBECONFIG), &kubeconfig)
    }

    /// Reads the order of a run. The files may be gone later, so this is the first thing a reaper does.
    pub(super) fn read(directory: &Path) -> io::Result<(Self, Kubeconfig)> {
        let order = std::fs::read_to_string(directory.join(ORDER))?;
        let kubeconfig = std::fs::read_to_string(directory.join(KUBECONFIG))?;
        Ok((
            serde_json::from_str(&order)?,
            Kubeconfig::from_yaml(&kubeconfig).map_err(io::Error::other)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_order_is_read_back_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let order = Order {
            session: "s1".to_owned(),
            host: "kind".to_owned(),
            log: PathBuf::from("/x/reaper.log"),
            limit: Duration::from_mins(1),
            idle: Some(Idle {
                after: Duration::from_mins(30),
                cache: PathBuf::from("/x"),
            }),
        };
        let kubeconfig = Kubeconfig::from_yaml(
            "{apiVersion: v1, kind: Config, users: [{name: a, user: {token: hush}}]}",
        )
        .unwrap();
        order.write(directory.path(), &kubeconfig).unwrap();
        let (read, kubeconfig) = Order::read(directory.path()).unwrap();
        assert_eq!(read, order);
        assert!(
            kubeconfig.auth_infos[0]
                .auth_info
                .as_ref()
                .unwrap()
                .token
                .is_some()
        );
        for file in [ORDER, KUBECONFIG] {
            let mode = std::fs::metadata(directory.path().join(file)).unwrap();
            assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        }
    }
}
