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
    let packages = [package.to_owned()];
    if download(&packages, &downloads, &[]).await.is_err() {
        let lists = fetch_lists(work).await?;
        download(&packages, &downloads, &lists).await?;
    }
    let archive = archives(&downloads)?
        .into_iter()
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

/// Downloads a package with what it depends on, as far as it is `wanted`; nothing is installed.
///
/// # Errors
/// This is no Debian, or its mirror does not answer.
pub(crate) async fn download_closure(
    package: &str,
    wanted: impl Fn(&str) -> bool + Send,
    work: &Path,
) -> Result<Vec<PathBuf>, Error> {
    needs_apt()?;
    let downloads = work.join("packages");
    std::fs::create_dir_all(&downloads).map_err(Error::io("create", &downloads))?;
    // As if nothing were installed, so that what comes out does not depend on this machine.
    let status = work.join("status");
    std::fs::write(&status, "").map_err(Error::io("write", &status))?;
    let mut options = vec![
        "-o".to_owned(),
        format!("Dir::State::status={}", status.display()),
    ];
    let planned = if let Ok(planned) = plan(package, &downloads, &options).await {
        planned
    } else {
        options.extend(fetch_lists(work).await?);
        plan(package, &downloads, &options).await?
    };
    let packages: Vec<_> = planned.into_iter().filter(|name| wanted(name)).collect();
    download(&packages, &downloads, &options).await?;
    archives(&downloads)
}

/// The packages that apt would install.
async fn plan(package: &str, directory: &Path, options: &[String]) -> Result<Vec<String>, Error> {
    let mut simulation = apt_get(directory);
    simulation
        .args(options)
        .args(["--simulate", "--no-install-recommends", "install", package]);
    let simulation = command::output(&mut simulation, LIMIT).await?;
    Ok(planned(&simulation).map(str::to_owned).collect())
}

/// A tar of a tree that is the same whenever the tree is, without what the patterns match.
///
/// # Errors
/// It cannot be written.
pub(crate) async fn pack(tree: &Path, without: &[&str], output: &Path) -> Result<(), Error> {
    let exclude = |pattern: &&str| format!("--exclude={pattern}");
    let mut tar = Command::new("tar");
    tar.args([
        "--sort=name",
        "--mtime=@1",
        "--numeric-owner",
        "--one-file-system",
    ])
    .args(without.iter().map(exclude))
    .arg("-C")
    .arg(tree)
    .arg("-cf")
    .arg(output)
    .arg(".");
    command::run(&mut tar, LIMIT).await
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

/// For a machine without package lists: they are fetched and kept in `work`. Gives what tells apt so.
async fn fetch_lists(work: &Path) -> Result<Vec<String>, Error> {
    let lists = private_lists(work)?;
    command::run(apt_get(work).args(&lists).arg("update"), LIMIT).await?;
    Ok(lists)
}

async fn download(packages: &[String], directory: &Path, options: &[String]) -> Result<(), Error> {
    command::run(
        apt_get(directory)
            .args(options)
            .arg("download")
            .args(packages),
        LIMIT,
    )
    .await
}

/// The packages that a simulated installation names: `Inst libc6 (2.36-9 …)`.
fn planned(simulation: &str) -> impl Iterator<Item = &str> {
    simulation
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|line| line.split_whitespace().next())
}

fn archives(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let files = std::fs::read_dir(directory).map_err(Error::io("read", directory))?;
    let mut archives: Vec<_> = files
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    archives.sort();
    Ok(archives)
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

    #[test]
    fn a_simulation_names_what_would_be_installed() {
        let simulation = "Reading package lists...\nInst libc6 (2.36-9 Debian:12 [amd64])\n\
                          Inst zlib1g (1:1.2.13)\nConf libc6 (2.36-9)\n";
        let names: Vec<_> = planned(simulation).collect();
        assert_eq!(names, ["libc6", "zlib1g"]);
    }
}
