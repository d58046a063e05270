//! A line of a log. Programs get one JSON object per line of output.

use std::io::{self, Write};

use serde::Serialize;

use crate::arguments::OutputForm;

/// One line.
#[derive(Debug, Serialize)]
pub(crate) struct LogLine<'a> {
    pub(crate) container: &'a str,
    pub(crate) line: &'a str,
}

impl LogLine<'_> {
    /// Writes it in the form that was asked for.
    pub(crate) fn write(&self, form: OutputForm, out: &mut dyn Write) -> io::Result<()> {
        match form {
            OutputForm::Human => writeln!(out, "{}: {}", self.container, self.line),
            OutputForm::Json => {
                serde_json::to_writer(&mut *out, self)?;
                writeln!(out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_knows_its_container() {
        let line = LogLine {
            container: "syncer",
            line: "ready \"web\"",
        };
        let mut out = Vec::new();
        line.write(OutputForm::Human, &mut out).unwrap();
        line.write(OutputForm::Json, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "syncer: ready \"web\"\n{\"container\":\"syncer\",\"line\":\"ready \\\"web\\\"\"}\n"
        );
    }
}
