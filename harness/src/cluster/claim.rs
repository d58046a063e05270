//! Claims service addresses: whoever creates a Service with the first address of a slice owns it, or with the first
//! of one slice of each family.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client, api::PostParams};
use tracing::debug;

use super::{
    error::{Cause, request},
    names::Names,
    objects::{Exposure, dns_service, service},
};
use crate::slice::{Addressing, Candidates, ServiceRanges};

/// With half of all slices taken, one in 65,000 starts fails after so many.
const ATTEMPTS: usize = 16;

/// The addresses that a cluster owns, and the Service that is the claim.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claim {
    pub(super) addressing: Addressing,
    pub(super) api_address: IpAddr,
    pub(super) dns_address: IpAddr,
    pub(super) service: Service,
}

/// What is to be claimed, and where.
pub(super) struct Claimant<'a> {
    pub(super) host: &'a Client,
    pub(super) names: &'a Names,
    pub(super) exposure: Exposure,
    pub(super) api_port: u16,
    pub(super) replicas: u8,
}

impl Claimant<'_> {
    /// Claims a slice of each of the `ranges` with `bits` bits of addresses, or takes what the host gives when the
    /// first range is too small for slices. Without room for slices in the second there is none of its family.
    pub(super) async fn claim(&self, ranges: ServiceRanges, bits: u8) -> Result<Claim, Cause> {
        let candidates = |range| Candidates::new(range, bits, self.names.namespace(), &[]);
        match candidates(ranges.first) {
            Some(first) => {
                let second = ranges.second.and_then(candidates);
                self.slices(ranges, first, second).await
            }
            None => self.shared(ranges.first).await,
        }
    }

    async fn slices(
        &self,
        ranges: ServiceRanges,
        first: Candidates,
        second: Option<Candidates>,
    ) -> Result<Claim, Cause> {
        let mut tried = 0;
        // Where the second range has fewer slices they are tried again, with others of the first.
        let mut seconds = second.into_iter().flat_map(Iterator::cycle);
        for slice in first.take(ATTEMPTS) {
            tried += 1;
            let other = seconds.next();
            let addresses = [slice].into_iter().chain(other);
            let addresses: Vec<_> = addresses.map(|slice| slice.api_address()).collect();
            let service = self.service(&addresses);
            match self.create(&service).await {
                Ok(service) => {
                    return Ok(Claim {
                        addressing: Addressing::Slice(slice, other),
                        api_address: slice.api_address(),
                        dns_address: slice.dns_address(),
                        service,
                    });
                }
                Err(kube::Error::Api(status)) if is_taken(&status) => {
                    debug!(cluster = self.names.cluster(), %slice, "the slice is taken");
                }
                Err(error) => return Err(self.refused(error)),
            }
        }
        Err(Cause::NoSlice { ranges, tried })
    }

    fn service(&self, addresses: &[IpAddr]) -> Service {
        service(
            self.names,
            addresses,
            self.exposure,
            self.api_port,
            self.replicas,
        )
    }

    async fn shared(&self, range: IpNet) -> Result<Claim, Cause> {
        let ours = self.service(&[]);
        let dns = dns_service(self.names);
        let (service, dns) = tokio::try_join!(self.create(&ours), self.create(&dns))
            .map_err(|error| self.refused(error))?;
        Ok(Claim {
            addressing: Addressing::Shared(range),
            api_address: self.address(&service)?,
            dns_address: self.address(&dns)?,
            service,
        })
    }

    async fn create(&self, service: &Service) -> Result<Service, kube::Error> {
        let services = Api::namespaced(self.host.clone(), self.names.namespace());
        services.create(&PostParams::default(), service).await
    }

    fn refused(&self, error: kube::Error) -> Cause {
        let (namespace, name) = (self.names.namespace(), self.names.control_plane());
        request(format!("create service {namespace}/{name} on host"))(error)
    }

    fn address(&self, service: &Service) -> Result<IpAddr, Cause> {
        let given = service
            .spec
            .as_ref()
            .and_then(|spec| spec.cluster_ip.as_ref());
        given
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| Cause::NoAddress {
                namespace: self.names.namespace().to_owned(),
                name: service.metadata.name.clone().unwrap_or_default(),
            })
    }
}

fn is_taken(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 422
        && causes
            .into_iter()
            .any(|cause| cause.message.contains("already allocated"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::taken(
        "failed to allocate IP 10.96.17.1: provided IP is already allocated",
        true
    )]
    #[case::out_of_range(
        "failed to allocate IP 4.4.4.4: the provided IP is not in the valid range",
        false
    )]
    fn only_a_taken_address_means_the_next_slice(#[case] message: &str, #[case] expected: bool) {
        let status = serde_json::from_value(json!({
            "status": "Failure", "code": 422, "reason": "Invalid", "message": message,
            "details": { "causes": [
                { "reason": "FieldValueInvalid", "field": "spec.clusterIPs", "message": message },
            ]},
        }))
        .unwrap();
        assert_eq!(is_taken(&status), expected);
    }
}
