//! The user's own directory of assets: `images/NAME-vVERSION.tar` and `bin/NAME-vVERSION`.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::Error;

/// The file of a binary, if the directory has it.
pub(crate) fn binary(directory: &Path, name: &str, version: &str) -> Option<PathBuf> {
    let path = directory.join("bin").join(format!("{name}-v{version}"));
    path.is_file().then_some(path)
}

/// The archive of an image, if the directory has it.
pub(crate) fn image(directory: &Path, name: &str, version: &str) -> Option<PathBuf> {
    let path = directory
        .join("images")
        .join(format!("{name}-v{version}.tar"));
    path.is_file().then_some(path)
}

/// The name of the image in a Docker or OCI archive.
///
/// # Errors
/// The file is no such archive, or its image has no name.
pub(crate) fn reference(archive: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::ReadArchive {
        archive: archive.to_owned(),
        source,
    };
    let mut tar = tar::Archive::new(File::open(archive).map_err(unreadable)?);
    let mut named = None;
    for entry in tar.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let is_docker = path == Path::new("manifest.json");
        if !is_docker && path != Path::new("index.json") {
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(unreadable)?;
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        let name = if is_docker {
            &list[0]["RepoTags"][0]
        } else {
            &list["manifests"][0]["annotations"]["io.containerd.image.name"]
        };
        named = name.as_str().map(ToOwned::to_owned).or(named);
        if is_docker && named.is_some() {
            break;
        }
    }
    named.ok_or_else(|| Error::NamelessArchive {
        archive: archive.to_owned(),
    })
}
