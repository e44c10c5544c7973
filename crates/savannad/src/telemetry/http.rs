//! A web server for one page.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use savanna_net::Stop;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// The path of the page.
const PATH: &str = "/metrics";

/// What the page's text is (Prometheus' exposition format).
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long a client may take in all, from connecting to having read its answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The most clients at once. One more takes the place of whoever has been there longest.
const MAX_CLIENTS: usize = 16;

/// The most bytes of a request that are read; a longer one is refused.
const MAX_REQUEST: usize = 8 * 1024;

/// How long accepting rests when the system has no descriptors for another client.
const REST: Duration = Duration::from_millis(100);

/// Answers every `GET /metrics` with what `page` returns, until told to stop. Each client has one answer.
///
/// # Security
/// Against clients that send slowly, read slowly, or are many: each has its time and its bytes, and the one that has been there
/// longest makes place, which is none that only asks for the page.
pub(super) async fn serve(listener: TcpListener, page: impl Fn() -> String + Clone + Send + 'static, mut stop: Stop) {
    let mut answering = JoinSet::new();
    let mut places: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = stop.stopped() => return,
            Some(_) = answering.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            sleep(REST).await;
            continue;
        };
        places.retain(|client| !client.is_finished());
        if places.len() >= MAX_CLIENTS
            && let Some(oldest) = places.pop_front()
        {
            oldest.abort();
        }
        let page = page.clone();
        places.push_back(answering.spawn(async move {
            // Whoever hangs up, or takes too long, has no answer.
            let _ = timeout(DEADLINE, answer(stream, page)).await;
        }));
    }
}

async fn answer(mut stream: TcpStream, page: impl Fn() -> String) -> io::Result<()> {
    let request = read_request(&mut stream).await?;
    stream.write_all(respond(&request, page).as_bytes()).await?;
    stream.shutdown().await?;
    // Closing a socket with unread bytes resets it, and the client would lose its answer.
    let mut discarded = [0; 1024];
    while stream.read(&mut discarded).await? > 0 {}
    Ok(())
}

/// Reads up to the empty line behind the head, to the end of the stream, or as much as is allowed.
async fn read_request(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let count = stream.read(&mut piece).await?;
        request.extend_from_slice(&piece[..count]);
        if count == 0 || is_whole(&request) || request.len() > MAX_REQUEST {
            return Ok(request);
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    request.windows(4).any(|end| end == b"\r\n\r\n")
}

/// Returns the answer to a request: the head, and the page if that was asked for.
fn respond(request: &[u8], page: impl Fn() -> String) -> String {
    if request.len() > MAX_REQUEST {
        return refuse("431 Request Header Fields Too Large", "");
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return refuse("400 Bad Request", "");
    };
    if !version.starts_with("HTTP/1.") || !is_whole(request) {
        return refuse("400 Bad Request", "");
    }
    if target.split('?').next() != Some(PATH) {
        return refuse("404 Not Found", "");
    }
    match method {
        "GET" => with_head("200 OK", "", &page(), true),
        "HEAD" => with_head("200 OK", "", &page(), false),
        _ => refuse("405 Method Not Allowed", "Allow: GET, HEAD\r\n"),
    }
}

fn refuse(status: &str, more: &str) -> String {
    with_head(status, more, &format!("{status}: the numbers are at {PATH}\n"), true)
}

fn with_head(status: &str, more: &str, body: &str, is_body_sent: bool) -> String {
    let length = body.len();
    let body = if is_body_sent { body } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests;
