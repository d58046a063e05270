//! Results on standard output, for people or for programs.

use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

use crate::arguments::OutputForm;

/// What a command found out or did.
pub(crate) trait Report: Serialize {
    /// Writes it for people.
    fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()>;
}

/// Prints a report in the form that was asked for.
pub(crate) fn print(report: &impl Report, form: OutputForm) -> io::Result<()> {
    let stdout = io::stdout();
    let has_colors = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = stdout.lock();
    write(report, form, has_colors, &mut out)?;
    out.flush()
}

fn write(
    report: &impl Report,
    form: OutputForm,
    has_colors: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    match form {
        OutputForm::Human => report.write_human(&mut Styled { out, has_colors }),
        OutputForm::Json => {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)
        }
    }
}

/// Text with a little color, where the reader can see it.
pub(crate) struct Styled<'a> {
    out: &'a mut dyn Write,
    has_colors: bool,
}

/// What a color says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Odd,
    Bad,
}

impl Styled<'_> {
    /// A plain line.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// A line that starts with a colored word.
    pub(crate) fn toned_line(&mut self, tone: Tone, word: &str, rest: &str) -> io::Result<()> {
        let color = match tone {
            Tone::Good => 32,
            Tone::Odd => 33,
            Tone::Bad => 31,
        };
        if self.has_colors {
            writeln!(self.out, "\u{1b}[{color}m{word}\u{1b}[0m{rest}")
        } else {
            writeln!(self.out, "{word}{rest}")
        }
    }

    /// Columns under their titles; `nothing` when there is no row.
    pub(crate) fn table<const N: usize>(
        &mut self,
        titles: [&str; N],
        rows: &[[String; N]],
        nothing: &str,
    ) -> io::Result<()> {
        if rows.is_empty() {
            return self.line(nothing);
        }
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .chain([titles[column].len()])
                .max()
                .unwrap_or(0)
        };
        let line = |cells: [&str; N]| {
            let padded: Vec<String> = cells
                .iter()
                .enumerate()
                .map(|(column, cell)| format!("{cell:width$}", width = width(column)))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        self.line(&line(titles))?;
        for row in rows {
            self.line(&line(row.each_ref().map(String::as_str)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report as people and as programs see it.
    pub(crate) fn both(report: &impl Report) -> String {
        let text = |form| {
            let mut bytes = Vec::new();
            write(report, form, false, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        format!("{}---\n{}", text(OutputForm::Human), text(OutputForm::Json))
    }

    #[derive(Debug, Serialize)]
    struct One(&'static str);

    impl Report for One {
        fn write_human(&self, out: &mut Styled<'_>) -> io::Result<()> {
            out.table(
                ["NAME", "N"],
                &[[self.0.to_owned(), "1".to_owned()]],
                "none",
            )?;
            out.table(["NAME"], &[], "none")?;
            out.toned_line(Tone::Bad, "FAILED", "  disk")
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(
            both(&One("größer")),
            "NAME    N\ngrößer  1\nnone\nFAILED  disk\n---\n\"größer\"\n"
        );
    }

    #[test]
    fn color_is_only_for_those_who_see_it() {
        let mut bytes = Vec::new();
        write(&One("x"), OutputForm::Human, true, &mut bytes).unwrap();
        assert!(
            String::from_utf8(bytes)
                .unwrap()
                .contains("\u{1b}[31mFAILED\u{1b}[0m")
        );
    }
}
