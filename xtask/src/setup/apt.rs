//! Debian packages through `apt-get`, changing as little of the machine as can be.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use vcluster_harness::progress::Progress;

use crate::process;

/// Where the source of newer packages is written, and the pins that keep it from being used for
/// anything but them.
const SOURCES: &str = "/etc/apt/sources.list.d/vcluster-test.sources";
const PREFERENCES: &str = "/etc/apt/preferences.d/vcluster-test.pref";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A Debian package that could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// `apt-get` or a relative of it failed.
    #[error("could not {step}")]
    Program {
        /// What was tried.
        step: String,
        /// The program's own words.
        #[source]
        source: process::Error,
    },
    /// None of the machine's package sources is Debian's main archive.
    #[error(
        "none of the package sources in /etc/apt is Debian's main archive, so {package} {wanted} or newer cannot be found; \
         add one, or install {package} by hand, and run this again"
    )]
    NoArchive {
        /// The package.
        package: String,
        /// The oldest version that will do.
        wanted: u32,
    },
    /// A file under `/etc/apt` could not be written.
    #[error("could not write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The package tools of this machine.
#[derive(Debug)]
pub(crate) struct Apt<'a> {
    progress: &'a Progress,
    log: PathBuf,
}

impl<'a> Apt<'a> {
    /// What the tools say goes to `apt.log` in this directory.
    pub(crate) fn new(progress: &'a Progress, directory: &Path) -> Self {
        Self {
            progress,
            log: directory.join("apt.log"),
        }
    }

    /// Installs packages from the sources the machine has.
    pub(crate) fn install(&self, packages: &[&str]) -> Result<(), Error> {
        if packages.iter().any(|package| candidate(package).is_none()) {
            self.update()?;
        }
        self.install_exactly(packages)
    }

    /// Installs a package of at least this major version: from the sources the machine has, else from
    /// the named newer Debian release, of which only this package is taken.
    pub(crate) fn install_newer(
        &self,
        package: &str,
        wanted: u32,
        release: &str,
    ) -> Result<(), Error> {
        // A fresh machine may have no package lists at all.
        if candidate(package).is_none() {
            self.update()?;
        }
        if candidate(package).is_some_and(|version| major(&version) >= wanted) {
            return self.install_exactly(&[package]);
        }
        let archive = debian_archive()?.ok_or_else(|| Error::NoArchive {
            package: package.to_owned(),
            wanted,
        })?;
        self.progress.note(&format!(
            "{package} {wanted} or newer comes from Debian {release} ({SOURCES}); nothing else is taken from there"
        ));
        write(SOURCES, &source(&archive, release))?;
        write(PREFERENCES, &pins(package, release))?;
        self.update()?;
        self.install_exactly(&[package])
    }

    fn update(&self) -> Result<(), Error> {
        let step = self.progress.step("updating package lists");
        self.apt_get("update package lists", &["update"])?;
        step.done();
        Ok(())
    }

    fn install_exactly(&self, packages: &[&str]) -> Result<(), Error> {
        let names = packages.join(", ");
        let step = self.progress.step(format!("installing {names}"));
        self.finish_what_was_interrupted()?;
        let mut arguments = vec!["install", "--no-install-recommends", "--no-remove"];
        arguments.extend(packages);
        self.apt_get(&format!("install {names}"), &arguments)?;
        step.done();
        Ok(())
    }

    /// A killed `dpkg` refuses everything until it is told to go on.
    fn finish_what_was_interrupted(&self) -> Result<(), Error> {
        let program = |source| Error::Program {
            step: "finish an interrupted installation".to_owned(),
            source,
        };
        let unfinished = process::capture(Command::new("dpkg").arg("--audit")).map_err(program)?;
        let has_journal =
            fs::read_dir("/var/lib/dpkg/updates").is_ok_and(|mut entries| entries.next().is_some());
        if unfinished.trim().is_empty() && !has_journal {
            return Ok(());
        }
        process::run_logged(
            unattended(Command::new("dpkg").args(["--force-confold", "--configure", "-a"])),
            &self.log,
        )
        .map_err(program)
    }

    fn apt_get(&self, step: &str, arguments: &[&str]) -> Result<(), Error> {
        let mut command = Command::new("apt-get");
        command
            .args(["-y", "-q", "-o", "Dpkg::Options::=--force-confold"])
            .args(["-o", "Dpkg::Use-Pty=0"])
            // Somebody else may be installing, such as the machine's own first start.
            .args(["-o", "DPkg::Lock::Timeout=300"])
            .args(arguments);
        process::run_logged(unattended(&mut command), &self.log).map_err(|source| Error::Program {
            step: step.to_owned(),
            source,
        })
    }
}

fn unattended(command: &mut Command) -> &mut Command {
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
}

/// The version of a package that `apt-get install` would take.
fn candidate(package: &str) -> Option<String> {
    let policy = process::capture(unattended(
        Command::new("apt-cache").args(["policy", package]),
    ))
    .ok()?;
    parse_candidate(&policy)
}

fn parse_candidate(policy: &str) -> Option<String> {
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .filter(|version| *version != "(none)")
        .map(str::to_owned)
}

/// The major number of a Debian version, its epoch aside; zero when there is none.
fn major(version: &str) -> u32 {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    upstream
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// The address this machine gets Debian's main archive from, in apt's own words, so that mirrors and
/// proxies are the machine's own.
fn debian_archive() -> Result<Option<String>, Error> {
    let listing = process::capture(unattended(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(ORIGIN) $(LABEL)",
        "Created-By: Packages",
    ])))
    .map_err(|source| Error::Program {
        step: "list the package sources".to_owned(),
        source,
    })?;
    Ok(parse_archive(&listing))
}

fn parse_archive(listing: &str) -> Option<String> {
    listing.lines().find_map(|line| {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            // Security and updates are suites of their own.
            [address, release, "Debian", "Debian"] if !release.contains('-') => {
                Some(address.to_owned())
            }
            _ => None,
        }
    })
}

fn source(archive: &str, release: &str) -> String {
    let signed_by = if Path::new(KEYRING).exists() {
        format!("Signed-By: {KEYRING}\n")
    } else {
        String::new()
    };
    format!(
        "# Written by `cargo xtask setup` for a newer Docker engine; see the pins in {PREFERENCES}.\n\
         Types: deb\nURIs: {archive}\nSuites: {release}\nComponents: main\n{signed_by}"
    )
}

/// The one package comes from the newer release and keeps getting its updates; the rest never does,
/// unless that package cannot do without.
fn pins(package: &str, release: &str) -> String {
    format!(
        "Package: *\nPin: release n={release}\nPin-Priority: 1\n\n\
         Package: {package}\nPin: release n={release}\nPin-Priority: 600\n"
    )
}

fn write(path: &str, content: &str) -> Result<(), Error> {
    fs::write(path, content).map_err(|source| Error::Write {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("20.10.24+dfsg1-1", 20)]
    #[case::epoch("5:27.3.1-1~debian.12", 27)]
    #[case::no_number("unknown", 0)]
    fn a_major_version_is_read(#[case] version: &str, #[case] expected: u32) {
        assert_eq!(major(version), expected);
    }

    #[test]
    fn a_package_that_no_source_has_is_no_candidate() {
        assert_eq!(
            parse_candidate("docker.io:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
        assert_eq!(
            parse_candidate("docker.io:\n  Installed: (none)\n  Candidate: 20.10.24\n"),
            Some("20.10.24".to_owned())
        );
    }

    #[test]
    fn the_main_archive_is_told_from_its_relatives() {
        let listing = "http://packages.example/node/ nodistro Node Node\n\
                       http://mirror.example/debian-security/ bookworm-security Debian Debian-Security\n\
                       http://mirror.example/debian/ bookworm-updates Debian Debian\n\
                       http://mirror.example/debian/ bookworm Debian Debian\n";
        assert_eq!(
            parse_archive(listing).as_deref(),
            Some("http://mirror.example/debian/")
        );
        assert_eq!(
            parse_archive("http://x/ubuntu/ noble Ubuntu Ubuntu\n"),
            None
        );
    }

    #[test]
    fn only_the_one_package_is_preferred() {
        let pins = pins("docker.io", "trixie");
        assert_eq!(pins.matches("Package: *\n").count(), 1);
        assert!(pins.contains("Package: *\nPin: release n=trixie\nPin-Priority: 1\n"));
        assert!(pins.contains("Package: docker.io\nPin: release n=trixie\nPin-Priority: 600\n"));
    }
}
