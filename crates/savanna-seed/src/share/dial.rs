//! The way to the database: a Unix socket, this machine, or a private network.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use savanna_book::Reach;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use super::ShareError;

/// The port of a database unless another is named.
const PORT: u16 = 5432;

/// How long one host may take, in seconds: another may be better.
const ENTER_WITHIN: u64 = 5;

/// A connection, whose end is that of whoever holds it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) client: Client,
    carrier: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// Connects to the first host that takes writes. Returns what the last one said if none does.
///
/// # Security
/// There is no TLS. So an address that is not private is refused, after its name is looked up: whoever is between could read
/// what is shared, and have every vantage point name what he likes.
pub(super) async fn dial(config: &Config) -> Result<Line, ShareError> {
    let mut last = None;
    for (number, host) in config.get_hosts().iter().enumerate() {
        let entered = timeout(Duration::from_secs(ENTER_WITHIN), dial_host(config, number, host)).await;
        match entered.unwrap_or(Err(ShareError::TimedOut(ENTER_WITHIN))) {
            Ok(line) => return Ok(line),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| ShareError::Lost("it is nowhere".to_owned())))
}

async fn dial_host(config: &Config, number: usize, host: &Host) -> Result<Line, ShareError> {
    let ports = config.get_ports();
    let port = ports.get(number).or(ports.first()).copied().unwrap_or(PORT);
    let name = match host {
        #[cfg(unix)]
        Host::Unix(directory) => {
            let path = directory.join(format!(".s.PGSQL.{port}"));
            let unreachable = |source| ShareError::Unreachable { place: path.display().to_string(), source };
            return enter(config, tokio::net::UnixStream::connect(&path).await.map_err(unreachable)?).await;
        }
        Host::Tcp(name) => name,
    };
    let place = format!("{name}:{port}");
    let unreachable = |source| ShareError::Unreachable { place: place.clone(), source };
    let addresses: Vec<SocketAddr> = match config.get_hostaddrs().get(number) {
        Some(ip) => vec![SocketAddr::new(*ip, port)],
        None => lookup_host((name.as_str(), port)).await.map_err(unreachable)?.collect(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        if Reach::of(address.ip().into()) != Reach::Private {
            return Err(ShareError::Public { place, address });
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(unreachable)?;
                return enter(config, stream).await;
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

async fn enter<S>(config: &Config, stream: S) -> Result<Line, ShareError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    let carrier = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the database ended");
        }
    });
    let line = Line { client, carrier };
    let is_standby: bool = line.client.query_one("SELECT pg_is_in_recovery()", &[]).await?.try_get(0)?;
    if is_standby { Err(ShareError::Standby) } else { Ok(line) }
}
