//! The DNS service, asked by the programs that others ask with: `dig`, `delv` and `unbound`.
//!
//! Each test runs where its program is installed, and says so loudly where it is not.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(missing_docs, reason = "tests")]

mod dns_support;

use std::net::UdpSocket as Bound;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use dns_support::{MAIN, Service, TEST, keys, lenient, now, roll, zone};
use savanna_seed::Roll;
use tokio::task::spawn_blocking;

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var_os("DNS_TOOLS_REQUIRED").is_none(), "{program} is required here, and not installed");
        eprintln!("\n*** SKIPPED: {program} is not installed, so that nothing was shown by it ***\n");
    }
    found
}

async fn run(program: &'static str, arguments: Vec<String>) -> String {
    let output: Output = spawn_blocking(move || Command::new(program).args(arguments).output().unwrap()).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

async fn dig(service: &Service, question: &str) -> String {
    let port = service.at.port();
    run("dig", words(&format!("@127.0.0.1 -p {port} +tries=1 +norecurse {question}"))).await
}

#[tokio::test]
async fn dig_reads_all_of_it() {
    if !is_installed("dig") {
        return;
    }
    let service = Service::full(lenient()).await;
    for (question, told) in [
        (format!("{MAIN} A"), ["status: NOERROR", "ANSWER: 25,", "flags: qr aa;"]),
        (format!("{MAIN} AAAA +dnssec"), ["status: NOERROR", "ANSWER: 26,", "flags: do; udp: 1232"]),
        (format!("{MAIN} AAAA +noedns"), ["status: NOERROR", "ANSWER: 25,", "(TCP)"]),
        (format!("{MAIN} A +tcp"), ["status: NOERROR", "ANSWER: 25,", "(TCP)"]),
        (format!("x5.{MAIN} A"), ["status: NOERROR", "ANSWER: 25,", "aa;"]),
        (format!("{MAIN} ANY"), ["status: NOERROR", "HINFO", "RFC8482"]),
        (format!("zz.{MAIN} A +dnssec"), ["status: NXDOMAIN", "AUTHORITY: 6,", "NSEC"]),
        (format!("{MAIN} TXT"), ["status: NOERROR", "ANSWER: 0, AUTHORITY: 1,", "SOA"]),
        (format!("{TEST} A"), ["status: NOERROR", "ANSWER: 8,", "aa;"]),
        ("example.net A".to_owned(), ["status: REFUSED", "ANSWER: 0,", "flags: qr;"]),
        (format!("{MAIN} A -c CH"), ["status: REFUSED", "ANSWER: 0,", "flags: qr;"]),
    ] {
        let output = dig(&service, &question).await;
        for word in told {
            assert!(output.contains(word), "{question} has no {word:?}: {output}");
        }
        assert!(!output.contains("WARNING") && !output.contains("Malformed"), "{output}");
    }
    service.end().await;
}

/// Every error has its code, and an answer the size that is asked for: what is larger than that is cut to nothing, not to a part.
#[tokio::test]
async fn dig_is_told_every_error_and_given_the_size_it_takes() {
    if !is_installed("dig") {
        return;
    }
    let service = Service::full(lenient()).await;
    let long = "a".repeat(63);
    let cut = "flags: qr aa tc; QUERY: 1, ANSWER: 0, AUTHORITY: 0";
    for (question, told) in [
        (format!("{MAIN} A +dnssec +bufsize=0 +ignore"), [cut, "MSG SIZE  rcvd: 45"]),
        (format!("{MAIN} AAAA +bufsize=512 +ignore"), [cut, "MSG SIZE  rcvd: 45"]),
        (format!("{MAIN} AAAA +bufsize=512"), ["ANSWER: 25,", "(TCP)"]),
        (format!("{MAIN} AAAA +bufsize=900 +ignore"), ["ANSWER: 25,", "(UDP)"]),
        (format!("{MAIN} AAAA +dnssec +bufsize=65535 +ignore"), ["ANSWER: 26,", "udp: 1232"]),
        (format!("{MAIN} A +edns=1 +noednsneg"), ["status: BADVERS", "ANSWER: 0,"]),
        (format!("{MAIN} A +edns=1"), ["retrying with EDNS version 0", "ANSWER: 25,"]),
        (format!("{MAIN} A +cookie=0102030405060708 +nsid"), ["ANSWER: 25,", "(UDP)"]),
        (format!("{MAIN} A +subnet=192.0.2.0/24 +zflag"), ["ANSWER: 25,", "(UDP)"]),
        (format!("{MAIN} A +opcode=status"), ["opcode: STATUS, status: NOTIMP", "ANSWER: 0,"]),
        (format!("{MAIN} SOA +opcode=notify"), ["opcode: NOTIFY, status: NOTIMP", "ANSWER: 0,"]),
        (format!("{MAIN} SOA +opcode=update"), ["opcode: UPDATE, status: NOTIMP", "ANSWER: 0,"]),
        (format!("{MAIN} AXFR"), ["Transfer failed", ""]),
        (format!("{MAIN} DS"), ["status: NOERROR", "ANSWER: 0, AUTHORITY: 1,"]),
        (format!("x1.{MAIN} CNAME"), ["status: NOERROR", "ANSWER: 0, AUTHORITY: 1,"]),
        (format!("{MAIN} TYPE65535"), ["status: NOERROR", "ANSWER: 0, AUTHORITY: 1,"]),
        (format!("{long}.{long}.{long}.{MAIN} A +dnssec"), ["status: NXDOMAIN", "(UDP)"]),
        (format!("*.{MAIN} A"), ["status: NXDOMAIN", "AUTHORITY: 1,"]),
        (format!("{MAIN} A -c HS"), ["status: REFUSED", "ANSWER: 0,"]),
        ("version.bind TXT -c CH".to_owned(), ["status: REFUSED", "ANSWER: 0,"]),
        (". NS".to_owned(), ["status: REFUSED", "ANSWER: 0,"]),
    ] {
        let output = dig(&service, &question).await;
        for word in told {
            assert!(output.contains(word), "{question} has no {word:?}: {output}");
        }
        assert!(!output.contains("Malformed") && !output.contains("timed out"), "{output}");
    }
    service.end().await;
}

/// What is asked of the signed zone, and what the answer has in it: data, or a denial.
const SIGNED: [(&str, &str, bool); 14] = [
    ("", "A", true),
    ("", "AAAA", true),
    ("", "NS", true),
    ("", "SOA", true),
    ("", "DNSKEY", true),
    ("", "TXT", false),
    ("x1.", "A", true),
    ("x5.", "AAAA", true),
    ("x5.", "MX", false),
    ("x9.", "A", false),
    ("a.ns.", "A", true),
    ("ns.", "A", false),
    ("nothing.", "A", false),
    ("b.x5.", "A", false),
];

#[tokio::test]
async fn delv_holds_it_for_genuine_and_what_is_denied_for_denied() {
    if !is_installed("delv") {
        return;
    }
    let signed = zone(MAIN, Some(keys()));
    let key = signed.dnskey().unwrap();
    let service = Service::of([signed], lenient()).await;
    service.zones.update(MAIN, roll(120), now()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let anchor = anchor(dir.path(), &key);
    for (name, kind, exists) in SIGNED {
        let output = delv(&service, &anchor, &format!("{name}{MAIN} {kind}")).await;
        let told = if exists { "; fully validated" } else { "; negative response, fully validated" };
        assert!(output.contains(told), "{name} {kind}: {output}");
        let output = delv(&service, &anchor, &format!("+tcp {name}{MAIN} {kind}")).await;
        assert!(output.contains(told), "by TCP, {name} {kind}: {output}");
    }
    service.zones.update(MAIN, Roll::default(), now()).await.unwrap();
    for name in ["", "x1.", "x5."] {
        let output = delv(&service, &anchor, &format!("{name}{MAIN} A")).await;
        assert!(output.contains("; negative response, fully validated"), "{output}");
    }
    service.end().await;
}

/// Another's key is no key of ours: without this, the test above could pass with any answer.
#[tokio::test]
async fn delv_holds_it_for_forged_under_another_key() {
    if !is_installed("delv") {
        return;
    }
    let service = Service::full(lenient()).await;
    let dir = tempfile::tempdir().unwrap();
    let anchor = anchor(dir.path(), &zone(MAIN, Some(keys())).dnskey().unwrap());
    let output = delv(&service, &anchor, &format!("{MAIN} A")).await;
    assert!(!output.contains("fully validated") && output.contains("resolution failed"), "{output}");
    service.end().await;
}

fn anchor(dir: &Path, key: &str) -> String {
    let words = words(key);
    let [name, _, _, flags, protocol, algorithm, key @ ..] = &words[..] else { panic!("{key}") };
    let path = dir.join("anchor");
    let anchor = format!("trust-anchors {{ {name} static-key {flags} {protocol} {algorithm} \"{}\"; }};", key.concat());
    std::fs::write(&path, anchor).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn delv(service: &Service, anchor: &str, question: &str) -> String {
    let port = service.at.port();
    run("delv", words(&format!("@127.0.0.1 -p {port} -a {anchor} +root={MAIN} {question}"))).await
}

/// Ends the program with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn unbound_forwards_to_us_and_validates() {
    if !is_installed("unbound") || !is_installed("dig") {
        return;
    }
    let signed = zone(MAIN, Some(keys()));
    let ds = signed.ds().unwrap();
    let service = Service::of([signed], lenient()).await;
    service.zones.update(MAIN, roll(120), now()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let port = Bound::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = dir.path().join("unbound.conf");
    std::fs::write(&config, unbound(dir.path(), port, service.at.port(), &ds)).unwrap();
    let child = Command::new("unbound").args(["-d", "-c"]).arg(&config).stderr(Stdio::null()).spawn().unwrap();
    let running = Running(child);
    let ask =
        |question: String| run("dig", words(&format!("@127.0.0.1 -p {port} +tries=1 +time=2 +dnssec {question}")));
    for _ in 0..100 {
        if ask(format!("{MAIN} SOA")).await.contains("status: NOERROR") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (name, kind, exists) in SIGNED {
        let output = ask(format!("{name}{MAIN} {kind}")).await;
        let nothing = name == "nothing." || name == "b.x5.";
        let code = if nothing { "status: NXDOMAIN" } else { "status: NOERROR" };
        assert!(output.contains(code), "{name} {kind}: {output}");
        assert_eq!(!output.contains("ANSWER: 0,"), exists, "{name} {kind}: {output}");
        let flags = output.lines().find(|line| line.contains("flags: qr")).unwrap_or("");
        assert!(flags.split(';').any(|part| part.split(' ').any(|flag| flag == "ad")), "{name} {kind}: {output}");
    }
    drop(running);
    service.end().await;
}

fn unbound(dir: &Path, port: u16, ours: u16, ds: &str) -> String {
    let dir = dir.display();
    format!(
        r#"server:
  interface: 127.0.0.1@{port}
  port: {port}
  username: ""
  chroot: ""
  directory: "{dir}"
  pidfile: "{dir}/pid"
  use-syslog: no
  logfile: "{dir}/log"
  module-config: "validator iterator"
  do-not-query-localhost: no
  do-ip6: no
  use-caps-for-id: yes
  num-threads: 1
  trust-anchor: "{ds}"
remote-control:
  control-enable: no
forward-zone:
  name: "{MAIN}"
  forward-addr: 127.0.0.1@{ours}
"#
    )
}
