//! Images of one's own in the pods of a virtual cluster.

use anyhow::{Context as _, ensure};
use bollard::{
    Docker, body_full,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::{ContainerConfig, ContainerCreateBody},
    query_parameters::{
        CommitContainerOptions, CreateContainerOptions, ImportImageOptions, RemoveContainerOptions,
        RemoveImageOptions,
    },
};
use e2e::output_of;
use futures::{TryStreamExt as _, future::try_join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use vcluster_fixtures::pods::shell;
use vcluster_harness::{
    asset::{Assets, Component},
    cluster::VirtualCluster,
    engine::Engine,
    host,
    progress::Progress,
    settings::Settings,
    vcluster_test,
};

#[vcluster_test(distro = "k8s")]
async fn an_image_of_this_machine_runs_and_so_does_its_next_build(
    cluster: VirtualCluster,
    client: Client,
) -> anyhow::Result<()> {
    let engine = Engine::connect().await?;
    let docker = engine.docker();
    let base = shell_in_engine(docker, &cluster).await?;
    let name = format!("vcluster-test-e2e/{}", cluster.name());
    let reference = format!("{name}:dev");
    let pods: Api<Pod> = Api::default_namespaced(client);

    let (mut builds, mut said) = (Vec::new(), Vec::new());
    for word in ["first", "second"] {
        builds.push(build(docker, &base, &name, word).await?);
        cluster.load_image(&reference).await?;
        let pod = shell(word, &reference, "echo $WORD");
        said.push(output_of(&pods, &pod).await);
    }
    for build in builds {
        let options = None::<RemoveImageOptions>;
        docker.remove_image(&build, options, None).await?;
    }
    remove_from_node(docker, &cluster, &reference).await?;
    let said: Vec<_> = said.into_iter().collect::<Result<_, _>>()?;
    ensure!(said == ["first\n", "second\n"], "the pods said {said:?}");

    let error = cluster.load_image(&reference).await.unwrap_err();
    let chain = format!("{:#}", anyhow::Error::from(error));
    ensure!(
        chain.contains(&format!("docker build -t {reference} .")),
        "{chain}"
    );
    Ok(())
}

#[vcluster_test(distro = "k8s")]
async fn several_processes_may_load_an_image_at_the_same_time(
    cluster: VirtualCluster,
) -> anyhow::Result<()> {
    let engine = Engine::connect().await?;
    let docker = engine.docker();
    let base = shell_in_engine(docker, &cluster).await?;
    let name = format!("vcluster-test-e2e/{}", cluster.name());
    let reference = format!("{name}:dev");
    let built = build(docker, &base, &name, "same").await?;

    let (settings, progress) = (Settings::from_process()?, Progress::silent());
    let assets = Assets::new(&settings, progress.clone());
    // Each has its own connection and knows nothing of the others.
    let mut hosts = Vec::new();
    for _ in 0..4 {
        hosts.push(host::shared(&settings, &assets, &progress).await?);
    }
    let loads = hosts.iter().map(|host| host.load_from_engine(&reference));
    let loaded = try_join_all(loads).await;
    docker
        .remove_image(&built, None::<RemoveImageOptions>, None)
        .await?;
    remove_from_node(docker, &cluster, &reference).await?;
    loaded?;
    Ok(())
}

/// The shell image, in the engine: what others are built on.
async fn shell_in_engine(docker: &Docker, cluster: &VirtualCluster) -> anyhow::Result<String> {
    let assets = Assets::new(&Settings::from_process()?, Progress::silent());
    let version = cluster.version().context("it was started here")?;
    let image = assets.image(Component::Shell, version).await?;
    if docker.inspect_image(&image.reference).await.is_err() {
        let archive = image.archive.context("it is in the engine or on disk")?;
        let archive = body_full(tokio::fs::read(archive).await?.into());
        let loaded = docker.import_image(ImportImageOptions::default(), archive, None);
        loaded.try_collect::<Vec<_>>().await?;
    }
    Ok(image.reference)
}

/// Does what a Dockerfile of two lines does: `FROM base` and `ENV WORD=word`.
async fn build(docker: &Docker, base: &str, name: &str, word: &str) -> anyhow::Result<String> {
    let container = ContainerCreateBody {
        image: Some(base.to_owned()),
        cmd: Some(vec!["true".to_owned()]),
        ..ContainerCreateBody::default()
    };
    let made = docker
        .create_container(None::<CreateContainerOptions>, container)
        .await?;
    let options = CommitContainerOptions {
        container: Some(made.id.clone()),
        repo: Some(name.to_owned()),
        tag: Some("dev".to_owned()),
        ..CommitContainerOptions::default()
    };
    let config = ContainerConfig {
        env: Some(vec![format!("WORD={word}")]),
        ..ContainerConfig::default()
    };
    let committed = docker.commit_container(options, config).await;
    docker
        .remove_container(&made.id, None::<RemoveContainerOptions>)
        .await?;
    Ok(committed?.id)
}

async fn remove_from_node(
    docker: &Docker,
    cluster: &VirtualCluster,
    image: &str,
) -> anyhow::Result<()> {
    let node = format!("{}-control-plane", cluster.host().name());
    let command = ["crictl", "rmi", image].map(str::to_owned).to_vec();
    let options = CreateExecOptions {
        cmd: Some(command),
        attach_stdout: Some(true),
        ..CreateExecOptions::default()
    };
    let removal = docker.create_exec(&node, options).await?;
    let removal = docker.start_exec(&removal.id, None::<StartExecOptions>);
    let StartExecResults::Attached { output, .. } = removal.await? else {
        anyhow::bail!("nothing is told of the removal");
    };
    output.try_collect::<Vec<_>>().await?;
    Ok(())
}
