//! All files of one virtual cluster, under the names kubeadm gives them.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use rcgen::SanType;

use super::{
    Access, SecretError, ServerNames,
    authority::{Authority, Error, Leaf, Validity, key},
};

/// Where the components of a control plane find their API server: in their own pod.
const LOCAL_SERVER: &str = "https://127.0.0.1:6443";

const CA: &str = "kubernetes-ca";
const ADMINISTRATOR: &str = "kubernetes-admin";

/// A client that is in `group` and in no other, by the authority in the Secret of a cluster's files. What
/// the group may do, the cluster's own rules say.
///
/// # Errors
/// The Secret has no such files, or they are no authority.
pub fn member_of(group: &str, files: &Secret, now: Timestamp) -> Result<Access, MemberError> {
    let text = |key| super::access::text(files, key);
    let (certificate, key) = (text("ca.crt")?, text("ca.key")?);
    let authority = Authority::read(CA, &certificate, &key, Validity::starting(now)?)?;
    let leaf = authority.client(ADMINISTRATOR, Some(group))?;
    Ok(access(&authority, leaf))
}

/// A client's certificate that could not be made for a cluster that exists.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The Secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] Error),
}

/// The certificates, keys and kubeconfigs of one virtual cluster.
pub struct Pki {
    files: BTreeMap<&'static str, String>,
    admin: Access,
    validity: Validity,
}

impl Pki {
    /// Makes everything anew. Takes a few milliseconds.
    ///
    /// The authorities are called `kubernetes-ca` and `kubernetes-front-proxy-ca`, the names with
    /// which k0s re-issues its leaf certificates when their names change.
    ///
    /// # Errors
    /// The random source, the clock or a name is unusable.
    pub fn generate(names: ServerNames<'_>, now: Timestamp) -> Result<Self, Error> {
        let validity = Validity::starting(now)?;
        let mut files = BTreeMap::new();

        let ca = Authority::generate(CA, validity)?;
        files.insert("ca.crt", ca.certificate().to_owned());
        files.insert("ca.key", ca.key());

        let front_proxy = Authority::generate("kubernetes-front-proxy-ca", validity)?;
        files.insert("front-proxy-ca.crt", front_proxy.certificate().to_owned());
        files.insert("front-proxy-ca.key", front_proxy.key());
        let leaf = front_proxy.client("front-proxy-client", None)?;
        files.insert("front-proxy-client.crt", leaf.certificate);
        files.insert("front-proxy-client.key", leaf.key);

        let accounts = key("service account key")?;
        files.insert("sa.key", accounts.serialize_pem());
        files.insert("sa.pub", accounts.public_key_pem());

        let alternatives = names
            .into_alternatives()
            .map_err(|source| Error::Generate {
                what: "names of the API server",
                source,
            })?;
        let leaf = ca.server("kube-apiserver", alternatives)?;
        files.insert("apiserver.crt", leaf.certificate);
        files.insert("apiserver.key", leaf.key);
        let leaf = ca.client("kube-apiserver-kubelet-client", Some("system:masters"))?;
        files.insert("apiserver-kubelet-client.crt", leaf.certificate);
        files.insert("apiserver-kubelet-client.key", leaf.key);

        let admin = access(&ca, ca.client(ADMINISTRATOR, Some("system:masters"))?);
        files.insert("admin.conf", config(ADMINISTRATOR, &admin)?);
        for (file, user, group) in [
            (
                "syncer.conf",
                "system:vcluster-syncer",
                Some("system:masters"),
            ),
            (
                "controller-manager.conf",
                "system:kube-controller-manager",
                // Its controllers have no accounts of their own, so it needs the rights of all of them.
                Some("system:masters"),
            ),
            ("scheduler.conf", "system:kube-scheduler", None),
        ] {
            files.insert(file, config(user, &access(&ca, ca.client(user, group)?))?);
        }
        Ok(Self {
            files,
            admin,
            validity,
        })
    }

    /// The same with what members of one etcd show one another under these host names. The authority is
    /// their own, and nobody has its key: whatever a tenant has signed is of another.
    ///
    /// # Errors
    /// The random source or a name is unusable.
    pub fn with_etcd_members(mut self, hosts: &[String]) -> Result<Self, Error> {
        let authority = Authority::generate("etcd-ca", self.validity)?;
        let names = hosts
            .iter()
            .map(|host| Ok(SanType::DnsName(host.as_str().try_into()?)))
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Generate {
                what: "names of etcd's members",
                source,
            })?;
        let leaf = authority.peer("etcd-peer", names)?;
        let authority = authority.certificate().to_owned();
        self.files.insert("etcd-ca.crt", authority);
        self.files.insert("etcd-peer.crt", leaf.certificate);
        self.files.insert("etcd-peer.key", leaf.key);
        Ok(self)
    }

    /// Every file: its name in the Secret and its text.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.files.iter().map(|(name, text)| (*name, text.as_str()))
    }

    /// The administrator's way in.
    pub fn admin(&self) -> &Access {
        &self.admin
    }
}

fn access(authority: &Authority, leaf: Leaf) -> Access {
    Access {
        authority: authority.certificate().to_owned(),
        certificate: leaf.certificate,
        key: leaf.key,
    }
}

fn config(user: &'static str, access: &Access) -> Result<String, Error> {
    serde_yaml_ng::to_string(&access.kubeconfig(user, LOCAL_SERVER))
        .map_err(|source| Error::Kubeconfig { user, source })
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki")
            .field("files", &self.files.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
