//! Figures: what was measured, how often, and the three numbers that are told of it.

use serde::Serialize;

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "MB")]
    Megabytes,
    #[serde(rename = "%")]
    Percent,
    #[serde(rename = "requests")]
    Requests,
}

impl Unit {
    /// Its sign.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Megabytes => "MB",
            Self::Percent => "%",
            Self::Requests => "requests",
        }
    }
}

/// All figures of one kind, under a name that does not change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Measurement {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) n: usize,
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// Figures as they come in, in the order in which their names first came.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    series: Vec<(String, Unit, Vec<f64>)>,
}

impl Figures {
    /// Adds one figure.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, figure: f64) {
        match self.series.iter_mut().find(|(known, ..)| known == name) {
            Some((_, _, figures)) => figures.push(figure),
            None => self.series.push((name.to_owned(), unit, vec![figure])),
        }
    }

    /// The three numbers of each series.
    pub(crate) fn measurements(&self) -> Vec<Measurement> {
        self.series
            .iter()
            .map(|(name, unit, figures)| measurement(name, *unit, figures))
            .collect()
    }
}

/// There is at least one figure in a series.
fn measurement(name: &str, unit: Unit, figures: &[f64]) -> Measurement {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let median = if n.is_multiple_of(2) {
        f64::midpoint(sorted[n / 2 - 1], sorted[n / 2])
    } else {
        sorted[n / 2]
    };
    Measurement {
        name: name.to_owned(),
        unit,
        n,
        min: rounded(sorted[0]),
        median: rounded(median),
        max: rounded(sorted[n - 1]),
    }
}

/// More digits would claim more than a clock and a busy machine can know.
fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_has_its_three_numbers() {
        let mut figures = Figures::default();
        for seconds in [4.5, 4.0, 6.0] {
            figures.add("vcluster.readyz", Unit::Seconds, seconds);
        }
        figures.add("memory.syncer", Unit::Megabytes, 7.5);
        figures.add("memory.syncer", Unit::Megabytes, 8.0);
        let expected = [
            Measurement {
                name: "vcluster.readyz".to_owned(),
                unit: Unit::Seconds,
                n: 3,
                min: 4.0,
                median: 4.5,
                max: 6.0,
            },
            Measurement {
                name: "memory.syncer".to_owned(),
                unit: Unit::Megabytes,
                n: 2,
                min: 7.5,
                median: 7.75,
                max: 8.0,
            },
        ];
        assert_eq!(figures.measurements(), expected);
    }

    #[test]
    fn units_are_written_as_signs() {
        for unit in [
            Unit::Seconds,
            Unit::Milliseconds,
            Unit::Megabytes,
            Unit::Percent,
            Unit::Requests,
        ] {
            let json = serde_json::to_string(&unit).unwrap();
            assert_eq!(json, format!("\"{}\"", unit.sign()));
        }
    }
}
