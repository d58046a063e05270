//! What kind of machine this is, as far as set-up must know.

use std::path::{Path, PathBuf};

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// May packages be installed and daemons be started?
    pub(crate) is_root: bool,
    /// The distribution's identifier, such as `debian`.
    pub(crate) distribution: String,
    /// Is systemd in charge?
    pub(crate) has_systemd: bool,
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn detect() -> Self {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self {
            is_root: rustix::process::geteuid().is_root(),
            distribution: identifier(&release),
            has_systemd: Path::new("/run/systemd/system").is_dir(),
        }
    }

    /// Is it Debian itself, rather than a relative of it?
    pub(crate) fn is_debian(&self) -> bool {
        self.distribution == "debian"
    }
}

/// Where a program lies; `sbin` counts even when the user's path leaves it out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

fn identifier(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("ID="))
        .map_or("unknown", |id| id.trim_matches(['"', '\'']))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_of_debian_is_not_debian() {
        assert_eq!(identifier("NAME=x\nID=ubuntu\nID_LIKE=debian\n"), "ubuntu");
        assert_eq!(identifier("ID=\"debian\"\n"), "debian");
        assert_eq!(identifier(""), "unknown");
    }

    #[test]
    fn a_program_in_the_path_is_found() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-here").is_none());
    }
}
