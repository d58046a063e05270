//! How a virtual API server reaches nodes, pods and services: through the syncer's relay.

/// The relay's socket in [`super::Volume::Run`].
pub(crate) const RELAY_SOCKET: &str = "/run/vcluster/relay.sock";

/// The file in [`super::Volume::Config`], and where the API server finds it.
pub(super) const FILE: &str = "egress.yaml";
pub(super) const PATH: &str = "/config/egress.yaml";

/// The API server's configuration, the same for all distros and versions.
pub(super) fn configuration() -> String {
    format!(
        "apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: {RELAY_SOCKET}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::Volume;

    #[test]
    fn the_paths_lie_in_their_volumes() {
        assert_eq!(PATH, format!("{}/{FILE}", Volume::Config.path()));
        assert!(RELAY_SOCKET.starts_with(&format!("{}/", Volume::Run.path())));
    }
}
