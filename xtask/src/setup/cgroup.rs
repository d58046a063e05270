//! Control groups: an engine cannot run anything without them, and says so late and darkly.

/// Which control groups this machine has mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// One directory per controller.
    One,
    /// One tree for all.
    Two,
}

/// The machine's control groups will not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "control group controllers {} are not mounted under /sys/fs/cgroup; \
     on Debian `apt-get install cgroupfs-mount && cgroupfs-mount` mounts them", missing.join(", ")
)]
pub(crate) struct Error {
    missing: Vec<&'static str>,
}

/// The controllers without which neither the engine nor a kubelet starts.
const NEEDED: [&str; 6] = ["cpu", "cpuset", "memory", "devices", "freezer", "pids"];

/// Looks at this machine.
pub(crate) fn version() -> Result<Version, Error> {
    parse(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn parse(mountinfo: &str) -> Result<Version, Error> {
    // Fields: id parent device root MOUNTPOINT options … - TYPE source SUPER-OPTIONS
    let mounts: Vec<(&str, &str, &str)> = mountinfo
        .lines()
        .filter_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let mut kind = kind.split(' ');
            Some((place.split(' ').nth(4)?, kind.next()?, kind.nth(1)?))
        })
        .collect();
    if mounts
        .iter()
        .any(|(place, kind, _)| *place == "/sys/fs/cgroup" && *kind == "cgroup2")
    {
        return Ok(Version::Two);
    }
    let missing: Vec<_> = NEEDED
        .into_iter()
        .filter(|controller| {
            !mounts.iter().any(|(_, kind, options)| {
                *kind == "cgroup" && options.split(',').any(|option| option == *controller)
            })
        })
        .collect();
    if missing.is_empty() {
        Ok(Version::One)
    } else {
        Err(Error { missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1(controller: &str) -> String {
        format!("40 30 0:30 / /sys/fs/cgroup/{controller} rw - cgroup cgroup rw,{controller}\n")
    }

    #[test]
    fn one_tree_is_version_two() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        assert_eq!(parse(mounts), Ok(Version::Two));
    }

    #[test]
    fn all_controllers_are_version_one_even_beside_a_unified_tree() {
        let unified = "50 30 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let mounts = NEEDED.map(v1).concat() + unified;
        assert_eq!(parse(&mounts), Ok(Version::One));
    }

    #[test]
    fn what_is_missing_is_named() {
        let mounts: String = NEEDED
            .iter()
            .filter(|name| **name != "pids")
            .map(|name| v1(name))
            .collect();
        let error = parse(&mounts).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("controllers pids are not mounted"),
            "{error}"
        );
    }
}
