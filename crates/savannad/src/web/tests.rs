use std::net::{Ipv4Addr, SocketAddr};

use axum::routing::get;
use savanna_net::Tasks;

use super::*;

const PAGE: &str = "numbers 1\n";

async fn server(tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages = Router::new().route("/metrics", get(async || PAGE));
    tasks.spawn(serve(listener, pages, tasks.spawner().stop()));
    address
}

/// Sends bytes and reads what comes until the stream ends.
async fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn one_page_is_served_and_nothing_else() {
    let tasks = Tasks::new();
    let address = server(&tasks).await;
    let long = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'x'; MAX_REQUEST], b"\r\n\r\n"].concat();
    let tries: [(&[u8], &str); 9] = [
        (b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n", "200 OK"),
        (b"GET /metrics?name[]=x HTTP/1.0\r\n\r\n", "200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST /nowhere HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", "405 Method Not Allowed"),
        (b"\x00\xff\r\n\r\n", "400 Bad Request"),
        (b"GET /metrics SMTP\r\n\r\n", "400 Bad Request"),
        (&long, "431 Request Header Fields Too Large"),
    ];
    for (request, status) in tries {
        let answer = say(address, request).await;
        assert!(answer.starts_with("HTTP/1.") && answer[8..].starts_with(&format!(" {status}\r\n")), "{answer}");
        assert_eq!(answer.ends_with(&format!("\r\n\r\n{PAGE}")), status == "200 OK", "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
    }
    let head = say(address, b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
    assert!(
        head.ends_with("\r\n\r\n") && head.to_lowercase().contains(&format!("content-length: {}\r\n", PAGE.len())),
        "{head}"
    );
}

#[tokio::test]
async fn adversary_8_clients_that_trickle_lose_their_place_and_never_bar_a_reader() {
    let tasks = Tasks::new();
    let address = server(&tasks).await;
    let mut trickling = Vec::new();
    for _ in 0..4 * MAX_CLIENTS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metr").await.unwrap();
        trickling.push(stream);
        assert!(say(address, b"GET /metrics HTTP/1.1\r\n\r\n").await.ends_with(PAGE));
    }
    // All but the youngest were sent away long before their time.
    for mut stream in trickling.drain(..3 * MAX_CLIENTS) {
        let read = timeout(DEADLINE / 2, stream.read(&mut [0; 16])).await.expect("it is still there");
        assert!(matches!(read, Ok(0) | Err(_)), "it was answered");
    }
    // The others are when it is over.
    for mut stream in trickling {
        let read = timeout(2 * DEADLINE, stream.read(&mut [0; 16])).await.expect("it is still there");
        assert!(matches!(read, Ok(0) | Err(_)), "it was answered");
    }
}

#[tokio::test]
async fn the_server_ends_with_its_tasks() {
    let tasks = Tasks::new();
    let address = server(&tasks).await;
    let mut held = TcpStream::connect(address).await.unwrap();
    held.write_all(b"GET").await.unwrap();
    assert!(say(address, b"GET /metrics HTTP/1.1\r\n\r\n").await.ends_with(PAGE));
    assert_eq!(tasks.shutdown(Duration::from_secs(60)).await, 0);
    assert!(TcpStream::connect(address).await.is_err());
    assert!(matches!(held.read(&mut [0; 16]).await, Ok(0) | Err(_)));
}
