//! Files in containers, read and written through the engine. Works on containers that do not run yet,
//! and starts no process in those that do: on cgroup v2 one that comes while init sorts the container's
//! cgroups would be in its way.

use std::io::Read as _;

use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures::TryStreamExt as _;

use super::{Error, node::is_not_found};
use crate::engine::{Engine, REQUEST, whole};

/// Reads a file; `None` when there is no such file.
pub(super) async fn read(
    engine: &Engine,
    container: &str,
    path: &str,
) -> Result<Option<String>, Error> {
    let options = DownloadFromContainerOptionsBuilder::default()
        .path(path)
        .build();
    let download = engine
        .docker()
        .download_from_container(container, Some(options));
    let archive = download.try_fold(Vec::new(), |mut all, part| async move {
        all.extend_from_slice(&part);
        Ok(all)
    });
    match whole(REQUEST, archive).await {
        Ok(archive) => first_file(&archive).map_err(|source| Error::File {
            container: container.to_owned(),
            path: path.to_owned(),
            source,
        }),
        Err(error) if is_not_found(&error) && error.to_string().contains("No such container") => {
            Err(Error::Gone {
                container: container.to_owned(),
            })
        }
        Err(error) if is_not_found(&error) => Ok(None),
        Err(source) => Err(Error::engine("read a file of", container)(source)),
    }
}

/// Writes files, and the directories above them, in one go.
pub(super) async fn write(
    engine: &Engine,
    container: &str,
    files: &[(&str, &str)],
) -> Result<(), Error> {
    let archive = pack(files).map_err(|source| Error::File {
        container: container.to_owned(),
        path: files.first().map_or("", |(path, _)| path).to_owned(),
        source,
    })?;
    let options = UploadToContainerOptionsBuilder::default().path("/").build();
    engine
        .docker()
        .upload_to_container(container, Some(options), bollard::body_full(archive.into()))
        .await
        .map_err(Error::engine("write files into", container))
}

fn first_file(archive: &[u8]) -> std::io::Result<Option<String>> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            return Ok(Some(text));
        }
    }
    Ok(None)
}

fn pack(files: &[(&str, &str)]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(
            &mut header,
            path.trim_start_matches('/'),
            content.as_bytes(),
        )?;
    }
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        self,
        fake::{self, Answer},
    };

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_stops_in_the_middle_of_a_file_is_not_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let address = fake::start(directory.path(), |path| {
            if path.ends_with("/version") {
                Answer::Says(200, r#"{"ApiVersion":"1.45"}"#)
            } else {
                Answer::Begins("the first bytes of an archive")
            }
        });
        let environment = [("DOCKER_HOST", address.as_str())];
        let engine = Engine::connect_with(&environment).await.unwrap();
        let error = read(&engine, "web", "/kind/version").await.unwrap_err();
        assert!(
            matches!(error, Error::Engine(engine::Error::TimedOut { .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains("read a file of web"), "{error}");
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let archive = pack(&[("/kind/version", "v1.34.2")]).unwrap();
        assert_eq!(first_file(&archive).unwrap().as_deref(), Some("v1.34.2"));
    }

    #[test]
    fn an_archive_without_a_file_has_none() {
        assert_eq!(first_file(&pack(&[]).unwrap()).unwrap(), None);
    }
}
