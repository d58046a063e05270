//! The results: a table for people, JSON for programs.

use std::fmt;

use serde::Serialize;

use super::{machine::Machine, measurement::Measurement};

/// Everything that was measured, and where.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) results: Vec<Measurement>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        let width = self
            .results
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0);
        writeln!(
            f,
            "| {:width$} | unit |   n |      min |   median |      max |",
            "what"
        )?;
        writeln!(
            f,
            "|{:-<1$}|------|----:|---------:|---------:|---------:|",
            "",
            width + 2
        )?;
        for row in &self.results {
            writeln!(
                f,
                "| {:width$} | {:4} | {:>3} | {:>8} | {:>8} | {:>8} |",
                row.name,
                row.unit.sign(),
                row.n,
                figure(row.min),
                figure(row.median),
                figure(row.max)
            )?;
        }
        writeln!(
            f,
            "\nMemory is resident memory (RSS) of the processes of one idle virtual cluster."
        )
    }
}

/// Three digits that matter.
fn figure(number: f64) -> String {
    if number < 10.0 {
        format!("{number:.2}")
    } else {
        format!("{number:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::measurement::{Figures, Unit},
        *,
    };

    fn report() -> Report {
        let mut figures = Figures::default();
        figures.add("vcluster.readyz", Unit::Seconds, 4.25);
        figures.add("memory.total", Unit::Megabytes, 396.5);
        Report {
            machine: Machine {
                cpu: "A CPU".to_owned(),
                cores: 2,
                memory_gb: 24,
                kernel: "6.18.0".to_owned(),
                cgroup: "v1".to_owned(),
                engine: "26.1.5".to_owned(),
                storage_driver: "overlay2".to_owned(),
                kubernetes: "v1.34.2".to_owned(),
            },
            results: figures.measurements(),
        }
    }

    #[test]
    fn people_get_a_table() {
        let table = report().to_string();
        assert!(
            table.starts_with("A CPU, 2 cores, 24 GB, Linux 6.18.0, cgroup v1, Docker 26.1.5"),
            "{table}"
        );
        assert!(
            table.contains("| vcluster.readyz | s    |   1 |     4.25 |     4.25 |     4.25 |"),
            "{table}"
        );
        assert!(
            table.contains("| memory.total    | MB   |   1 |    396.5 |    396.5 |    396.5 |"),
            "{table}"
        );
    }

    #[test]
    fn programs_get_names_that_do_not_change() {
        let json: serde_json::Value = serde_json::to_value(report()).unwrap();
        assert_eq!(json["machine"]["cores"], 2);
        let first = serde_json::json!({
            "name": "vcluster.readyz", "unit": "s", "n": 1, "min": 4.25, "median": 4.25, "max": 4.25
        });
        assert_eq!(json["results"][0], first);
    }
}
