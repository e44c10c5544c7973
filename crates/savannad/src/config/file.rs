//! A file of settings: TOML, one table, every key on a line that an error can name.

use std::path::Path;

use anyhow::anyhow;
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
    let line_at = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_at(error.span().map_or(0, |span| span.start));
        anyhow!("{}, line {line}: {}", path.display(), error.message())
    })?;
    let mut settings = Vec::new();
    for (key, value) in table.get_ref() {
        let origin = Origin::File { path: path.to_owned(), line: line_at(key.span().start) };
        settings.push(Setting { key: key.get_ref().to_string(), value: to_value(value.get_ref()), origin });
    }
    Ok(settings)
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
