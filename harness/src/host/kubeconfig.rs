//! Kubeconfigs of hosts: rewritten in memory, never written to the user's files.

use kube::config::{Cluster, Context, Kubeconfig, KubeconfigError, NamedCluster, NamedContext};

use super::Error;

/// kubeadm's `admin.conf` with the address at which this machine reaches the API server, named as the
/// kind command line names it.
pub(crate) fn from_admin_conf(
    text: &str,
    cluster: &str,
    server: &str,
) -> Result<Kubeconfig, Error> {
    let origin = || format!("kind cluster {cluster}");
    let parsed = Kubeconfig::from_yaml(text).map_err(failed(origin()))?;
    let (Some(named_cluster), Some(mut user)) = (
        parsed.clusters.into_iter().next(),
        parsed.auth_infos.into_iter().next(),
    ) else {
        return Err(Error::KubeconfigContent {
            origin: origin(),
            reason: "it has no cluster or no user".to_owned(),
        });
    };
    let name = format!("kind-{cluster}");
    let cluster = named_cluster.cluster.map(|cluster| Cluster {
        server: Some(server.to_owned()),
        // The machine's proxy settings do not apply to a port of this machine.
        proxy_url: None,
        ..cluster
    });
    user.name.clone_from(&name);
    Ok(Kubeconfig {
        kind: Some("Config".to_owned()),
        api_version: Some("v1".to_owned()),
        clusters: vec![NamedCluster {
            name: name.clone(),
            cluster,
            ..NamedCluster::default()
        }],
        contexts: vec![NamedContext {
            name: name.clone(),
            context: Some(Context {
                cluster: name.clone(),
                user: Some(name.clone()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        auth_infos: vec![user],
        current_context: Some(name),
        ..Kubeconfig::default()
    })
}

/// Only `context` of `config`: what nobody named is not carried along.
pub(crate) fn only(
    mut config: Kubeconfig,
    context: Option<&str>,
    origin: &str,
) -> Result<Kubeconfig, Error> {
    let lacks = |reason: String| Error::KubeconfigContent {
        origin: origin.to_owned(),
        reason,
    };
    let name = context
        .map(str::to_owned)
        .or_else(|| config.current_context.clone())
        .ok_or_else(|| lacks("it has no current context, so name one".to_owned()))?;
    let names: Vec<String> = config.contexts.iter().map(|c| c.name.clone()).collect();
    config.contexts.retain(|context| context.name == name);
    let Some(inner) = config.contexts.first().and_then(|c| c.context.clone()) else {
        return Err(lacks(format!(
            "it has no context `{name}`; it has {}",
            names.join(", ")
        )));
    };
    config.clusters.retain(|c| c.name == inner.cluster);
    config
        .auth_infos
        .retain(|user| Some(&user.name) == inner.user.as_ref());
    if config.clusters.is_empty() {
        return Err(lacks(format!("it has no cluster `{}`", inner.cluster)));
    }
    config.current_context = Some(name);
    Ok(config)
}

pub(crate) fn failed(origin: String) -> impl FnOnce(KubeconfigError) -> Error {
    move |source| Error::Kubeconfig { origin, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN_CONF: &str = "
apiVersion: v1
kind: Config
clusters:
- name: web
  cluster: {certificate-authority-data: Q0E=, server: 'https://web-control-plane:6443'}
contexts:
- name: kubernetes-admin@web
  context: {cluster: web, user: kubernetes-admin}
current-context: kubernetes-admin@web
users:
- name: kubernetes-admin
  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}
";

    const TWO: &str = "
apiVersion: v1
kind: Config
clusters:
- {name: a, cluster: {server: 'https://a'}}
- {name: b, cluster: {server: 'https://b'}}
contexts:
- {name: one, context: {cluster: a, user: ada}}
- {name: two, context: {cluster: b, user: bob}}
current-context: one
users:
- {name: ada, user: {token: x}}
- {name: bob, user: {token: y}}
";

    #[test]
    fn the_server_is_the_published_port() {
        let config = from_admin_conf(ADMIN_CONF, "web", "https://127.0.0.1:40001").unwrap();
        insta::assert_yaml_snapshot!(config);
    }

    #[test]
    fn a_config_without_a_cluster_is_refused() {
        let error = from_admin_conf("{}", "web", "https://127.0.0.1:1").unwrap_err();
        assert!(matches!(error, Error::KubeconfigContent { .. }), "{error}");
    }

    #[test]
    fn only_the_named_context_is_kept() {
        let config = only(Kubeconfig::from_yaml(TWO).unwrap(), Some("two"), "file").unwrap();
        assert_eq!(config.current_context.as_deref(), Some("two"));
        assert_eq!(
            (
                config.clusters.len(),
                config.auth_infos.len(),
                config.contexts.len()
            ),
            (1, 1, 1)
        );
        assert_eq!(config.clusters[0].name, "b");
    }

    #[test]
    fn an_unknown_context_is_answered_with_the_known_ones() {
        let error = only(Kubeconfig::from_yaml(TWO).unwrap(), Some("six"), "file").unwrap_err();
        assert!(error.to_string().contains("one, two"), "{error}");
    }
}
