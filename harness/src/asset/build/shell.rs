//! The shell image: Debian's static busybox under the names of all its commands.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::{Error, command, debian, layer::Layer};

/// The image is made anew when this changes.
pub(crate) const REVISION: &str = "busybox-static 1";

const LIMIT: Duration = Duration::from_mins(1);

/// Gets busybox out of its Debian package, whose signature apt has checked.
///
/// # Errors
/// This is no Debian, or its mirror does not answer.
pub(crate) async fn fetch(work: &Path, output: PathBuf) -> Result<(), Error> {
    let tree = debian::unpack("busybox-static", work).await?;
    let busybox = ["usr/bin/busybox", "bin/busybox"]
        .map(|path| tree.join(path))
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| Error::Unexpected {
            what: "the package busybox-static",
            found: "no busybox in it".to_owned(),
        })?;
    std::fs::copy(&busybox, &output).map_err(Error::io("write", output))?;
    Ok(())
}

/// The commands that this busybox has.
///
/// # Errors
/// It does not run.
pub(crate) async fn commands(busybox: &Path) -> Result<Vec<String>, Error> {
    let list = command::output(Command::new(busybox).arg("--list"), LIMIT).await?;
    Ok(list.lines().map(ToOwned::to_owned).collect())
}

/// The files of the image.
pub(crate) fn layer(busybox: &Path, commands: &[String]) -> Layer {
    let base = Layer::default()
        .directory("tmp", 0o1777)
        .directory("root", 0o700)
        .directory("var/tmp", 0o1777)
        .bytes(
            "etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        )
        .bytes("etc/group", 0o644, "root:x:0:\nnogroup:x:65534:\n")
        .copy("bin/busybox", 0o755, PathBuf::from(busybox))
        .link("usr/bin", "../bin")
        .link("sbin", "bin");
    commands
        .iter()
        .filter(|command| *command != "busybox")
        .fold(base, |layer, command| {
            layer.link(&format!("bin/{command}"), "busybox")
        })
}
