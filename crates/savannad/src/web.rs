//! A web server for a few short pages.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use savanna_net::Stop;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tower::Service as _;

/// How long a client may take in all, from connecting to having read its answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The most clients at once. One more takes the place of whoever has been there longest.
const MAX_CLIENTS: usize = 16;

/// The most bytes of a request's head; a longer one is refused. No page reads a body.
const MAX_REQUEST: usize = 8 * 1024;

/// How long accepting rests when the system has no descriptors for another client.
const REST: Duration = Duration::from_millis(100);

/// Serves pages until told to stop. Each client has one answer.
///
/// # Security
/// Against clients that send slowly, read slowly, or are many: each has its time and its bytes, and the one that has been there
/// longest makes place, which is none that only asks for a page.
pub(crate) async fn serve(listener: TcpListener, pages: Router, mut stop: Stop) {
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
        let pages = pages.clone();
        places.push_back(answering.spawn(async move {
            // Whoever hangs up, or takes too long, has no answer.
            let _ = timeout(DEADLINE, answer(stream, pages)).await;
        }));
    }
}

async fn answer(stream: TcpStream, pages: Router) -> io::Result<()> {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let mut pages = pages.clone();
        Box::pin(async move { pages.call(request).await })
    });
    let mut connection = http1::Builder::new()
        .keep_alive(false)
        .half_close(true)
        .max_header_size(MAX_REQUEST)
        .serve_connection(TokioIo::new(stream), service);
    // What cannot be read has been refused by then.
    let _ = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let mut stream = connection.into_parts().io.into_inner();
    stream.shutdown().await?;
    // Closing a socket with unread bytes resets it, and the client would lose its answer.
    let mut discarded = [0; 1024];
    while stream.read(&mut discarded).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
