//! What a key may be set to, read from a file or from one word.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use savanna_net::Target;
use savanna_wire::Network;

use super::LogFormat;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A string of a file.
    Text(String),
    /// A number or a truth value of a file.
    Bare(String),
    /// A list of strings.
    List(Vec<String>),
    /// What the environment or a flag has, which may stand for any of these.
    Word(String),
    /// What no key is set to.
    Other(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Word(text) => write!(f, "{text:?}"),
            Self::Bare(text) => f.write_str(text),
            Self::List(items) => write!(f, "{items:?}"),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

impl Value {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Word(text) => Some(text),
            Self::Bare(_) | Self::List(_) | Self::Other(_) => None,
        }
    }

    fn bare(&self) -> Option<&str> {
        match self {
            Self::Bare(text) | Self::Word(text) => Some(text.trim()),
            Self::Text(_) | Self::List(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn items(&self) -> Option<Vec<&str>> {
        match self {
            Self::List(items) => Some(items.iter().map(String::as_str).collect()),
            Self::Word(text) => Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()),
            Self::Text(_) | Self::Bare(_) | Self::Other(_) => None,
        }
    }
}

/// A type of settings.
pub(super) trait Kind: Sized {
    /// Reads a value, if it is of this type.
    fn read(value: &Value) -> Option<Self>;

    /// Writes it as TOML.
    fn show(&self) -> String;
}

/// Writes a string as TOML.
fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

pub(super) fn quote_all<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| quote(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

impl Kind for bool {
    fn read(value: &Value) -> Option<Self> {
        value.bare()?.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Kind for u64 {
    fn read(value: &Value) -> Option<Self> {
        value.bare()?.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Kind for String {
    fn read(value: &Value) -> Option<Self> {
        value.text().map(str::to_owned)
    }

    fn show(&self) -> String {
        quote(self)
    }
}

impl Kind for Network {
    fn read(value: &Value) -> Option<Self> {
        value.text()?.parse().ok()
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

impl Kind for LogFormat {
    fn read(value: &Value) -> Option<Self> {
        match value.text()? {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn show(&self) -> String {
        quote(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl Kind for PathBuf {
    fn read(value: &Value) -> Option<Self> {
        let text = value.text().filter(|text| !text.is_empty())?;
        // No shell has seen a file's text.
        let below_home =
            text.strip_prefix("~/").and_then(|rest| Some(Self::from(std::env::var_os("HOME")?).join(rest)));
        Some(below_home.unwrap_or_else(|| text.into()))
    }

    fn show(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

/// An address of this machine: `IP:PORT`, or a port alone, which is for this machine only; nothing is none.
impl Kind for Option<SocketAddr> {
    fn read(value: &Value) -> Option<Self> {
        match value.text()? {
            "" => Some(None),
            text => crate::cli::own_address(text).ok().map(Some),
        }
    }

    fn show(&self) -> String {
        quote(&self.map(|address| address.to_string()).unwrap_or_default())
    }
}

impl Kind for Vec<Target> {
    fn read(value: &Value) -> Option<Self> {
        value.items()?.into_iter().map(|item| item.parse().ok()).collect()
    }

    fn show(&self) -> String {
        quote_all(self)
    }
}

/// Reads addresses to listen on, each `IP` or `IP:PORT`, with `port` where there is none.
pub(super) fn with_port(value: &Value, port: u16) -> Option<Vec<SocketAddr>> {
    let address = |item: &str| {
        let bare = item.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(item);
        item.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, port)))
    };
    value.items()?.into_iter().map(address).collect()
}
