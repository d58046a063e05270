//! The guestbook operator against a real cluster: from the custom resource to an answer over the network,
//! and nothing left on the host.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Pod, Service},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResourceExt as _, ResourceExt as _,
    api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams},
};
use vcluster_examples::guestbook::{self, Guestbook, GuestbookSpec};
use vcluster_fixtures::pods;
use vcluster_harness::{
    asset::Component,
    cluster::VirtualCluster,
    command,
    deadline::Deadline,
    vcluster_test,
    wait::{self, conditions},
};

const GREETING: &str = "Welcome to a cluster of your own";

/// In every run: the versions whose programs this project's tests have anyway.
#[vcluster_test(matrix(distro = ["k8s"], version = ["1.33", "1.34"]), timeout = "5m")]
async fn guestbook_answers(cluster: VirtualCluster, client: Client) -> anyhow::Result<()> {
    answers(&cluster, client).await
}

/// "Does my operator work there as well?" is one line.
#[vcluster_test(
    matrix(
        distro = ["k8s", "k3s", "k0s"],
        version = ["1.31", "1.32", "1.33", "1.34", "1.35", "1.36"]
    ),
    timeout = "5m"
)]
#[ignore = "needs official images, which only registries have"]
async fn guestbook_answers_everywhere(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    answers(&cluster, client).await
}

async fn answers(cluster: &VirtualCluster, client: Client) -> anyhow::Result<()> {
    let image = cluster.image(Component::Shell).await?;
    tell("the test has a virtual cluster of its own, and pods can be created in it");
    install_the_resource(&client).await?;
    tell("the custom resource Guestbook is installed");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let operator = tokio::spawn(guestbook::run(client.clone(), async {
        // A sender that is dropped stops the operator as well.
        drop(stopped.await);
    }));

    let guestbooks: Api<Guestbook> = Api::default_namespaced(client.clone());
    let hello = Guestbook::new(
        "hello",
        GuestbookSpec {
            greeting: GREETING.to_owned(),
            replicas: 2,
            image: image.clone(),
        },
    );
    guestbooks.create(&PostParams::default(), &hello).await?;

    wait::until(
        &Api::<Deployment>::default_namespaced(client.clone()),
        "hello",
        conditions::is_deployment_available(),
        within("available", 60),
    )
    .await?;
    let on_host = pods_of_hello(cluster).await?;
    ensure!(on_host.len() == 2, "the host runs {on_host:?}");
    tell("the operator made a Deployment of a Guestbook: its two pods really run on the host");

    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    answers_by_its_dns_name(&pods, &image).await?;
    tell("another pod called its Service by DNS name and was greeted");
    let pod = pods
        .list(&ListParams::default().labels("app=hello"))
        .await?
        .items
        .first()
        .context("no pod of the guestbook")?
        .name_any();
    let log = pods.logs(&pod, &LogParams::default()).await?;
    ensure!(
        log.contains("serving hello on 8080"),
        "the log says {log:?}"
    );
    let page = command::output(&pods, &pod, ["cat", "/www/index.html"]).await?;
    ensure!(page.trim() == GREETING, "exec read {page:?}");
    tell("logs and exec work through the virtual API server");

    guestbooks
        .delete("hello", &DeleteParams::foreground())
        .await?;
    wait::until(
        &guestbooks,
        "hello",
        |guestbook: Option<&Guestbook>| guestbook.is_none(),
        within("deleted", 30),
    )
    .await?;
    nothing_of_hello_is_left(cluster).await?;
    tell("the Guestbook is deleted, and the host has nothing of it left");

    drop(stop);
    operator.await?;
    Ok(())
}

/// A line for `cargo xtask demo`; shown otherwise only when the test fails.
#[expect(clippy::print_stdout, reason = "the test harness captures it")]
fn tell(what: &str) {
    println!("» {what}");
}

async fn install_the_resource(client: &Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = Guestbook::crd_name();
    definitions
        .patch(
            name,
            &PatchParams::apply("guestbook-test"),
            &Patch::Apply(Guestbook::crd()),
        )
        .await?;
    wait::until(
        &definitions,
        name,
        conditions::is_crd_established(),
        within("established", 10),
    )
    .await?;
    Ok(())
}

/// Another pod asks the service by its name, through the cluster's own DNS.
async fn answers_by_its_dns_name(pods: &Api<Pod>, image: &str) -> anyhow::Result<()> {
    let url = "http://hello.default.svc.cluster.local";
    let visitor = pods::visitor("visitor", image, url);
    pods.create(&PostParams::default(), &visitor).await?;
    let visitor = wait::until(
        pods,
        "visitor",
        conditions::is_pod_finished(),
        within("finished", 60),
    )
    .await?
    .context("the visitor is gone")?;
    let said = pods.logs("visitor", &LogParams::default()).await?;
    let phase = visitor.status.and_then(|status| status.phase);
    ensure!(
        phase.as_deref() == Some("Succeeded") && said.trim() == GREETING,
        "the visitor ended {phase:?} and said {said:?}"
    );
    Ok(())
}

/// The host pods that stand for the guestbook's pods, whatever the host calls them.
async fn pods_of_hello(cluster: &VirtualCluster) -> anyhow::Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(cluster.host_client(), cluster.namespace());
    let found = pods
        .list(&ListParams::default().labels("app=hello"))
        .await?;
    Ok(found.iter().map(kube::ResourceExt::name_any).collect())
}

/// The operator's objects vanish from the host as they vanished from the virtual cluster.
async fn nothing_of_hello_is_left(cluster: &VirtualCluster) -> anyhow::Result<()> {
    let host_name = cluster.host_key("default", "hello").name;
    let (client, namespace) = (cluster.host_client(), cluster.namespace());
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let gone = |object: Option<&Service>| object.is_none();
    wait::until(
        &services,
        &host_name,
        gone,
        within("deleted on the host", 30),
    )
    .await?;
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let gone = |object: Option<&ConfigMap>| object.is_none();
    wait::until(
        &config_maps,
        &host_name,
        gone,
        within("deleted on the host", 30),
    )
    .await?;
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    for pod in pods_of_hello(cluster).await? {
        let gone = |object: Option<&Pod>| object.is_none();
        wait::until(&pods, &pod, gone, within("deleted on the host", 30)).await?;
    }
    Ok(())
}

fn within(what: &'static str, seconds: u64) -> Deadline {
    Deadline::after(what, Duration::from_secs(seconds))
}
