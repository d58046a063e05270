//! Image archives on the local disk: which digests they hold, read from their index, not from layers.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use serde_json::Value;

use super::Error;

/// The digests by which a node will know an archive's images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Digests {
    /// Of manifests or indexes, when the archive is an OCI layout.
    pub(super) manifests: BTreeSet<String>,
    /// Of image configurations, when it is a Docker archive.
    pub(super) configurations: BTreeSet<String>,
}

impl Digests {
    /// Of an image that an engine knows by this id: that of its configuration or, where the engine
    /// keeps images in containerd, that of its manifest.
    pub(super) fn of_image(id: String) -> Self {
        Self {
            manifests: [id.clone()].into(),
            configurations: [id].into(),
        }
    }
}

impl fmt::Display for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<&str> = self
            .manifests
            .iter()
            .chain(self.configurations.difference(&self.manifests))
            .map(String::as_str)
            .collect();
        f.write_str(&all.join(" or "))
    }
}

/// Reads the digests of the archive at `path`.
pub(super) fn digests(path: &Path) -> Result<Digests, Error> {
    let failed = |source| Error::Archive {
        path: path.to_owned(),
        source,
    };
    let mut digests = Digests::default();
    let mut archive = tar::Archive::new(File::open(path).map_err(failed)?);
    for entry in archive.entries_with_seek().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let name = entry.path().map_err(failed)?;
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let read = match name.to_str() {
            Some("index.json") => manifests,
            Some("manifest.json") => configurations,
            _ => continue,
        };
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(failed)?;
        let json = serde_json::from_str(&text).map_err(|error| failed(io::Error::from(error)))?;
        read(&json, &mut digests);
    }
    if digests == Digests::default() {
        let reason = "it is neither an OCI nor a Docker image archive";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, reason)));
    }
    Ok(digests)
}

fn manifests(index: &Value, digests: &mut Digests) {
    let manifests = index["manifests"].as_array().into_iter().flatten();
    digests
        .manifests
        .extend(manifests.filter_map(|manifest| Some(manifest["digest"].as_str()?.to_owned())));
}

fn configurations(manifest: &Value, digests: &mut Digests) {
    let images = manifest.as_array().into_iter().flatten();
    digests.configurations.extend(images.filter_map(|image| {
        let file = image["Config"].as_str()?;
        let digest = file.rsplit('/').next()?.trim_end_matches(".json");
        Some(format!("sha256:{digest}"))
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)]) -> Result<Digests, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(file.reopen().unwrap());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
        builder.finish().unwrap();
        digests(file.path())
    }

    #[test]
    fn an_oci_layout_names_manifests() {
        let index = r#"{"manifests": [{"digest": "sha256:aa"}]}"#;
        let found = check(&[("blobs/x", "layer"), ("./index.json", index)]).unwrap();
        assert_eq!(found.to_string(), "sha256:aa");
    }

    #[test]
    fn a_docker_archive_names_configurations() {
        let manifest = r#"[{"Config": "cc.json"}, {"Config": "blobs/sha256/dd"}]"#;
        let found = check(&[("manifest.json", manifest)]).unwrap();
        assert_eq!(found.to_string(), "sha256:cc or sha256:dd");
    }

    #[test]
    fn something_else_is_refused() {
        let error = check(&[("readme", "hello")]).unwrap_err();
        assert!(matches!(error, Error::Archive { .. }), "{error}");
    }
}
