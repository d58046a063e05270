//! A store that speaks etcd's API: etcd itself, or kine in front of a database. Kine takes only what
//! API servers send, so that is all that is sent.

use http::uri::PathAndQuery;
use tonic::{Request, client::Grpc};
use tonic_prost::ProstCodec;

use super::{
    Error,
    address::{Address, Channel, Credentials},
    message::{
        Compare, Comparison, DeleteRangeRequest, KeyValue, Operation, PutRequest, RangeRequest,
        RangeResponse, RequestOp, StatusRequest, StatusResponse, Target, TxnRequest, TxnResponse,
    },
    store::{Entry, Reading, Store, Write, Written},
};

/// Below it lies all that API servers keep.
const PREFIX: &[u8] = b"/registry/";
/// The first key after all that begin with the prefix.
const END: &[u8] = b"/registry0";
/// How many keys are asked for at a time; about a megabyte.
const PAGE: i64 = 500;
/// More than a page of the largest objects.
const LARGEST: usize = 1 << 30;

const RANGE: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.KV/Range");
const STATUS: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.Maintenance/Status");
const TXN: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.KV/Txn");

/// A store in this pod.
#[derive(Debug, Clone)]
pub(super) struct Etcd {
    endpoint: String,
    client: Grpc<Channel>,
}

impl Etcd {
    /// Connects with the first request. The credentials are for a store that wants them.
    pub(super) fn new(endpoint: &str, credentials: &Credentials) -> Result<Self, Error> {
        let address = Address::read(endpoint)?;
        let client = Grpc::with_origin(address.channel(credentials)?, address.origin());
        Ok(Self {
            endpoint: endpoint.to_owned(),
            client: client.max_decoding_message_size(LARGEST),
        })
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        self.unary("read", request, RANGE).await
    }

    async fn unary<Q, A>(
        &self,
        action: &'static str,
        request: Q,
        path: PathAndQuery,
    ) -> Result<A, Error>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut client = self.client.clone();
        let failed = |source: tonic::Status| Error::Store {
            action,
            endpoint: self.endpoint.clone(),
            source: Box::new(source),
        };
        let answer = client
            .unary(Request::new(request), path, ProstCodec::<Q, A>::default())
            .await;
        Ok(answer.map_err(failed)?.into_inner())
    }
}

impl Store for Etcd {
    async fn size(&self) -> Result<u64, Error> {
        let status: StatusResponse = self.unary("read", StatusRequest {}, STATUS).await?;
        Ok(status.size.unsigned_abs())
    }

    async fn read(&self) -> Result<Reading, Error> {
        let mut reading = Reading::default();
        let mut key = PREFIX.to_vec();
        loop {
            let page = self
                .range(RangeRequest {
                    key,
                    range_end: END.to_vec(),
                    limit: PAGE,
                    // All pages are of the moment of the first.
                    revision: reading.revision,
                })
                .await?;
            if reading.revision == 0 {
                reading.revision = page.header.map_or(0, |header| header.revision);
            }
            let last = page.kvs.last().map(|last| last.key.clone());
            for pair in page.kvs {
                let (key, entry) = entry(pair)?;
                reading.entries.insert(key, entry);
            }
            match last.filter(|_| page.more) {
                Some(last) => key = [last.as_slice(), &[0]].concat(),
                None => return Ok(reading),
            }
        }
    }

    async fn write(&self, write: &Write) -> Result<Written, Error> {
        let answer: TxnResponse = self.unary("write to", transaction(write), TXN).await?;
        if answer.succeeded {
            return Ok(Written::Done);
        }
        let found = answer.responses.into_iter().find_map(|answer| answer.range);
        let now = found.and_then(|range| range.kvs.into_iter().next());
        Ok(Written::Missed(now.map_or(0, |pair| pair.mod_revision)))
    }
}

fn entry(pair: KeyValue) -> Result<(String, Entry), Error> {
    let key = String::from_utf8(pair.key).map_err(|error| Error::Key {
        key: String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })?;
    let entry = Entry {
        value: pair.value,
        created: pair.create_revision,
        modified: pair.mod_revision,
    };
    Ok((key, entry))
}

/// The form that API servers give to an update and a deletion: what is there otherwise is answered. An
/// update of what is not there is a creation, to kine as well.
fn transaction(write: &Write) -> TxnRequest {
    let key = write.key.clone().into_bytes();
    let operation = match &write.value {
        Some(value) => Operation::Put(PutRequest {
            key: key.clone(),
            value: value.clone(),
        }),
        None => Operation::Delete(DeleteRangeRequest { key: key.clone() }),
    };
    let otherwise = RequestOp {
        operation: Some(Operation::Range(RangeRequest {
            key: key.clone(),
            ..RangeRequest::default()
        })),
    };
    TxnRequest {
        compare: vec![Compare {
            result: Comparison::Equal.into(),
            target: Target::ModRevision.into(),
            key,
            mod_revision: Some(write.seen),
        }],
        success: vec![RequestOp {
            operation: Some(operation),
        }],
        failure: vec![otherwise],
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use rstest::rstest;

    use super::*;

    /// As Kubernetes' `storage/etcd3` forms them, and kine's `server/update.go` and `delete.go` want them.
    #[rstest]
    #[case::creation(0, Some("v"))]
    #[case::update(7, Some("v"))]
    #[case::deletion(7, None)]
    fn a_write_has_the_form_that_api_servers_give_it(
        #[case] seen: i64,
        #[case] value: Option<&str>,
    ) {
        let transaction = transaction(&Write {
            key: "/registry/a".to_owned(),
            seen,
            value: value.map(|value| value.as_bytes().to_vec()),
        });
        let [compare] = transaction.compare.as_slice() else {
            panic!("{transaction:?}");
        };
        assert_eq!(compare.target(), Target::ModRevision);
        assert_eq!(compare.mod_revision, Some(seen));
        assert_eq!(transaction.success.len(), 1);
        let [otherwise] = transaction.failure.as_slice() else {
            panic!("{transaction:?}");
        };
        assert!(matches!(otherwise.operation, Some(Operation::Range(_))));
    }

    #[test]
    fn a_comparison_with_nought_is_sent() {
        let compare = Compare {
            result: Comparison::Equal.into(),
            target: Target::ModRevision.into(),
            key: b"k".to_vec(),
            mod_revision: Some(0),
        };
        // Target 2, key, and field 6 with the value nought.
        assert_eq!(compare.encode_to_vec(), [0x10, 2, 0x1a, 1, b'k', 0x30, 0]);
    }
}
