//! The names and addresses under which a virtual API server answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::SanType;

/// Under which names the certificate of a virtual API server holds.
#[derive(Debug, Clone)]
pub struct ServerNames<'a> {
    /// The cluster, which is also the name of its Service on the host.
    pub cluster: &'a str,
    /// Its namespace on the host.
    pub namespace: &'a str,
    /// The DNS domain inside it, such as `cluster.local`.
    pub domain: &'a str,
    /// The address of its Service, inside and on the host.
    pub service: IpAddr,
    /// Addresses of the host's nodes, for node ports.
    pub nodes: &'a [IpAddr],
}

impl ServerNames<'_> {
    /// The name every client of ours asks for, whatever address it dials.
    pub const TLS_NAME: &'static str = "kubernetes.default.svc";

    /// DNS names, most usual first.
    pub fn dns(&self) -> Vec<String> {
        let Self {
            cluster,
            namespace,
            domain,
            ..
        } = self;
        vec![
            "localhost".to_owned(),
            "kubernetes".to_owned(),
            "kubernetes.default".to_owned(),
            Self::TLS_NAME.to_owned(),
            format!("{}.{domain}", Self::TLS_NAME),
            (*cluster).to_owned(),
            format!("{cluster}.{namespace}"),
            format!("{cluster}.{namespace}.svc"),
            format!("{cluster}.{namespace}.svc.{domain}"),
        ]
    }

    /// Addresses: both loopbacks, the Service, the host's nodes.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = vec![
            Ipv4Addr::LOCALHOST.into(),
            Ipv6Addr::LOCALHOST.into(),
            self.service,
        ];
        addresses.extend(self.nodes);
        addresses
    }

    /// All of them as text.
    pub fn alternatives(&self) -> Vec<String> {
        let addresses = self.addresses().into_iter();
        let mut all = self.dns();
        all.extend(addresses.map(|address| address.to_string()));
        all
    }

    pub(super) fn into_alternatives(self) -> Result<Vec<SanType>, rcgen::Error> {
        let names = self.dns().into_iter();
        names
            .map(|name| Ok(SanType::DnsName(name.try_into()?)))
            .chain(
                self.addresses()
                    .into_iter()
                    .map(|address| Ok(SanType::IpAddress(address))),
            )
            .collect()
    }
}
