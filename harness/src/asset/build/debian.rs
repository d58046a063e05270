//! Debian packages through this machine's own apt configuration, without changing the machine.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::{Error, command};

const LIMIT: Duration = Duration::from_mins(10);

/// Downloads a package and unpacks it below `work`; nothing is installed.
///
/// # Errors
/// This is no Debian, or its mirror does not answer.
pub(crate) async fn unpack(package: &str, work: &Path) -> Result<PathBuf, Error> {
    needs_apt()?;
    let downloads = work.join("packages");
    let tree = work.join(package);
    std::fs::create_dir_all(&downloads).map_err(Error::io("create", &downloads))?;
    if download(package, &downloads, &[]).await.is_err() {
        // The machine has no package lists: fetch some, and keep them to ourselves.
        let lists = private_lists(work)?;
        command::run(apt_get(&downloads).args(&lists).arg("update"), LIMIT).await?;
        download(package, &downloads, &lists).await?;
    }
    let archive = std::fs::read_dir(&downloads)
        .map_err(Error::io("read", &downloads))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
        })
        .ok_or_else(|| Error::Unexpected {
            what: "what apt downloaded",
            found: format!("no {package} among it"),
        })?;
    command::run(
        Command::new("dpkg-deb").arg("-x").args([&archive, &tree]),
        LIMIT,
    )
    .await?;
    Ok(tree)
}

/// A mirror that has this suite, as apt is configured.
///
/// # Errors
/// apt is configured with none.
pub(crate) async fn mirror(suite: &str) -> Result<String, Error> {
    needs_apt()?;
    let format = "$(SITE) $(RELEASE) $(COMPONENT) $(CREATED_BY)";
    let targets = command::output(
        Command::new("apt-get").args(["indextargets", "--format", format]),
        LIMIT,
    )
    .await?;
    choose_mirror(&targets, suite).ok_or(Error::NoMirror { found: targets })
}

/// The mirror of the suite itself, else one that has Debian's releases: they share one pool.
fn choose_mirror(targets: &str, suite: &str) -> Option<String> {
    let known = ["bookworm", "trixie", "forky", "sid", "bullseye"];
    let mains: Vec<(&str, &str)> = targets
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let found = (words.next()?, words.next()?);
            (words.next() == Some("main") && words.next() == Some("Packages")).then_some(found)
        })
        .collect();
    mains
        .iter()
        .find(|(_, release)| *release == suite)
        .or_else(|| mains.iter().find(|(_, release)| known.contains(release)))
        .map(|(site, _)| (*site).to_owned())
}

fn needs_apt() -> Result<(), Error> {
    if command::exists("apt-get") && command::exists("dpkg-deb") {
        return Ok(());
    }
    Err(Error::MissingTool {
        tool: "apt-get",
        purpose: "to get Debian packages for images",
        remedy: "build on Debian, or make the images available through a registry, a mirror \
                 (VCLUSTER_TEST_MIRROR) or a directory (VCLUSTER_TEST_ASSETS)",
    })
}

async fn download(package: &str, directory: &Path, options: &[String]) -> Result<(), Error> {
    command::run(
        apt_get(directory).args(options).args(["download", package]),
        LIMIT,
    )
    .await
}

fn apt_get(directory: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command
        .current_dir(directory)
        // The directory is ours, and apt's own user cannot write to it.
        .args(["-q", "-o", "APT::Sandbox::User=root"]);
    command
}

fn private_lists(work: &Path) -> Result<Vec<String>, Error> {
    let mut options = Vec::new();
    for (name, option) in [("lists", "Dir::State::lists"), ("cache", "Dir::Cache")] {
        let path = work.join(name);
        let partial = path.join("partial");
        std::fs::create_dir_all(&partial).map_err(Error::io("create", &partial))?;
        options.extend(["-o".to_owned(), format!("{option}={}", path.display())]);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const BOOKWORM: &str = "\
http://mirror.example/debian bookworm main Packages
http://mirror.example/debian bookworm main DEP-11
http://mirror.example/debian bookworm-updates main Packages
http://mirror.example/debian-security bookworm-security main Packages
http://other.example/tools nodistro main Packages";

    #[rstest]
    #[case::same_suite(BOOKWORM, Some("http://mirror.example/debian"))]
    #[case::other_suite(
        "http://m.example/debian trixie main Packages",
        Some("http://m.example/debian")
    )]
    #[case::not_debian("http://m.example/ubuntu noble main Packages", None)]
    #[case::nothing("", None)]
    fn the_mirror_comes_from_apt(#[case] targets: &str, #[case] expected: Option<&str>) {
        assert_eq!(choose_mirror(targets, "bookworm").as_deref(), expected);
    }
}
