//! Finding, pulling, loading and saving images.

use std::{path::Path, time::Duration};

use bollard::{
    Docker,
    errors::Error as DockerError,
    query_parameters::{
        CreateImageOptionsBuilder, ImportImageOptionsBuilder, RemoveImageOptions,
        TagImageOptionsBuilder,
    },
};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio_util::codec::{BytesCodec, FramedRead};

use super::{Error, error::failed};
use crate::{asset::store, progress::Progress};

/// A connection to the engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(super) docker: Docker,
}

/// A whole node image is loaded in seconds; a slow disk may need minutes.
const TIMEOUT: Duration = Duration::from_mins(15);

/// An engine that does not answer a ping by then is not there.
const PING: Duration = Duration::from_secs(5);

impl Engine {
    /// Connects to this address, else as `DOCKER_HOST` says, and makes sure that somebody answers.
    ///
    /// # Errors
    /// Nobody does.
    pub(crate) async fn connect(address: Option<&str>) -> Result<Self, Error> {
        let unreachable = |source| Error::Unreachable { source };
        let docker = match address {
            Some(address) => Docker::connect_with_host(address),
            None => Docker::connect_with_defaults(),
        };
        let docker = docker.map_err(unreachable)?.with_timeout(TIMEOUT);
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
            .map_err(store::Error::io("open", archive))?;
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
        let write = || store::Error::io("write", archive);
        let mut file = tokio::fs::File::create(archive).await.map_err(write())?;
        let mut content = Box::pin(self.docker.export_image(reference));
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(failed("saving", reference))?;
            file.write_all(&chunk).await.map_err(write())?;
        }
        file.flush().await.map_err(write())?;
        Ok(())
    }
}
