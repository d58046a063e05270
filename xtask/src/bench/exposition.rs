//! Prometheus' text form, as much of it as a syncer uses.

/// Series and their values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exposition {
    series: Vec<(String, f64)>,
}

impl Exposition {
    /// Reads what it can.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self {
            series: series.collect(),
        }
    }

    /// The value of a series without labels.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        let found = self.series.iter().find(|(series, _)| series == name)?;
        Some(found.1)
    }

    /// The sum over all labels.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let is_it = |series: &str| series.split('{').next() == Some(name);
        let found = self.series.iter().filter(|(series, _)| is_it(series));
        found.map(|(_, value)| value).sum()
    }

    /// The quantile of a histogram, evenly spread within a bucket as Prometheus does.
    pub(crate) fn quantile(&self, name: &str, labels: &str, quantile: f64) -> Option<f64> {
        let start = format!("{name}_bucket{{{labels},le=\"");
        let buckets: Vec<(f64, f64)> = self
            .series
            .iter()
            .filter_map(|(series, count)| {
                let bound = series.strip_prefix(&start)?.strip_suffix("\"}")?;
                let bound = if bound == "+Inf" { "inf" } else { bound };
                Some((bound.parse().ok()?, *count))
            })
            .collect();
        let (_, all) = buckets.last().filter(|(_, all)| *all > 0.0)?;
        let rank = quantile * all;
        let at = buckets.iter().position(|(_, count)| *count >= rank)?;
        let (upper, within) = buckets[at];
        let (lower, below) = at
            .checked_sub(1)
            .map_or((0.0, 0.0), |before| buckets[before]);
        if upper.is_infinite() {
            return Some(lower);
        }
        Some(lower + (upper - lower) * (rank - below) / (within - below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE took histogram
took_bucket{of=\"pods\",le=\"0.01\"} 50
took_bucket{of=\"pods\",le=\"0.05\"} 90
took_bucket{of=\"pods\",le=\"+Inf\"} 100
took_count{of=\"pods\"} 100
took_count{of=\"maps\"} 7
seconds 1.5
";

    #[test]
    fn values_are_found_by_name() {
        let seen = Exposition::parse(TEXT);
        assert_eq!(seen.value("seconds"), Some(1.5));
        assert_eq!(seen.value("took_count"), None);
        assert_eq!(
            seen.sum("took_count").total_cmp(&107.0),
            std::cmp::Ordering::Equal
        );
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let seen = Exposition::parse(TEXT);
        let millis = |quantile| {
            let found = seen.quantile("took", "of=\"pods\"", quantile).unwrap();
            format!("{:.1}", found * 1000.0)
        };
        let expected = ["5.0", "10.0", "30.0", "50.0"];
        assert_eq!([0.25, 0.5, 0.7, 0.99].map(millis), expected);
        assert_eq!(seen.quantile("took", "of=\"none\"", 0.5), None);
    }
}
