//! Where a process runs, and whether a process is still there.

use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The machine, its current boot, and the process namespace within it. An empty text is "unknown",
/// which equals nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// A digest of the machine's id and its host name: images and clones share the former, containers
    /// on one machine differ in the latter.
    pub machine: String,
    /// Changes with every boot.
    pub boot_id: String,
    /// Process ids mean something only within one of these; containers have their own.
    #[serde(default)]
    pub pid_namespace: String,
}

/// A process, told apart from a later one with the same id by its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// When it started, in the kernel's own unit. Compared, never interpreted.
    pub start_time: u64,
}

/// What is found under a process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// No process has that id, or only its exit status is left.
    Nobody,
    /// A process that started then.
    StartedAt(u64),
    /// A process about which this user may know nothing more.
    Hidden,
}

impl Place {
    /// Where this process runs.
    pub fn here() -> Self {
        Self {
            machine: machine(),
            boot_id: boot_id(),
            pid_namespace: pid_namespace(),
        }
    }
}

impl Process {
    /// This process.
    pub fn this() -> Self {
        let pid = std::process::id();
        let start_time = match presence(pid) {
            Presence::StartedAt(start_time) => start_time,
            Presence::Nobody | Presence::Hidden => 0,
        };
        Self { pid, start_time }
    }
}

/// Looks for a process on this machine.
pub fn presence(pid: u32) -> Presence {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Presence::Nobody;
    };
    if let Some(found) = system::inspect(pid) {
        return found;
    }
    // With `hidepid` the kernel shows no trace of others' processes, except to a signal.
    match rustix::process::test_kill_process(id) {
        Err(rustix::io::Errno::SRCH) => Presence::Nobody,
        _ => Presence::Hidden,
    }
}

/// The user's name, for people who read it.
pub(crate) fn user() -> String {
    ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()))
}

fn machine() -> String {
    let id = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .into_iter()
        .find_map(first_line)
        .unwrap_or_default();
    let name = rustix::system::uname();
    let digest = Sha256::new()
        .chain_update(id)
        .chain_update([0])
        .chain_update(name.nodename().to_bytes())
        .finalize();
    hex::encode(&digest[..8])
}

fn first_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

fn boot_id() -> String {
    system::boot_id()
}

fn pid_namespace() -> String {
    system::pid_namespace()
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Presence, first_line};

    pub(super) fn boot_id() -> String {
        first_line("/proc/sys/kernel/random/boot_id").unwrap_or_default()
    }

    pub(super) fn pid_namespace() -> String {
        std::fs::read_link("/proc/self/ns/pid")
            .map(|link| link.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    pub(super) fn inspect(pid: u32) -> Option<Presence> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parse_stat(&stat)
    }

    /// The second field is the program's name in parentheses, and may itself hold any character.
    pub(super) fn parse_stat(stat: &str) -> Option<Presence> {
        let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
        let state = fields.next()?;
        if matches!(state, "Z" | "X") {
            return Some(Presence::Nobody);
        }
        // The state is field 3 of proc(5), the start time field 22.
        let start_time = fields.nth(22 - 4)?.parse().ok()?;
        Some(Presence::StartedAt(start_time))
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

    use super::Presence;

    /// Unknown: a boot time in seconds moves when the clock is set.
    pub(super) fn boot_id() -> String {
        String::new()
    }

    pub(super) fn pid_namespace() -> String {
        std::env::consts::OS.to_owned()
    }

    pub(super) fn inspect(pid: u32) -> Option<Presence> {
        let id = Pid::from_u32(pid);
        let mut system = System::new().ok()?;
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[id]),
            true,
            ProcessRefreshKind::nothing(),
        );
        system
            .process(id)
            .map(|process| Presence::StartedAt(process.start_time()))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn this_process_is_found_with_one_start() {
        let this = Process::this();
        assert_ne!(this.start_time, 0);
        assert_eq!(presence(this.pid), Presence::StartedAt(this.start_time));
    }

    #[test]
    fn this_place_is_known_and_stays() {
        let here = Place::here();
        assert_eq!(here, Place::here());
        assert_eq!(here.machine.len(), 16);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_only_waits_to_be_collected_is_nobody() {
        let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
        let end = crate::deadline::Deadline::after("exit", std::time::Duration::from_secs(10));
        while presence(child.id()) != Presence::Nobody {
            assert!(!end.is_over(), "the child did not become a zombie");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }

    #[test]
    fn an_id_beyond_all_ids_is_nobody() {
        assert_eq!(presence(u32::MAX), Presence::Nobody);
        assert_eq!(presence(0), Presence::Nobody);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_name_with_spaces_and_parentheses_is_no_obstacle() {
        let stat = "7 (a ) R 1 (b)) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 55123 1 2 3";
        assert_eq!(linux::parse_stat(stat), Some(Presence::StartedAt(55123)));
    }
}
