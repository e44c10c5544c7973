//! A file of settings: TOML, one table, every key on a line that an error can name.

use std::borrow::Cow;
use std::path::Path;

use anyhow::anyhow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::Value;
use super::{Origin, Setting, read_text};

/// Reads the settings of a file, in its order.
///
/// # Errors
/// A sentence with the file, the line and what is wrong there.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Setting>> {
    let text = read_text(path)?;
    parse(&text, path)
}

pub(super) fn parse(text: &str, path: &Path) -> anyhow::Result<Vec<Setting>> {
    let line_at = lines_of(text);
    let table = DeTable::parse(text).map_err(|error| of_syntax(&error, path, &line_at))?;
    Ok(settings_of(table.get_ref(), path, &line_at))
}

/// Reads a file that has tables `[[name]]` besides.
///
/// # Errors
/// A sentence with the file, the line and what is wrong there.
pub(super) fn parse_tables(text: &str, path: &Path, name: &str) -> anyhow::Result<(Vec<Setting>, Vec<Vec<Setting>>)> {
    let line_at = lines_of(text);
    let table = DeTable::parse(text).map_err(|error| of_syntax(&error, path, &line_at))?;
    let settings = settings_of(table.get_ref(), path, &line_at).into_iter().filter(|setting| setting.key != name);
    let mut tables = Vec::new();
    if let Some((key, value)) = table.get_ref().iter().find(|(key, _)| key.get_ref() == name) {
        let is_wrong = || anyhow!("{}, line {}: write [[{name}]]", path.display(), line_at(key.span().start));
        for item in value.get_ref().as_array().ok_or_else(is_wrong)? {
            tables.push(settings_of(item.get_ref().as_table().ok_or_else(is_wrong)?, path, &line_at));
        }
    }
    Ok((settings.collect(), tables))
}

/// Returns what counts the line that a byte stands on.
fn lines_of(text: &str) -> impl Fn(usize) -> usize {
    move |at| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn of_syntax(error: &toml::de::Error, path: &Path, line_at: &impl Fn(usize) -> usize) -> anyhow::Error {
    let line = line_at(error.span().map_or(0, |span| span.start));
    anyhow!("{}, line {line}: {}", path.display(), error.message())
}

fn settings_of(table: &DeTable<'_>, path: &Path, line_at: &impl Fn(usize) -> usize) -> Vec<Setting> {
    let setting = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let origin = Origin::File { path: path.to_owned(), line: line_at(key.span().start) };
        Setting { key: key.get_ref().to_string(), value: to_value(value.get_ref()), origin }
    };
    table.iter().map(setting).collect()
}

fn to_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(truth) => Value::Bare(truth.to_string()),
        DeValue::Integer(integer) if integer.radix() == 10 => Value::Bare(integer.as_str().replace('_', "")),
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            items.map_or(Value::Other("a list of other things than strings"), Value::List)
        }
        DeValue::Integer(_) => Value::Other("a number in another base than ten"),
        DeValue::Float(_) => Value::Other("a number with a point"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a table"),
    }
}
