//! What makes `metrics.k8s.io` one of the virtual cluster's own APIs: the relay answers for it, under a
//! name that leads nowhere else.

use std::{fs, io, path::PathBuf};

use k8s_openapi::{
    api::{core::v1::Service, rbac::v1::ClusterRole},
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    config::SyncConfig,
    labels, standing,
    write::{Error, Writer},
};

/// The name that the API server asks the relay for; none that any name server knows.
pub(crate) const HOST_NAME: &str = "metrics.vcluster-test.invalid";
/// The port that it asks for.
pub(crate) const PORT: u16 = 443;
/// The name in the serving certificate, which follows from the Service's.
pub(crate) const SERVER_NAME: &str = "metrics-server.kube-system.svc";

/// All objects of the API.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    service: Service,
    role: ClusterRole,
    api: APIService,
}

/// The cluster's authority is not readable.
#[derive(Debug, thiserror::Error)]
#[error("could not read {}", path.display())]
pub(crate) struct NoAuthority {
    path: PathBuf,
    source: io::Error,
}

impl MetricsServer {
    /// The API that `config` asks for, if it does.
    pub(crate) fn new(config: &SyncConfig) -> Result<Option<Self>, NoAuthority> {
        if !config.sync.from_host.metrics_server.enabled {
            return Ok(None);
        }
        let path = config.pki.join("ca.crt");
        match fs::read(&path) {
            Ok(authority) => Ok(Some(Self::signed_by(authority))),
            Err(source) => Err(NoAuthority { path, source }),
        }
    }

    fn signed_by(authority: Vec<u8>) -> Self {
        let service = json!({
            "metadata": {
                "name": "metrics-server", "namespace": "kube-system",
                // The host has no use for it.
                "labels": {labels::CONTROLLED_BY: "relay"},
            },
            "spec": {"type": "ExternalName", "externalName": HOST_NAME},
        });
        let to_all = ["admin", "edit", "view"].map(|role| {
            let key = format!("rbac.authorization.k8s.io/aggregate-to-{role}");
            (key, "true".to_owned())
        });
        let role = json!({
            "metadata": {"name": "system:aggregated-metrics-reader"},
            "rules": [{
                "apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"],
                "verbs": ["get", "list", "watch"],
            }],
        });
        let mut role: ClusterRole = standing::object(role);
        role.metadata.labels = Some(to_all.into());
        let api = json!({
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "group": "metrics.k8s.io", "version": "v1beta1",
                "groupPriorityMinimum": 100, "versionPriority": 100,
                "service": {"name": "metrics-server", "namespace": "kube-system", "port": PORT},
            },
        });
        let mut api: APIService = standing::object(api);
        api.spec.get_or_insert_default().ca_bundle = Some(k8s_openapi::ByteString(authority));
        Self {
            service: standing::object(service),
            role,
            api,
        }
    }

    /// Applies everything, again and again until the virtual API server takes it.
    pub(crate) async fn run(self, on_virtual: &Writer, stop: CancellationToken) {
        standing::until_applied("metrics", &stop, || self.apply(on_virtual)).await;
    }

    async fn apply(&self, on_virtual: &Writer) -> Result<(), Error> {
        on_virtual.own(&self.service).await?;
        on_virtual.own(&self.role).await?;
        on_virtual.own(&self.api).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::tests::config, metadata};

    #[test]
    fn the_api_is_there_when_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config();
        config.pki = folder.path().to_owned();
        assert!(MetricsServer::new(&config).unwrap().is_none());
        config.sync.from_host.metrics_server.enabled = true;
        let error = MetricsServer::new(&config).unwrap_err();
        assert!(error.to_string().ends_with("ca.crt"), "{error}");
        fs::write(folder.path().join("ca.crt"), "an authority").unwrap();
        let server = MetricsServer::new(&config).unwrap().unwrap();
        let spec = server.api.spec.unwrap();
        assert_eq!(spec.ca_bundle.unwrap().0, b"an authority");
        let service = spec.service.unwrap();
        let (name, namespace) = (service.name.unwrap(), service.namespace.unwrap());
        assert_eq!(format!("{name}.{namespace}.svc"), SERVER_NAME);
        assert!(metadata::is_controlled_elsewhere(&server.service));
    }
}
