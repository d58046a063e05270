//! What this process uses, as Linux counts it, under the names that Prometheus's own clients give it.

use std::{fmt::Write, fs};

/// Linux counts in hundredths of a second, whatever its own clock does.
const TICKS_A_SECOND: f64 = 100.0;

/// Time and memory in the text form that Prometheus reads; nothing where there is no Linux.
pub(crate) fn render() -> String {
    let mut text = String::new();
    let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let series = [
        (
            "process_cpu_seconds_total",
            "counter",
            "Time on a processor.",
            cpu_seconds(&read("stat")),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Memory that is really there.",
            resident_bytes(&read("status")),
        ),
    ];
    for (name, kind, help, value) in series {
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _written = write!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            );
        }
    }
    text
}

/// From `/proc/PID/stat`: the program's name, which may hold anything, stands in parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.map_while(|field| field.parse().ok()).collect();
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / TICKS_A_SECOND)
}

/// From `/proc/PID/status`.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_of_the_time_count() {
        let stat = "7 (odd ) name) S 1 7 7 0 -1 4194560 900 0 3 0 250 150 0 0 20 0 3 0 99 1 2";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(cpu_seconds("7 (name) S 1"), None);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let status = "Name:\tsyncer\nVmHWM:\t  999 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(resident_bytes(status), Some(12_288.0));
        assert_eq!(resident_bytes("Name:\tsyncer\n"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let text = render();
        assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }
}
