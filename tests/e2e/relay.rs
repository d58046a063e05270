//! What the API server reaches through the relay: logs, exec, attach, port-forward, pod and service proxy;
//! and what it must not reach.

use anyhow::{Context as _, ensure};
use e2e::{soon, start};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, Client,
    api::{AttachParams, LogParams, PostParams},
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vcluster_fixtures::pods::{shell, sleeper};
use vcluster_harness::{asset::Component, cluster::VirtualCluster, command, vcluster_test};

/// Answers every connection to port 8080 with a page that says `hello`.
const SERVE: &str =
    "mkdir /tmp/www; echo hello > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";

fn labelled(pod: &Pod, app: &str) -> anyhow::Result<Pod> {
    let mut pod = serde_json::to_value(pod)?;
    pod["metadata"]["labels"] = json!({"app": app});
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1});
    Ok(serde_json::from_value(pod)?)
}

#[vcluster_test(distro = "k8s")]
async fn logs_are_followed_as_they_are_written(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let script = "echo one; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo two";
    start(&pods, &shell("talker", &image, script)).await?;
    let parameters = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let mut lines = pods.log_stream("talker", &parameters).await?.lines();
    ensure!(lines.try_next().await?.as_deref() == Some("one"));

    command::output(&pods, "talker", ["touch", "/tmp/go"]).await?;

    ensure!(lines.try_next().await?.as_deref() == Some("two"));
    ensure!(lines.try_next().await?.is_none(), "the stream goes on");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn exec_carries_input_output_and_the_exit_code(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    start(&pods, &sleeper("web", &image)).await?;
    let parameters = AttachParams::default().stdin(true);
    let mut process = pods
        .exec(
            "web",
            ["sh", "-c", "read a; echo got $a; echo bad >&2; exit 7"],
            &parameters,
        )
        .await?;
    let status = process.take_status().context("no status")?;
    let mut input = process.stdin().context("no input")?;
    input.write_all(b"hello\n").await?;

    let (mut output, mut errors) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (
        process.stdout().context("no output")?,
        process.stderr().context("no errors")?,
    );
    tokio::try_join!(
        stdout.read_to_string(&mut output),
        stderr.read_to_string(&mut errors)
    )?;
    let status = status.await.context("no status came")?;

    ensure!((output.as_str(), errors.as_str()) == ("got hello\n", "bad\n"));
    let code = status
        .details
        .and_then(|details| details.causes)
        .and_then(|causes| {
            causes
                .into_iter()
                .find(|c| c.reason.as_deref() == Some("ExitCode"))
        })
        .and_then(|cause| cause.message);
    ensure!(code.as_deref() == Some("7"), "the exit code is {code:?}");

    let failing = ["sh", "-c", "echo bad >&2; exit 7"];
    let error = command::output(&pods, "web", failing).await.unwrap_err();
    let text = error.to_string();
    ensure!(
        text.contains("exit code 7") && text.contains("bad"),
        "{text}"
    );
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn attach_reaches_the_running_process(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let mut pod = shell(
        "listener",
        &image,
        "read line; echo heard $line; sleep 1000000",
    );
    for container in &mut pod.spec.get_or_insert_default().containers {
        container.stdin = Some(true);
    }
    start(&pods, &pod).await?;

    let parameters = AttachParams::default().stdin(true).stderr(false);
    let mut process = pods.attach("listener", &parameters).await?;
    process
        .stdin()
        .context("no input")?
        .write_all(b"you\n")
        .await?;
    let mut heard = [0; 10];
    process
        .stdout()
        .context("no output")?
        .read_exact(&mut heard)
        .await?;

    ensure!(&heard == b"heard you\n");
    process.abort();
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn a_forwarded_port_reaches_the_pod(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    start(&pods, &labelled(&shell("web", &image, SERVE), "web")?).await?;

    let mut forwarder = pods.portforward("web", &[8080]).await?;
    let mut stream = forwarder.take_stream(8080).context("no stream")?;
    stream
        .write_all(b"GET / HTTP/1.0\r\nHost: web\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;

    ensure!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"));
    ensure!(answer.ends_with("hello\n"), "the answer is {answer:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn the_proxy_reaches_pods_and_services(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    start(&pods, &labelled(&shell("web", &image, SERVE), "web")?).await?;
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let service = json!({"metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    services
        .create(&PostParams::default(), &serde_json::from_value(service)?)
        .await?;
    let slices: Api<k8s_openapi::api::discovery::v1::EndpointSlice> =
        Api::default_namespaced(client.clone());
    let mut watch = std::pin::pin!(kube::runtime::watcher(
        slices,
        kube::runtime::watcher::Config::default().labels("kubernetes.io/service-name=web")
    ));
    let deadline = soon("endpoints of web");
    loop {
        let event = tokio::time::timeout_at(deadline.instant(), watch.try_next())
            .await
            .context("the service got no endpoint")??;
        let Some(
            kube::runtime::watcher::Event::Apply(slice)
            | kube::runtime::watcher::Event::InitApply(slice),
        ) = event
        else {
            continue;
        };
        if slice
            .endpoints
            .is_some_and(|endpoints| !endpoints.is_empty())
        {
            break;
        }
    }

    for path in ["pods/web:8080", "services/web:80"] {
        let request = http::Request::get(format!("/api/v1/namespaces/default/{path}/proxy/"))
            .body(Vec::new())?;
        let page = client.request_text(request).await?;
        ensure!(page == "hello\n", "{path} answers {page:?}");
    }
    Ok(())
}

/// A tenant may write any address into an endpoint. The API server would connect to it, and the relay must not.
#[vcluster_test(distro = "k8s")]
async fn a_tenant_cannot_reach_the_host_through_an_endpoint(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let host: Api<Service> = Api::namespaced(cluster.host_client(), "default");
    let host_api = host
        .get("kubernetes")
        .await?
        .spec
        .and_then(|spec| spec.cluster_ip)
        .context("the host has no API service")?;
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let service = json!({"metadata": {"name": "trap"},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 443}]}});
    services
        .create(&PostParams::default(), &serde_json::from_value(service)?)
        .await?;
    let slices: Api<k8s_openapi::api::discovery::v1::EndpointSlice> =
        Api::default_namespaced(client.clone());
    let slice = json!({
        "metadata": {"name": "trap-1", "labels": {"kubernetes.io/service-name": "trap"}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": 443, "protocol": "TCP"}],
        "endpoints": [{"addresses": [host_api], "conditions": {"ready": true}}],
    });
    slices
        .create(&PostParams::default(), &serde_json::from_value(slice)?)
        .await?;

    let request =
        http::Request::get("/api/v1/namespaces/default/services/https:trap:https/proxy/version")
            .body(Vec::new())?;
    let answer = client.request_text(request).await;

    ensure!(answer.is_err(), "the host's API answered {answer:?}");
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn what_the_host_refuses_is_told_in_the_tenants_names(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    let pods: Api<Pod> = Api::default_namespaced(client);
    start(&pods, &sleeper("web", &image)).await?;
    let parameters = LogParams {
        previous: true,
        ..LogParams::default()
    };

    let error = pods
        .logs("web", &parameters)
        .await
        .expect_err("a container that never ended has no earlier log");

    let text = error.to_string();
    ensure!(!text.contains("-x-default-x-"), "a host name shows: {text}");
    ensure!(text.contains("web"), "the pod is not named: {text}");
    Ok(())
}
