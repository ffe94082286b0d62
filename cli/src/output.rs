//! Printing: results to standard output, all else to standard error. Colours only where a terminal shows them.

use std::fmt;
use std::io::{IsTerminal, Write, stdout};

use anstyle::{AnsiColor, Style};
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};
use jiff::Timestamp;
use ozma_domain::state::RunState;
use serde::Serialize;

use crate::args::Format;
use crate::exit::Failure;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const RED: Style = AnsiColor::Red.on_default();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();

/// The command's one clock.
#[expect(
    clippy::disallowed_methods,
    reason = "ages are told relative to now; everything below takes it as an argument"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Text in a style. Where colours are not shown, `anstream` takes them out again.
pub(crate) fn styled(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

pub(crate) fn state_style(state: RunState) -> Style {
    match state {
        RunState::Succeeded => GREEN,
        RunState::Failed | RunState::Error => RED,
        RunState::Blocked | RunState::Cancelled => YELLOW,
        RunState::Queued | RunState::Pending | RunState::Claimed | RunState::InProgress => CYAN,
    }
}

/// A line of the result.
pub(crate) fn line(text: impl fmt::Display) -> Result<(), Failure> {
    Ok(writeln!(anstream::stdout().lock(), "{text}")?)
}

/// A line about the work. Nobody misses it when standard error is closed.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Bytes of the result, unchanged and at once.
pub(crate) fn raw(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

pub(crate) fn prompt(question: &str) -> Result<(), Failure> {
    let mut err = anstream::stderr().lock();
    write!(err, "{question}")?;
    Ok(err.flush()?)
}

pub(crate) fn failure(failure: &Failure, debug: bool) {
    for (label, text) in failure.lines(debug).iter().filter_map(|line| line.split_once(": ")) {
        let style = match label {
            "error" => RED.bold(),
            "hint" => CYAN.bold(),
            _ => DIM,
        };
        note(format_args!("{}: {text}", styled(style, label)));
    }
}

/// One result, as JSON or as lines of name and value.
pub(crate) fn item<T: Serialize>(
    format: Format,
    item: &T,
    lines: impl FnOnce(&T) -> Vec<(&'static str, String)>,
) -> Result<(), Failure> {
    match format {
        Format::Json => json(item),
        Format::Ndjson => json_line(item),
        Format::Pretty | Format::Text => {
            let lines = lines(item);
            let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, value) in lines {
                let indented = value.trim_end().replace('\n', &format!("\n{:width$}  ", ""));
                line(format_args!("{}  {indented}", styled(DIM, format_args!("{name:width$}"))))?;
            }
            Ok(())
        }
    }
}

/// A list: `whole` in JSON, an item a line in ndjson, else a table.
pub(crate) fn list<T: Serialize, I: Serialize>(
    format: Format,
    whole: &T,
    items: &[I],
    header: &[&str],
    row: impl Fn(&I) -> Vec<Text>,
    empty: &str,
) -> Result<(), Failure> {
    match format {
        Format::Json => json(whole),
        Format::Ndjson => items.iter().try_for_each(json_line),
        Format::Pretty | Format::Text if items.is_empty() => {
            note(empty);
            Ok(())
        }
        Format::Pretty | Format::Text => line(table(header, items.iter().map(row))),
    }
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|err| Failure::new("cannot print").because(err))?;
    raw(&format!("{text}\n"))
}

pub(crate) fn json_line<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|err| Failure::new("cannot print").because(err))?;
    raw(&format!("{text}\n"))
}

/// A cell of a table.
pub(crate) enum Text {
    Plain(String),
    State(RunState),
    /// Never broken over lines: made to be copied.
    Id(String),
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

/// Below this a table is no table.
const NARROWEST: u16 = 80;

fn table(header: &[&str], rows: impl Iterator<Item = Vec<Text>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).enforce_styling();
    if stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        // Some terminals do not know how wide they are.
        if table.width().is_none_or(|width| width < NARROWEST) {
            table.set_width(NARROWEST);
        }
    }
    table.set_header(header.iter().map(|name| Cell::new(name).add_attribute(comfy_table::Attribute::Bold)));
    let mut unbroken = Vec::new();
    for row in rows {
        unbroken = row.iter().map(|text| matches!(text, Text::Id(_))).collect();
        table.add_row(row.into_iter().map(|text| match text {
            Text::Plain(text) | Text::Id(text) => Cell::new(text),
            Text::State(state) => Cell::new(state).fg(match state {
                RunState::Succeeded => Color::Green,
                RunState::Failed | RunState::Error => Color::Red,
                RunState::Blocked | RunState::Cancelled => Color::Yellow,
                _ => Color::Cyan,
            }),
        }));
    }
    for (index, unbroken) in unbroken.into_iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if unbroken {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_columns() {
        let rows = [
            vec![Text::Id("a".to_owned()), Text::State(RunState::InProgress), "first".into()],
            vec![Text::Id("bbb".to_owned()), Text::State(RunState::Failed), "second".into()],
        ];
        let table = anstream::adapter::strip_str(&table(&["RUN", "STATE", "TITLE"], rows.into_iter())).to_string();
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
RUN  STATE       TITLE
a    INPROGRESS  first
bbb  FAILED      second
");
    }
}
