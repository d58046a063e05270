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

use super::{Engine, Error, whole};
use crate::{asset::StoreError, progress::Progress};

/// A whole node image is loaded in seconds; a slow disk may need minutes.
pub(super) const TRANSFER: Duration = Duration::from_mins(15);

/// Names what was asked of an engine that had [`TRANSFER`].
pub(super) fn failed(
    step: &'static str,
    object: impl Into<String>,
) -> impl FnOnce(DockerError) -> Error {
    Error::refused(TRANSFER, step, object)
}

/// The engine is well; who does not answer is the registry that it asks.
fn silent_registry(reference: &str) -> Error {
    Error::Refused {
        step: "pull",
        object: reference.to_owned(),
        source: DockerError::RequestTimeoutError,
    }
}

impl Engine {
    /// The client for requests that move whole images.
    pub(super) fn patient(&self) -> Docker {
        self.docker.clone().with_timeout(TRANSFER)
    }

    /// The identifier of an image, if the engine has it.
    ///
    /// # Errors
    /// The engine fails.
    pub(crate) async fn image_id(&self, reference: &str) -> Result<Option<String>, Error> {
        match self.patient().inspect_image(reference).await {
            Ok(image) => Ok(Some(image.id.unwrap_or_else(|| reference.to_owned()))),
            Err(DockerError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(source) => Err(failed("look for", reference)(source)),
        }
    }

    /// The digests under which registries know an image: none when it came by another way.
    ///
    /// # Errors
    /// The engine fails or does not have it.
    pub(crate) async fn image_digests(&self, reference: &str) -> Result<Vec<String>, Error> {
        let image = self.patient().inspect_image(reference).await;
        let image = image.map_err(failed("look at", reference))?;
        Ok(image.repo_digests.unwrap_or_default())
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
        let mut stream = self.patient().create_image(Some(options), None, None);
        let mut step = None;
        loop {
            let news = tokio::time::timeout(patience, stream.next())
                .await
                .map_err(|_| silent_registry(reference))?;
            match news {
                None => break,
                Some(Ok(news)) => {
                    tracing::trace!(status = ?news.status, "pull");
                    step.get_or_insert_with(|| progress.step(format!("pulling {reference}")));
                }
                Some(Err(source)) => return Err(failed("pull", reference)(source)),
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
        self.patient()
            .tag_image(from, Some(options))
            .await
            .map_err(failed("name", from))
    }

    /// Takes a name away from an image; the image goes with its last name.
    ///
    /// # Errors
    /// The engine fails.
    pub(crate) async fn untag(&self, reference: &str) -> Result<(), Error> {
        match self
            .patient()
            .remove_image(reference, None::<RemoveImageOptions>, None)
            .await
        {
            Ok(_)
            | Err(DockerError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(source) => Err(failed("remove", reference)(source)),
        }
    }

    /// Loads an archive and gives the identifier of the image it is about.
    ///
    /// # Errors
    /// The engine fails, or does not have the image afterwards.
    pub(crate) async fn load(&self, archive: &Path, reference: &str) -> Result<String, Error> {
        let file = tokio::fs::File::open(archive)
            .await
            .map_err(StoreError::io("open", archive))?;
        let content = FramedRead::with_capacity(file, BytesCodec::new(), 1 << 20)
            .map_ok(tokio_util::bytes::BytesMut::freeze);
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let docker = self.patient();
        let loaded = docker.import_image_stream(options, content, None);
        let loaded = loaded.try_for_each(|news| async move {
            tracing::trace!(news = ?news.stream, "load");
            Ok(())
        });
        whole(TRANSFER, loaded)
            .await
            .map_err(failed("load", archive.display().to_string()))?;
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
        let write = || StoreError::io("write", archive);
        let mut file = tokio::fs::File::create(archive).await.map_err(write())?;
        let docker = self.patient();
        let mut content = Box::pin(docker.export_image(reference));
        while let Some(chunk) = whole(TRANSFER, content.try_next())
            .await
            .map_err(failed("save", reference))?
        {
            file.write_all(&chunk).await.map_err(write())?;
        }
        file.flush().await.map_err(write())?;
        Ok(())
    }
}
