//! Measures what the machine has, limits of control groups and other processes included. Reads files only.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::decide::Machine;

/// What all processors together have done since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks {
    pub(super) all: u64,
    /// Of that, nothing.
    pub(super) idle: u64,
}

/// Where the kernel's files are.
#[derive(Debug, Clone)]
pub struct Gauge {
    root: PathBuf,
    processors: usize,
}

impl Gauge {
    /// Of this machine.
    pub fn here() -> Self {
        Self {
            root: PathBuf::from("/"),
            // It knows of affinities and of both kinds of quota.
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Measures now.
    pub fn read(&self) -> Machine {
        Machine {
            memory: self.memory(),
            processors: self.processors,
            load: self.load(),
            pressure: self.pressure(),
        }
    }

    /// The least of what the machine has and of what each control group may still have.
    fn memory(&self) -> Option<u64> {
        let machine = if cfg!(target_os = "linux") {
            self.text("proc/meminfo")
                .and_then(|text| field(&text, "MemAvailable:"))
                .map(|kibibytes| kibibytes << 10)
        } else {
            sysinfo_memory()
        };
        let groups = self.text("proc/self/cgroup").unwrap_or_default();
        let free = groups.lines().flat_map(|line| self.free_in_groups(line));
        machine.into_iter().chain(free).min()
    }

    /// What the groups of one line of `/proc/self/cgroup` leave: its own and those above it.
    fn free_in_groups(&self, line: &str) -> Vec<u64> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            return Vec::new();
        };
        let (base, files) = match controllers {
            "" => (self.root.join("sys/fs/cgroup"), &VERSION_2),
            list if list.split(',').any(|name| name == "memory") => {
                (self.root.join("sys/fs/cgroup/memory"), &VERSION_1)
            }
            _ => return Vec::new(),
        };
        // In a container the path is that of the machine, and what is seen is the container's own: the base.
        let group = base.join(path.trim_start_matches('/'));
        group
            .ancestors()
            .take_while(|group| group.starts_with(&base))
            .filter_map(|group| files.free(group))
            .collect()
    }

    /// `0.52 0.58 0.59 3/467 12345`: the first is of the last minute.
    fn load(&self) -> Option<f64> {
        let text = self.text("proc/loadavg")?;
        text.split_whitespace().next()?.parse().ok()
    }

    /// `some avg10=1.53 avg60=…`: absent in older kernels, and where it is switched off.
    fn pressure(&self) -> Option<f64> {
        let text = self.text("proc/pressure/cpu")?;
        let some = text.lines().find(|line| line.starts_with("some "))?;
        let average = some
            .split_whitespace()
            .find_map(|word| word.strip_prefix("avg10="))?;
        average.parse().ok()
    }

    /// `cpu  10132153 290696 3084719 46828483 16683 0 25195 0 175628 0`: user, nice, system, idle, waiting for disks,
    /// interrupts of two kinds, stolen; guests, which the first two contain.
    pub(super) fn ticks(&self) -> Option<Ticks> {
        const COLUMNS: usize = 8;
        let text = self.text("proc/stat")?;
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let columns: Vec<u64> = line
            .split_whitespace()
            .take(COLUMNS)
            .map_while(|word| word.parse().ok())
            .collect();
        Some(Ticks {
            all: columns.iter().sum(),
            idle: columns.get(3)? + columns.get(4)?,
        })
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }
}

/// How a version of control groups calls its files.
struct Files {
    limit: &'static str,
    usage: &'static str,
    /// In `memory.stat`: what the kernel gives up as soon as somebody needs it.
    cache: &'static str,
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: "total_inactive_file",
};

const VERSION_2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    cache: "inactive_file",
};

impl Files {
    /// What a group may still have. A group without a limit says `max`, or a number that no machine has.
    fn free(&self, group: &Path) -> Option<u64> {
        let read = |name| fs::read_to_string(group.join(name)).ok();
        let number = |name| read(name)?.trim().parse::<u64>().ok();
        let (limit, usage) = (number(self.limit)?, number(self.usage)?);
        let cache = read("memory.stat").and_then(|text| field(&text, self.cache));
        Some(limit.saturating_sub(usage.saturating_sub(cache.unwrap_or(0))))
    }
}

/// The number after this word at the begin of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok())?
    })
}

fn sysinfo_memory() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some(system.available_memory())
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MEMORY: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       16000 kB\nMemFree:  100 kB\nMemAvailable:    8000 kB\n",
    );
    const KIB: u64 = 1 << 10;

    /// A machine that consists of these files.
    fn read(files: &[(&str, &str)]) -> Machine {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let gauge = Gauge {
            root: root.path().to_owned(),
            processors: 2,
        };
        gauge.read()
    }

    #[rstest]
    #[case::no_group(&[], 8000)]
    #[case::no_limit(
        &[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n"),
          ("sys/fs/cgroup/a/memory.current", "4096\n")],
        8000
    )]
    #[case::version_2(
        &[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "4096000\n"),
          ("sys/fs/cgroup/a/memory.current", "2048000\n"),
          ("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 1024000\n")],
        3000
    )]
    #[case::a_group_above(
        &[("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/b/memory.max", "max\n"),
          ("sys/fs/cgroup/a/b/memory.current", "0\n"), ("sys/fs/cgroup/a/memory.max", "1024000\n"),
          ("sys/fs/cgroup/a/memory.current", "0\n")],
        1000
    )]
    #[case::in_a_container(
        &[("proc/self/cgroup", "0::/docker/0123\n"), ("sys/fs/cgroup/memory.max", "2048000\n"),
          ("sys/fs/cgroup/memory.current", "0\n")],
        2000
    )]
    #[case::version_1(
        &[("proc/self/cgroup", "5:cpu:/x\n4:memory:/a\n"),
          ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4096000\n"),
          ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "3072000\n"),
          ("sys/fs/cgroup/memory/a/memory.stat", "total_inactive_file 512000\n")],
        1500
    )]
    #[case::version_1_without_a_limit(
        &[("proc/self/cgroup", "4:memory:/\n"),
          ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
          ("sys/fs/cgroup/memory/memory.usage_in_bytes", "3072000\n")],
        8000
    )]
    #[case::more_than_its_limit(
        &[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "1024\n"),
          ("sys/fs/cgroup/a/memory.current", "2048\n")],
        0
    )]
    fn memory_is_the_least_of_all(#[case] files: &[(&str, &str)], #[case] kibibytes: u64) {
        let machine = read(&[&[MEMORY], files].concat());
        assert_eq!(machine.memory, Some(kibibytes * KIB));
    }

    #[test]
    fn load_and_pressure_are_read_where_they_are() {
        let machine = read(&[
            ("proc/loadavg", "2.50 1.00 0.50 3/467 12345\n"),
            (
                "proc/pressure/cpu",
                "some avg10=71.25 avg60=1.00 avg300=0.10 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            ),
        ]);
        assert_eq!((machine.load, machine.pressure), (Some(2.5), Some(71.25)));
        let nothing = read(&[]);
        assert_eq!(
            (nothing.memory, nothing.load, nothing.pressure),
            (None, None, None)
        );
    }

    #[test]
    fn processors_that_wait_for_disks_do_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc")).unwrap();
        let gauge = Gauge {
            root: root.path().to_owned(),
            processors: 2,
        };
        assert_eq!(gauge.ticks(), None);
        let text = "cpu  10 1 5 70 4 2 3 5 9 9\ncpu0 5 0 2 35 2 1 1 2 4 4\n";
        fs::write(root.path().join("proc/stat"), text).unwrap();
        let expected = Ticks { all: 100, idle: 74 };
        assert_eq!(gauge.ticks(), Some(expected));
    }

    #[test]
    fn this_machine_has_memory_and_processors() {
        let machine = Gauge::here().read();
        assert!(machine.memory.unwrap() > 0);
        assert!(machine.processors > 0);
        assert!(machine.load.is_some());
    }
}
