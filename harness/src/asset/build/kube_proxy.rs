//! The image of kube-proxy: the program and, from the node's Debian tree, iptables with all its parts.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{Error, layer::Layer};

/// The list that the tree carries of what belongs in this image.
const LIST: &str = "kind/kube-proxy-files";

/// The names under which iptables is called.
const CALLS: [&str; 6] = [
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
];

/// The files of the image.
///
/// # Errors
/// The tree has no list, or not what is in the list.
pub(crate) fn layer(tree: &Path, program: PathBuf, wrapper: PathBuf) -> Result<Layer, Error> {
    let base = Layer::default()
        .directory("tmp", 0o1777)
        .directory("run", 0o755)
        .link("bin", "usr/bin")
        .link("sbin", "usr/sbin")
        .link("lib", "usr/lib")
        .link("lib64", "usr/lib64")
        .copy("usr/local/bin/kube-proxy", 0o755, program)
        .copy("usr/sbin/iptables-wrapper", 0o755, wrapper);
    let base = CALLS.iter().fold(base, |layer, call| {
        layer.link(&format!("usr/sbin/{call}"), "iptables-wrapper")
    });
    let wanted = list(tree)?;
    let (layer, found) = pick(tree, &wanted, base).map_err(Error::io("read", tree))?;
    let missing: Vec<_> = wanted.difference(&found).cloned().collect();
    if missing.is_empty() {
        return Ok(layer);
    }
    Err(Error::Unexpected {
        what: "the node's Debian tree",
        found: format!("without {}", missing.join(", ")),
    })
}

fn list(tree: &Path) -> Result<BTreeSet<String>, Error> {
    let mut text = String::new();
    let read = || -> io::Result<bool> {
        let mut archive = tar::Archive::new(File::open(tree)?);
        for entry in archive.entries()? {
            let mut entry = entry?;
            if name(&entry.path()?) == LIST {
                entry.read_to_string(&mut text)?;
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut read = read;
    if read().map_err(Error::io("read", tree))? {
        Ok(text.lines().map(ToOwned::to_owned).collect())
    } else {
        Err(Error::Unexpected {
            what: "the node's Debian tree",
            found: format!("without {LIST}"),
        })
    }
}

fn pick(
    tree: &Path,
    wanted: &BTreeSet<String>,
    mut layer: Layer,
) -> io::Result<(Layer, BTreeSet<String>)> {
    let mut found = BTreeSet::new();
    let mut archive = tar::Archive::new(File::open(tree)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = name(&entry.path()?);
        if !wanted.contains(&path) {
            continue;
        }
        layer = match entry.link_name()? {
            Some(target) if entry.header().entry_type().is_symlink() => {
                layer.link(&path, target.to_string_lossy())
            }
            _ => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                layer.bytes(&path, entry.header().mode()? & 0o777, content)
            }
        };
        found.insert(path);
    }
    Ok((layer, found))
}

fn name(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.trim_start_matches("./").trim_matches('/').to_owned()
}
