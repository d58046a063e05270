//! Image archives: one file that Docker (`load`) and containerd (`ctr images import`) both read, and
//! that is the same whenever its content is.

use std::{
    fs::File,
    io::{self, Seek as _, Write},
    path::Path,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType};

use super::layer::{Layer, header};
use crate::asset::store::checksum;

/// What a container of an image starts with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImageConfig {
    /// The program, when the pod names none.
    pub(crate) entrypoint: Vec<String>,
    /// Its arguments, when the pod names none.
    pub(crate) command: Vec<String>,
}

impl ImageConfig {
    /// A program without arguments.
    pub(crate) fn entrypoint(program: &str) -> Self {
        Self {
            entrypoint: vec![program.to_owned()],
            command: Vec::new(),
        }
    }
}

/// A layer of an image.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    /// Made of these files.
    Files(&'a Layer),
    /// A tar that is there already.
    Tar(&'a Path),
}

/// Where the programs of an image are looked for.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The same for all images: what is made from equal things shall be equal.
const CREATED: &str = "1970-01-01T00:00:01Z";

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Writes an archive with one image that has these names.
///
/// # Errors
/// A part cannot be read, or the output not written.
pub(crate) fn write(
    output: impl Write,
    scratch: &Path,
    references: &[String],
    config: &ImageConfig,
    parts: &[Part<'_>],
) -> io::Result<()> {
    let mut tar = Builder::new(output);
    let version = json!({ "imageLayoutVersion": "1.0.0" });
    file(&mut tar, "oci-layout", &bytes(&version))?;
    directory(&mut tar, "blobs")?;
    directory(&mut tar, "blobs/sha256")?;

    let mut layers = Vec::new();
    for part in parts {
        let mut content = open(part, scratch)?;
        let (digest, size) = checksum(&mut content)?;
        content.rewind()?;
        let mut header = header(EntryType::Regular, 0o644, size);
        tar.append_data(&mut header, blob(&digest), content)?;
        layers.push(Descriptor {
            kind: LAYER,
            digest,
            size,
        });
    }
    let config = append(&mut tar, CONFIG, &image_config(config, &layers))?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.json(),
        "layers": layers.iter().map(Descriptor::json).collect::<Vec<_>>(),
    });
    let manifest = append(&mut tar, MANIFEST, &manifest)?;

    let named: Vec<_> = references
        .iter()
        .map(|reference| {
            let mut entry = manifest.json();
            entry["annotations"] = json!({
                "io.containerd.image.name": reference,
                "org.opencontainers.image.ref.name": tag(reference),
            });
            entry
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": named });
    file(&mut tar, "index.json", &bytes(&index))?;
    let docker = json!([{
        "Config": blob(&config.digest),
        "RepoTags": references,
        "Layers": layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
    }]);
    file(&mut tar, "manifest.json", &bytes(&docker))?;
    tar.into_inner()?.flush()
}

/// What an index or manifest says of a blob.
#[derive(Debug)]
struct Descriptor {
    kind: &'static str,
    digest: String,
    size: u64,
}

impl Descriptor {
    fn json(&self) -> Value {
        json!({
            "mediaType": self.kind,
            "digest": format!("sha256:{}", self.digest),
            "size": self.size,
        })
    }
}

fn image_config(config: &ImageConfig, layers: &[Descriptor]) -> Value {
    let mut run = json!({ "Env": [PATH], "WorkingDir": "/" });
    if !config.entrypoint.is_empty() {
        run["Entrypoint"] = json!(config.entrypoint);
    }
    if !config.command.is_empty() {
        run["Cmd"] = json!(config.command);
    }
    let digests: Vec<_> = layers
        .iter()
        .map(|layer| format!("sha256:{}", layer.digest))
        .collect();
    let history: Vec<_> = layers
        .iter()
        .map(|_| json!({ "created": CREATED, "created_by": "vcluster-harness" }))
        .collect();
    json!({
        "architecture": architecture(),
        "os": "linux",
        "created": CREATED,
        "config": run,
        "rootfs": { "type": "layers", "diff_ids": digests },
        "history": history,
    })
}

/// The name that images use for this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A part as a file to read twice: once for its digest, once for its content.
fn open(part: &Part<'_>, scratch: &Path) -> io::Result<File> {
    match part {
        Part::Tar(path) => File::open(path),
        Part::Files(layer) => {
            let mut file = tempfile::tempfile_in(scratch)?;
            layer.write_to(io::BufWriter::new(&mut file))?;
            file.rewind()?;
            Ok(file)
        }
    }
}

fn append(
    tar: &mut Builder<impl Write>,
    kind: &'static str,
    content: &Value,
) -> io::Result<Descriptor> {
    let content = bytes(content);
    let digest = hex::encode(Sha256::digest(&content));
    file(tar, &blob(&digest), &content)?;
    Ok(Descriptor {
        kind,
        digest,
        size: content.len() as u64,
    })
}

fn file(tar: &mut Builder<impl Write>, path: &str, content: &[u8]) -> io::Result<()> {
    let mut header = header(EntryType::Regular, 0o644, content.len() as u64);
    tar.append_data(&mut header, path, content)
}

fn directory(tar: &mut Builder<impl Write>, path: &str) -> io::Result<()> {
    let mut header = header(EntryType::Directory, 0o755, 0);
    tar.append_data(&mut header, format!("{path}/"), io::empty())
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

fn tag(reference: &str) -> &str {
    reference.rsplit_once(':').map_or("latest", |(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use super::*;

    const NAME: &str = "localhost/vcluster-test/etcd:v3.6.5-0123456789ab";

    fn archive() -> Vec<u8> {
        let scratch = tempfile::tempdir().unwrap();
        let layer = Layer::default().bytes("usr/local/bin/etcd", 0o755, "program");
        let config = ImageConfig::entrypoint("/usr/local/bin/etcd");
        let mut bytes = Vec::new();
        let parts = [Part::Files(&layer)];
        write(
            &mut bytes,
            scratch.path(),
            &[NAME.to_owned()],
            &config,
            &parts,
        )
        .unwrap();
        bytes
    }

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (path, content)
            })
            .collect()
    }

    fn read(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Value {
        serde_json::from_slice(&files[path]).unwrap()
    }

    fn follow(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let content = files[&blob(digest.strip_prefix("sha256:").unwrap())].clone();
        assert_eq!(
            digest,
            format!("sha256:{}", hex::encode(Sha256::digest(&content)))
        );
        assert_eq!(descriptor["size"], content.len());
        content
    }

    #[test]
    fn an_archive_is_the_same_twice() {
        assert_eq!(archive(), archive());
    }

    #[test]
    fn containerd_finds_the_layer_through_the_index() {
        let files = files(&archive());
        let index = read(&files, "index.json");
        let entry = &index["manifests"][0];
        assert_eq!(entry["annotations"]["io.containerd.image.name"], NAME);
        let manifest: Value = serde_json::from_slice(&follow(&files, entry)).unwrap();
        let layer = follow(&files, &manifest["layers"][0]);
        assert!(layer.windows(7).any(|window| window == b"program"));
        let config: Value = serde_json::from_slice(&follow(&files, &manifest["config"])).unwrap();
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            manifest["layers"][0]["digest"]
        );
        assert_eq!(config["config"]["Entrypoint"][0], "/usr/local/bin/etcd");
    }

    #[test]
    fn docker_finds_the_same_image_by_its_own_list() {
        let files = files(&archive());
        let docker = &read(&files, "manifest.json")[0];
        assert_eq!(docker["RepoTags"][0], NAME);
        let config = docker["Config"].as_str().unwrap();
        let layer = docker["Layers"][0].as_str().unwrap();
        let digest = &read(&files, config)["rootfs"]["diff_ids"][0];
        assert_eq!(
            layer.replace("blobs/sha256/", "sha256:"),
            digest.as_str().unwrap()
        );
        assert!(files.contains_key(layer));
    }
}
