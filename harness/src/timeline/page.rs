//! The page: one file of HTML with a drawing in it, without scripts and without anything from elsewhere.

use std::fmt::{self, Write as _};

use jiff::tz::TimeZone;

use super::{
    Kind, Timeline,
    layout::{self, Bar, Chart, Row, State, Totals},
};

/// Width of the drawing and of its column of names, in the drawing's own unit.
const WIDTH: f64 = 1400.0;
const NAMES: f64 = 380.0;
const LANE: f64 = 16.0;
const GAP: f64 = 6.0;
const AXIS: f64 = 24.0;
/// How many characters of a name fit.
const LONGEST_NAME: usize = 58;

/// What the colours mean, and in which order people expect them.
const LEGEND: [(Kind, &str, &str); 9] = [
    (Kind::Wait, "wait", "waiting for room"),
    (Kind::Host, "host", "host"),
    (Kind::Start, "start", "start of a cluster"),
    (Kind::Pool, "pool", "pool and reset"),
    (Kind::Arguments, "arguments", "arguments"),
    (Kind::Body, "body", "the test's own work"),
    (Kind::Explain, "explain", "looking for a cause"),
    (Kind::CleanUp, "clean-up", "clean-up"),
    (Kind::Other, "other", "other"),
];

const STYLE: &str = "\
body{font:14px/1.4 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}\
table{border-collapse:collapse;font-size:13px}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}\
td:first-child,th:first-child{text-align:left}.bad{color:#b00020;font-weight:600}\
svg{width:100%;height:auto;font:11px system-ui,sans-serif}.grid{stroke:#e4e4e4}.row{stroke:#f0f0f0}\
.wait{fill:#b8b8b8}.host{fill:#8d6e63}.start{fill:#4a86d8}.phase{fill:#ffffff;fill-opacity:.28}.pool{fill:#7e57c2}\
.arguments{fill:#90a4ae}.body{fill:#43a047}.explain{fill:#c2185b}.clean-up{fill:#ef9f27}.other{fill:#607d8b}\
.failed{stroke:#b00020;stroke-width:2}.key{display:inline-block;margin-right:1.2em}\
.key svg{width:12px;height:12px;vertical-align:-1px}";

/// A page that shows where the time of a run went.
///
/// # Panics
/// Never: writing to a string cannot fail.
pub fn page(timeline: &Timeline, title: &str) -> String {
    let chart = layout::chart(timeline);
    let mut page = String::new();
    write(&mut page, &chart, timeline.unreadable, title).expect("writing to a string cannot fail");
    page
}

fn write(page: &mut String, chart: &Chart, unreadable: usize, title: &str) -> fmt::Result {
    let title = Escaped(title);
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n<p>{}</p>\n",
        Escaped(&summary(chart, unreadable))
    )?;
    page.push_str("<p>");
    for (_, class, meaning) in LEGEND {
        write!(
            page,
            "<span class=\"key\"><svg viewBox=\"0 0 12 12\"><rect class=\"{class}\" width=\"12\" height=\"12\"/></svg> {meaning}</span>"
        )?;
    }
    page.push_str("</p>\n");
    drawing(page, chart)?;
    table(page, chart)?;
    page.push_str("</body></html>\n");
    Ok(())
}

/// What the run was, in a sentence or two.
fn summary(chart: &Chart, unreadable: usize) -> String {
    let Some(begin) = chart.begin else {
        return "Nothing was recorded.".to_owned();
    };
    let Totals {
        tests,
        failed,
        unfinished,
        from_pool,
        seconds,
        waited_seconds,
    } = chart.totals();
    let mut text = format!(
        "{tests} tests from {} on in {seconds:.1} s; {failed} failed, {unfinished} did not end. \
         {from_pool} got a cluster from the pool. Waiting for room: {waited_seconds:.1} s together.",
        begin
            .to_zoned(TimeZone::UTC)
            .strftime("%Y-%m-%d %H:%M:%S UTC"),
    );
    if unreadable > 0 {
        text.push(' ');
        text.push_str(&unreadable.to_string());
        text.push_str(" lines could not be read.");
    }
    text
}

fn drawing(page: &mut String, chart: &Chart) -> fmt::Result {
    let scale = Scale {
        seconds: chart.seconds.max(0.001),
    };
    let lanes = |row: &Row| row.lanes.len().max(1);
    let height = AXIS
        + chart
            .rows
            .iter()
            .map(|row| LANE * as_number(lanes(row)) + GAP)
            .sum::<f64>();
    writeln!(
        page,
        "<svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\">"
    )?;
    for tick in ticks(chart.seconds) {
        let x = scale.x(tick);
        writeln!(
            page,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{AXIS:.0}\" y2=\"{height:.0}\"/>\
             <text x=\"{x:.1}\" y=\"14\" text-anchor=\"middle\">{tick} s</text>"
        )?;
    }
    let mut y = AXIS;
    for row in &chart.rows {
        write_row(page, row, y, &scale)?;
        y += LANE * as_number(lanes(row)) + GAP;
    }
    page.push_str("</svg>\n");
    Ok(())
}

fn write_row(page: &mut String, row: &Row, y: f64, scale: &Scale) -> fmt::Result {
    let class = if is_bad(row.state) {
        " class=\"bad\""
    } else {
        ""
    };
    writeln!(
        page,
        "<line class=\"row\" x1=\"0\" x2=\"{WIDTH:.0}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
         <text{class} x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}<title>{}</title></text>",
        y - GAP / 2.0,
        y - GAP / 2.0,
        NAMES - 8.0,
        y + LANE - 4.0,
        Escaped(&shortened(&row.title)),
        Escaped(&row.title)
    )?;
    for (number, lane) in row.lanes.iter().enumerate() {
        let y = y + LANE * as_number(number);
        for bar in lane {
            rectangle(page, bar, class_of(bar.kind), y, LANE - 3.0, scale)?;
            // Every other part is lighter, so that they can be told apart.
            for part in bar.parts.iter().step_by(2) {
                rectangle(page, part, "phase", y, LANE - 3.0, scale)?;
            }
        }
    }
    for mark in &row.marks {
        writeln!(
            page,
            "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" stroke=\"#fff\"><title>{}</title></circle>",
            class_of(mark.kind),
            scale.x(mark.from),
            y + LANE / 2.0,
            Escaped(&mark.text)
        )?;
    }
    Ok(())
}

fn rectangle(
    page: &mut String,
    bar: &Bar,
    class: &str,
    y: f64,
    height: f64,
    scale: &Scale,
) -> fmt::Result {
    let failed = if bar.failed { " failed" } else { "" };
    let parts: Vec<_> = bar.parts.iter().map(|part| part.text.as_str()).collect();
    let text = [&[bar.text.as_str()], &parts[..]].concat().join("\n");
    writeln!(
        page,
        "<rect class=\"{class}{failed}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{}</title></rect>",
        scale.x(bar.from),
        scale.length(bar.seconds),
        Escaped(&text)
    )
}

fn table(page: &mut String, chart: &Chart) -> fmt::Result {
    page.push_str(
        "<table><tr><th>test</th><th>ended</th><th>whole</th><th>waited</th><th>host</th><th>cluster from</th>\
         <th>start</th><th>body</th><th>clean-up</th></tr>\n",
    );
    for row in &chart.rows {
        let (ended, whole) = match row.state {
            State::Ended { passed, seconds } => {
                (if passed { "passed" } else { "failed" }, shown(seconds))
            }
            State::Unfinished => ("not", String::new()),
            State::Upkeep => continue,
        };
        let source = if row.is_of_pool() {
            "pool"
        } else if row.total(Kind::Start) > 0.0 {
            "new"
        } else {
            ""
        };
        let class = if is_bad(row.state) {
            " class=\"bad\""
        } else {
            ""
        };
        writeln!(
            page,
            "<tr><td>{}</td><td{class}>{ended}</td><td>{whole}</td><td>{}</td><td>{}</td><td>{source}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(&row.title),
            shown(row.total(Kind::Wait)),
            shown(row.total(Kind::Host)),
            shown(row.total(Kind::Start) + row.total(Kind::Pool)),
            shown(row.total(Kind::Body)),
            shown(row.total(Kind::CleanUp)),
        )?;
    }
    page.push_str("</table>\n");
    Ok(())
}

fn is_bad(state: State) -> bool {
    matches!(
        state,
        State::Unfinished | State::Ended { passed: false, .. }
    )
}

fn class_of(kind: Kind) -> &'static str {
    let known = LEGEND.iter().find(|(known, _, _)| *known == kind);
    known.map_or("other", |(_, class, _)| class)
}

fn shown(seconds: f64) -> String {
    if seconds > 0.0 {
        format!("{seconds:.2}")
    } else {
        String::new()
    }
}

/// Its end says more than its begin.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST_NAME {
        return name.to_owned();
    }
    let end: String = name.chars().skip(length + 1 - LONGEST_NAME).collect();
    format!("…{end}")
}

/// At most ten, at round times.
fn ticks(seconds: f64) -> Vec<f64> {
    let steps = [0.1, 0.2, 0.5]
        .into_iter()
        .chain((0..6).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power))));
    let Some(step) = steps.into_iter().find(|step| seconds / step <= 10.0) else {
        return Vec::new();
    };
    (0..=10)
        .map(|number| f64::from(number) * step)
        .take_while(|tick| *tick <= seconds)
        .collect()
}

struct Scale {
    seconds: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        NAMES + self.unit() * seconds
    }

    /// What was short is still seen.
    fn length(&self, seconds: f64) -> f64 {
        (self.unit() * seconds).max(1.0)
    }

    fn unit(&self) -> f64 {
        (WIDTH - NAMES - 20.0) / self.seconds
    }
}

fn as_number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Text as HTML and SVG show it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' => f.write_char('\n')?,
                char if char.is_control() => f.write_char('\u{fffd}')?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"
{"at":"2026-01-01T00:00:00Z","process":1,"test":"web answers","kind":"test","name":"begin"}
{"at":"2026-01-01T00:00:00Z","process":1,"test":"web answers","kind":"wait","name":"room","seconds":1.5,"detail":"memory"}
{"at":"2026-01-01T00:00:01.5Z","process":1,"test":"web answers","cluster":"vc-1","kind":"start","name":"start","seconds":3}
{"at":"2026-01-01T00:00:02Z","process":1,"test":"web answers","cluster":"vc-1","kind":"phase","name":"readyz","seconds":2.5}
{"at":"2026-01-01T00:00:04.5Z","process":1,"test":"web answers","kind":"body","name":"body","seconds":0.5,"outcome":"failed"}
{"at":"2026-01-01T00:00:00Z","process":1,"test":"web answers","kind":"test","name":"end","seconds":5.25,"outcome":"failed"}
{"at":"2026-01-01T00:00:05Z","process":2,"test":"web again","kind":"pool","name":"hit","cluster":"vc-2"}
{"at":"2026-01-01T00:00:05Z","process":2,"test":"web again","kind":"test","name":"end","seconds":0.25,"outcome":"passed"}
"#;

    #[test]
    fn a_run_is_drawn_and_tabled() {
        insta::assert_snapshot!(page(&Timeline::of_lines(RUN), "a run"));
    }

    #[test]
    fn nothing_recorded_is_said() {
        let page = page(&Timeline::default(), "empty");
        assert!(page.contains("Nothing was recorded."), "{page}");
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let line = serde_json::json!({
            "at": "2026-01-01T00:00:00Z", "process": 1, "test": "<script>alert(1)</script>\u{1b}",
            "kind": "body", "name": "</title><b>", "detail": "\"><img src=x onerror=y>", "seconds": 1,
        });
        let page = page(&Timeline::of_lines(&line.to_string()), "a & b");
        for bad in ["<script", "<b>", "<img", "\u{1b}", "a & b"] {
            assert!(!page.contains(bad), "{bad} in {page}");
        }
        assert!(page.contains("a &amp; b"));
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(0.35), [0.0, 0.1, 0.2, 0.1 * 3.0]);
        assert_eq!(ticks(9.0).len(), 10);
        assert!((ticks(95.0)[1] - 10.0).abs() < 1e-9);
        assert!((ticks(3600.0)[1] - 500.0).abs() < 1e-9);
    }

    #[test]
    fn of_a_long_name_the_end_is_shown() {
        let name = format!("{}::case_1", "m".repeat(80));
        let short = shortened(&name);
        assert_eq!(short.chars().count(), LONGEST_NAME);
        assert!(short.starts_with('…') && short.ends_with("::case_1"));
    }
}
