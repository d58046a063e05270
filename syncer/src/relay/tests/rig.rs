//! A relay with everything around it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tempfile::TempDir;
use tokio::{net::UnixStream, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    NODE_ADDRESS,
    api_server::{self, Kubelet},
    fake_host::{FakeHost, HostBody},
    pki::Authority,
};
use crate::relay::{
    ApiServer, Clients, Directory, Error, Relay, RelayOptions, SharedDirectory,
    identity::tests::names,
};

/// The name that the API server's certificate has.
pub(super) const API_SERVER: &str = "kube-apiserver-kubelet-client";

/// The name that its certificate has when it speaks for a client.
pub(super) const FRONT_PROXY: &str = "front-proxy-client";

pub(super) struct Rig {
    pub(super) authority: Authority,
    /// Signed the API server's certificate for those that it speaks for.
    pub(super) front_proxy: Authority,
    pub(super) directory: SharedDirectory,
    pub(super) host: FakeHost,
    pub(super) socket: PathBuf,
    pub(super) tcp: Option<SocketAddr>,
    pub(super) cancel: CancellationToken,
    pub(super) relay: JoinHandle<Result<(), Error>>,
    _folder: TempDir,
}

impl Rig {
    /// A relay in front of a host that answers with `answer`.
    pub(super) async fn start<A>(answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> Response<HostBody> + Send + Sync + 'static,
    {
        Self::start_with(answer, |_| {}).await
    }

    pub(super) async fn start_with<A>(answer: A, adjust: impl FnOnce(&mut RelayOptions)) -> Self
    where
        A: Fn(Request<Incoming>) -> Response<HostBody> + Send + Sync + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.write(folder.path(), "ca");
        let front_proxy = Authority::new();
        front_proxy.write(folder.path(), "front-proxy-ca");
        let host = FakeHost::start(answer).await;
        let mut config = crate::config::tests::config();
        config.pki = folder.path().to_owned();
        config.relay_socket = folder.path().join("run/relay.sock");
        let mut options = RelayOptions::new(&config);
        options.limits.news = Duration::from_millis(50);
        options.limits.drain = Duration::from_millis(100);
        options.metrics = true;
        options.metrics_api = Some(Clients {
            authority: folder.path().join("front-proxy-ca.crt"),
            names: vec![FRONT_PROXY.to_owned()],
        });
        adjust(&mut options);

        let directory = SharedDirectory::new(Directory::new(
            names(),
            ApiServer {
                address: config.api_address,
                service: "test".to_owned(),
            },
        ));
        let host_config = || kube::Config::new(format!("http://{}", host.address).parse().unwrap());
        let relay = Relay::bind(
            &options,
            "vc-test",
            directory.clone(),
            host_config(),
            kube::Client::try_from(host_config()).unwrap(),
        )
        .await
        .unwrap();
        let tcp = relay.tcp_address().unwrap();
        let cancel = CancellationToken::new();
        Self {
            authority,
            front_proxy,
            directory,
            host,
            socket: options.socket,
            tcp,
            relay: tokio::spawn(relay.run(cancel.clone())),
            cancel,
            _folder: folder,
        }
    }

    /// A relay whose host has the pod `default/web`.
    pub(super) async fn with_pod<A>(answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> Response<HostBody> + Send + Sync + 'static,
    {
        let rig = Self::start(answer).await;
        rig.directory
            .update(|directory| directory.put_pod(&super::pod("web", "10.244.0.5")));
        rig
    }

    /// A tunnel to the kubelet of the one node.
    pub(super) async fn tunnel(&self) -> UnixStream {
        let target = format!("{NODE_ADDRESS}:10250");
        api_server::connect(&self.socket, &target).await.unwrap()
    }

    /// A connection to the kubelet of the one node.
    pub(super) async fn kubelet(&self) -> Kubelet {
        let config = self.authority.client(API_SERVER, &self.authority);
        let tls = api_server::handshake(self.tunnel().await, NODE_ADDRESS, config);
        Kubelet::open(tls.await.unwrap()).await
    }

    /// The status and the body of the answer to a GET.
    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let mut kubelet = self.kubelet().await;
        let response = kubelet.send(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The status and the body of the answer to a GET of `metrics.k8s.io`, for a client that the
    /// authority `signed`; none if it is refused.
    pub(super) async fn get_metrics(
        &self,
        signed: &Authority,
        path: &str,
    ) -> Option<(u16, String)> {
        self.get_metrics_as(signed, path, "application/json").await
    }

    /// As [`Self::get_metrics`], in the form `accept`.
    pub(super) async fn get_metrics_as(
        &self,
        signed: &Authority,
        path: &str,
        accept: &str,
    ) -> Option<(u16, String)> {
        let target = "metrics.vcluster-test.invalid:443";
        let tunnel = api_server::connect(&self.socket, target).await.unwrap();
        let config = signed.client(FRONT_PROXY, &self.authority);
        let tls = api_server::handshake(tunnel, "metrics-server.kube-system.svc", config);
        let mut server = Kubelet::open(tls.await.ok()?).await;
        let path = format!("/apis/metrics.k8s.io/v1beta1{path}");
        let request = Request::get(path).header("Accept", accept);
        let request = request.body(Body::empty()).unwrap();
        let response = server.send(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Some((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    /// A stream opened as kubectl's SPDY does.
    pub(super) async fn upgrade(&self, path: &str) -> TokioIo<Upgraded> {
        let request = Request::post(path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "SPDY/3.1")
            .header("X-Stream-Protocol-Version", "v4.channel.k8s.io")
            .body(Body::empty())
            .unwrap();
        let mut kubelet = self.kubelet().await;
        let response = kubelet.send(request).await.unwrap();
        assert_eq!(response.status(), 101);
        TokioIo::new(hyper::upgrade::on(response).await.unwrap())
    }

    /// Ends the relay and waits until it has.
    pub(super) async fn stop(self) {
        self.cancel.cancel();
        self.relay.await.unwrap().unwrap();
    }
}
