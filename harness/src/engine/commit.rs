//! Making an image by running a container once and keeping what it leaves.

use std::{path::Path, time::Duration};

use bollard::{
    errors::Error as DockerError,
    models::{ContainerConfig, ContainerCreateBody},
    query_parameters::{
        CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
    },
};
use futures::TryStreamExt as _;
use tokio_util::codec::{BytesCodec, FramedRead};

use super::{
    Engine, Error,
    images::{TRANSFER, failed},
    whole,
};
use crate::asset::StoreError;

/// An image made by running a container once and keeping what it leaves.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    /// The name of the container. One that is left of an interrupted attempt goes first.
    pub(crate) container: &'a str,
    /// The image to start from.
    pub(crate) base: &'a str,
    /// The name of the result.
    pub(crate) reference: &'a str,
    /// What to run.
    pub(crate) command: Vec<String>,
    /// A tar that is unpacked in `/` first.
    pub(crate) upload: &'a Path,
    /// What containers of the result start with.
    pub(crate) entrypoint: Vec<String>,
    /// The signal that asks them to stop.
    pub(crate) stop_signal: &'a str,
}

/// Marks a container that is only there to make an image.
pub(crate) const MAKES_IMAGE: &str = "vcluster-test.dev/makes-image";

/// Putting half a gigabyte of images into containerd's store takes seconds.
const LIMIT: Duration = Duration::from_mins(15);

impl Engine {
    /// Makes an image out of what a container leaves. The container goes in any case.
    ///
    /// # Errors
    /// The engine or the container fails.
    pub(crate) async fn commit(&self, commit: &Commit<'_>) -> Result<(), Error> {
        self.remove_container(commit.container).await?;
        let body = ContainerCreateBody {
            image: Some(commit.base.to_owned()),
            entrypoint: Some(commit.command.clone()),
            cmd: Some(Vec::new()),
            labels: Some([(MAKES_IMAGE.to_owned(), commit.reference.to_owned())].into()),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new()
            .name(commit.container)
            .build();
        self.patient()
            .create_container(Some(options), body)
            .await
            .map_err(failed("create a container of", commit.base))?;
        let result = self.run_and_commit(commit).await;
        let removed = self.remove_container(commit.container).await;
        result.and(removed)
    }

    async fn remove_container(&self, container: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true);
        match self
            .patient()
            .remove_container(container, Some(options.build()))
            .await
        {
            Ok(())
            | Err(DockerError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(source) => Err(failed("remove the container", container)(source)),
        }
    }

    async fn run_and_commit(&self, commit: &Commit<'_>) -> Result<(), Error> {
        let container = commit.container;
        let file = tokio::fs::File::open(commit.upload)
            .await
            .map_err(StoreError::io("open", commit.upload))?;
        let content = FramedRead::with_capacity(file, BytesCodec::new(), 1 << 20)
            .map_ok(tokio_util::bytes::BytesMut::freeze);
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        self.patient()
            .upload_to_container(container, Some(options), bollard::body_try_stream(content))
            .await
            .map_err(failed("fill a container of", commit.base))?;
        self.patient()
            .start_container(container, None)
            .await
            .map_err(failed("start a container of", commit.base))?;
        let status = match tokio::time::timeout(LIMIT, self.status(container)).await {
            Ok(status) => status?,
            Err(_) => {
                return Err(Error::ContainerTooSlow {
                    image: commit.reference.to_owned(),
                    limit: LIMIT,
                    logs: self.logs(container).await?,
                });
            }
        };
        if status != 0 {
            return Err(Error::Container {
                image: commit.reference.to_owned(),
                status,
                logs: self.logs(container).await?,
            });
        }
        let (repository, tag) = commit
            .reference
            .rsplit_once(':')
            .unwrap_or((commit.reference, "latest"));
        let options = CommitContainerOptionsBuilder::new()
            .container(container)
            .repo(repository)
            .tag(tag)
            .build();
        let config = ContainerConfig {
            entrypoint: Some(commit.entrypoint.clone()),
            cmd: Some(Vec::new()),
            stop_signal: Some(commit.stop_signal.to_owned()),
            env: Some(vec!["container=docker".to_owned()]),
            ..ContainerConfig::default()
        };
        self.patient()
            .commit_container(options, config)
            .await
            .map_err(failed("commit", commit.reference))?;
        Ok(())
    }

    async fn status(&self, container: &str) -> Result<i64, Error> {
        let ended = self.patient().wait_container(container, None);
        match ended.try_collect::<Vec<_>>().await {
            Ok(answers) => Ok(answers.first().map_or(0, |answer| answer.status_code)),
            Err(DockerError::DockerContainerWaitError { code, .. }) => Ok(code),
            Err(source) => Err(failed("wait for the container", container)(source)),
        }
    }

    async fn logs(&self, container: &str) -> Result<String, Error> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail("40")
            .build();
        let docker = self.patient();
        let lines = docker.logs(container, Some(options));
        let lines = lines
            .map_ok(|line| line.to_string())
            .try_collect::<Vec<_>>();
        let lines = whole(TRANSFER, lines).await;
        Ok(lines
            .map_err(failed("read the logs of", container))?
            .concat())
    }
}
