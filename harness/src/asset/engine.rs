//! The container engine as a place where images are: find, pull, load, save, make by commit.
//! Running hosts is not its business.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{
    Docker,
    errors::Error as DockerError,
    models::{ContainerConfig, ContainerCreateBody},
    query_parameters::{
        CommitContainerOptionsBuilder, CreateContainerOptions, CreateImageOptionsBuilder,
        ImportImageOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
        RemoveImageOptions, TagImageOptionsBuilder, UploadToContainerOptionsBuilder,
    },
};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio_util::codec::{BytesCodec, FramedRead};

use crate::progress::Progress;

/// A failure of the container engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no engine, or it does not answer.
    #[error("could not reach the container engine; is it running, and may this user talk to it?")]
    Unreachable {
        /// The answer of the client.
        #[source]
        source: DockerError,
    },
    /// The disk of the engine has no room left.
    #[error("no space left on the container engine's disk while {step} {subject}")]
    DiskFull {
        /// What was tried.
        step: &'static str,
        /// With what.
        subject: String,
        /// The answer of the engine.
        #[source]
        source: DockerError,
    },
    /// The engine refused or failed.
    #[error("the container engine failed {step} {subject}")]
    Refused {
        /// What was tried.
        step: &'static str,
        /// With what.
        subject: String,
        /// The answer of the engine.
        #[source]
        source: DockerError,
    },
    /// The engine was asked to load an archive, and does not have the image afterwards.
    #[error("the container engine loaded {} and does not have {reference}", archive.display())]
    NotLoaded {
        /// The image.
        reference: String,
        /// The archive.
        archive: PathBuf,
    },
    /// A container that makes an image failed.
    #[error("the container that makes {image} ended with status {status}; it said:\n{logs}")]
    Container {
        /// The image.
        image: String,
        /// The exit status.
        status: i64,
        /// What it said last.
        logs: String,
    },
    /// A file for or from the engine could not be read or written.
    #[error(transparent)]
    File(#[from] super::store::Error),
}

/// A connection to the engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    docker: Docker,
}

/// An image made by running a container once and keeping what it leaves.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
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

/// A whole node image is loaded in seconds; a slow disk may need minutes.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// An engine that does not answer a ping by then is not there.
const PING: Duration = Duration::from_secs(5);

impl Engine {
    /// Connects as `DOCKER_HOST` says, and makes sure that somebody answers.
    ///
    /// # Errors
    /// Nobody does.
    pub(crate) async fn connect() -> Result<Self, Error> {
        let unreachable = |source| Error::Unreachable { source };
        let docker = Docker::connect_with_defaults()
            .map_err(unreachable)?
            .with_timeout(TIMEOUT);
        match tokio::time::timeout(PING, docker.ping()).await {
            Ok(Ok(_)) => Ok(Self { docker }),
            Ok(Err(source)) => Err(unreachable(source)),
            Err(_) => Err(unreachable(DockerError::RequestTimeoutError)),
        }
    }

    /// The identifier of an image, if the engine has it.
    ///
    /// # Errors
    /// The engine fails.
    pub(crate) async fn image_id(&self, reference: &str) -> Result<Option<String>, Error> {
        match self.docker.inspect_image(reference).await {
            Ok(image) => Ok(Some(image.id.unwrap_or_else(|| reference.to_owned()))),
            Err(DockerError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(source) => Err(failed("looking for", reference)(source)),
        }
    }

    /// Pulls an image. `patience` is how long the engine may say nothing at all. Progress is shown
    /// from the moment that a registry has answered.
    ///
    /// # Errors
    /// The registry does not answer, or does not have it.
    pub(crate) async fn pull(
        &self,
        reference: &str,
        patience: Duration,
        progress: &Progress,
    ) -> Result<(), Error> {
        let options = CreateImageOptionsBuilder::new()
            .from_image(reference)
            .build();
        let mut stream = self.docker.create_image(Some(options), None, None);
        let mut step = None;
        loop {
            let news = tokio::time::timeout(patience, stream.next())
                .await
                .map_err(|_| failed("pulling", reference)(DockerError::RequestTimeoutError))?;
            match news {
                None => break,
                Some(Ok(news)) => {
                    tracing::trace!(status = ?news.status, "pull");
                    step.get_or_insert_with(|| progress.step(format!("pulling {reference}")));
                }
                Some(Err(source)) => return Err(failed("pulling", reference)(source)),
            }
        }
        if let Some(step) = step {
            step.done();
        }
        Ok(())
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// The engine fails.
    pub(crate) async fn tag(&self, from: &str, to: &str) -> Result<(), Error> {
        let (repository, tag) = to.rsplit_once(':').unwrap_or((to, "latest"));
        let options = TagImageOptionsBuilder::new()
            .repo(repository)
            .tag(tag)
            .build();
        self.docker
            .tag_image(from, Some(options))
            .await
            .map_err(failed("naming", from))
    }

    /// Takes a name away from an image; the image goes with its last name.
    ///
    /// # Errors
    /// The engine fails.
    pub(crate) async fn untag(&self, reference: &str) -> Result<(), Error> {
        match self
            .docker
            .remove_image(reference, None::<RemoveImageOptions>, None)
            .await
        {
            Ok(_)
            | Err(DockerError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(source) => Err(failed("removing", reference)(source)),
        }
    }

    /// Loads an archive and gives the identifier of the image it is about.
    ///
    /// # Errors
    /// The engine fails, or does not have the image afterwards.
    pub(crate) async fn load(&self, archive: &Path, reference: &str) -> Result<String, Error> {
        let file = tokio::fs::File::open(archive)
            .await
            .map_err(super::store::Error::io("open", archive))?;
        let content = FramedRead::with_capacity(file, BytesCodec::new(), 1 << 20)
            .map_ok(tokio_util::bytes::BytesMut::freeze);
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        self.docker
            .import_image_stream(options, content, None)
            .try_for_each(|news| async move {
                tracing::trace!(news = ?news.stream, "load");
                Ok(())
            })
            .await
            .map_err(failed("loading", &archive.display().to_string()))?;
        self.image_id(reference)
            .await?
            .ok_or_else(|| Error::NotLoaded {
                reference: reference.to_owned(),
                archive: archive.to_owned(),
            })
    }

    /// Saves an image as an archive.
    ///
    /// # Errors
    /// The engine fails, or the file cannot be written.
    pub(crate) async fn save(&self, reference: &str, archive: &Path) -> Result<(), Error> {
        let write = || super::store::Error::io("write", archive);
        let mut file = tokio::fs::File::create(archive).await.map_err(write())?;
        let mut content = Box::pin(self.docker.export_image(reference));
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(failed("saving", reference))?;
            file.write_all(&chunk).await.map_err(write())?;
        }
        file.flush().await.map_err(write())?;
        Ok(())
    }

    /// Makes an image out of what a container leaves. The container goes in any case.
    ///
    /// # Errors
    /// The engine or the container fails.
    pub(crate) async fn commit(&self, commit: &Commit<'_>) -> Result<(), Error> {
        let body = ContainerCreateBody {
            image: Some(commit.base.to_owned()),
            entrypoint: Some(commit.command.clone()),
            cmd: Some(Vec::new()),
            ..ContainerCreateBody::default()
        };
        let container = self
            .docker
            .create_container(None::<CreateContainerOptions>, body)
            .await
            .map_err(failed("creating a container of", commit.base))?
            .id;
        let result = self.run_and_commit(commit, &container).await;
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let removed = self
            .docker
            .remove_container(&container, Some(options))
            .await
            .map_err(failed("removing the container of", commit.base));
        result.and(removed)
    }

    async fn run_and_commit(&self, commit: &Commit<'_>, container: &str) -> Result<(), Error> {
        let file = tokio::fs::File::open(commit.upload)
            .await
            .map_err(super::store::Error::io("open", commit.upload))?;
        let content = FramedRead::with_capacity(file, BytesCodec::new(), 1 << 20)
            .map_ok(tokio_util::bytes::BytesMut::freeze);
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        self.docker
            .upload_to_container(container, Some(options), bollard::body_try_stream(content))
            .await
            .map_err(failed("filling a container of", commit.base))?;
        self.docker
            .start_container(container, None)
            .await
            .map_err(failed("starting a container of", commit.base))?;
        let ended = self
            .docker
            .wait_container(container, None)
            .try_collect::<Vec<_>>();
        let status = match ended.await {
            Ok(answers) => answers.first().map_or(0, |answer| answer.status_code),
            Err(DockerError::DockerContainerWaitError { code, .. }) => code,
            Err(source) => return Err(failed("waiting for a container of", commit.base)(source)),
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
        self.docker
            .commit_container(options, config)
            .await
            .map_err(failed("committing", commit.reference))?;
        Ok(())
    }

    async fn logs(&self, container: &str) -> Result<String, Error> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail("40")
            .build();
        let lines: Vec<_> = self
            .docker
            .logs(container, Some(options))
            .map_ok(|line| line.to_string())
            .try_collect()
            .await
            .map_err(failed("reading the logs of", container))?;
        Ok(lines.concat())
    }
}

fn failed(step: &'static str, subject: &str) -> impl FnOnce(DockerError) -> Error {
    let subject = subject.to_owned();
    move |source| {
        if source.to_string().contains("no space left on device") {
            return Error::DiskFull {
                step,
                subject,
                source,
            };
        }
        Error::Refused {
            step,
            subject,
            source,
        }
    }
}
