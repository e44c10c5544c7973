//! Observations shared through a real PostgreSQL.
//!
//! Each test starts a server of its own where PostgreSQL is installed, and says so loudly where it is not. With
//! `POSTGRES_REQUIRED` in the environment, that is a failure.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(missing_docs, reason = "tests")]

mod postgres_support;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres_support::{Machine, PASSWORD, Postgres, config, named, now, point, touch};
use savanna_book::UnixTime;
use savanna_net::Clock;
use savanna_seed::{Link, MAX_VANTAGE_POINTS, ShareError, Union, VantagePoint};
use tokio::time::timeout;

fn list(numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    numbers.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn vantage_points_with_different_reachability_agree() {
    let Some(postgres) = Postgres::start() else { return };
    // All at once, into a database that has no tables.
    let mut a = Machine::new(&postgres.address(), "a");
    let mut b = Machine::new(&postgres.address(), "b");
    a.share.offer(point(1..=50, |number| number <= 30 || number > 40));
    b.share.offer(point(1..=40, |number| number > 10));
    // Those of the first ten are reached by one of two, those above forty were tried by one alone.
    let most = list((11..=30).chain(41..=50));
    a.names(&most, 2).await;
    b.names(&most, 2).await;
    let mut c = Machine::new(&postgres.address(), "c");
    c.share.offer(point(1..=50, |number| number != 50));
    let most = list(1..=49);
    for machine in [&mut a, &mut b, &mut c] {
        machine.names(&most, 3).await;
    }
    // What changes at one changes at all.
    a.share.offer(point(20..=50, |number| number <= 30));
    let most = list((11..=40).filter(|number| *number > 10));
    for machine in [&mut a, &mut b, &mut c] {
        machine.names(&most, 3).await;
    }
    for machine in [a, b, c] {
        assert_eq!(machine.status.borrow().failures, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_database_stopped_and_started_they_serve_and_lose_nothing() {
    let Some(postgres) = Postgres::start() else { return };
    let mut a = Machine::new(&postgres.address(), "a");
    let mut b = Machine::new(&postgres.address(), "b");
    a.share.offer(point(1..=30, |_| true));
    b.share.offer(point(1..=30, |_| true));
    a.names(&list(1..=30), 2).await;
    b.names(&list(1..=30), 2).await;
    a.round().await;
    b.round().await;

    postgres.stop();
    a.status(|status| matches!(status.link, Link::Down(_))).await;
    b.status(|status| matches!(status.link, Link::Down(_))).await;
    // Much is found in the meantime. Each serves it at once, with what was last read of the other.
    for last in 31..=100 {
        a.share.offer(point(11..=last, |_| true));
        b.share.offer(point(21..=last + 1, |number| number != 25));
    }
    a.names(&list(1..=100), 2).await;
    b.names(&list((1..=101).filter(|number| *number != 25)), 2).await;

    postgres.resume();
    // Of those that only one tried: what that one sees now, and nothing of what it forgot.
    let both = list((11..=101).filter(|number| *number != 25));
    a.names(&both, 2).await;
    b.names(&both, 2).await;
    a.round().await;
    b.round().await;
    let hand = postgres.by_hand().await;
    let rows = hand.query(
        "SELECT name, count(*), count(services), min(ip)::text, max(ip)::text FROM savanna_seed.sighting
            JOIN savanna_seed.vantage_point ON id = vantage_point GROUP BY name ORDER BY name",
        &[],
    );
    let rows: Vec<(String, i64, i64, String, String)> =
        rows.await.unwrap().iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect();
    let row = |name: &str, all, good, first: &str, last: &str| (name.into(), all, good, first.into(), last.into());
    let a_s = row("a", 90, 90, "20.0.0.11/32", "20.0.0.100/32");
    let b_s = row("b", 81, 80, "20.0.0.21/32", "20.0.0.101/32");
    assert_eq!(rows, [a_s, b_s]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_a_machine_answers_alone_and_others_have_no_voice_for_ever() {
    let Some(postgres) = Postgres::start() else { return };
    let mut brief = config(&postgres.address(), "a");
    brief.stale_after = 5;
    let mut a = Machine::with(brief);
    let b = Machine::new(&postgres.address(), "b");
    let found = point(1..=30, |number| number > 10);
    a.share.offer(found.clone());
    b.share.offer(point(1..=30, |number| number <= 20));
    a.names(&list(11..=20), 2).await;
    postgres.stop();
    // It goes on meeting nodes, and hears no more of the other.
    let is_alone = |union: &Arc<Union>| union.heard == 1 && union.stale == 1 && named(union) == list(11..=30);
    let began = Instant::now();
    while timeout(Duration::from_millis(500), a.union.wait_for(is_alone)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", named(&a.union.borrow()));
        a.share.offer(VantagePoint { at: now(), ..found.clone() });
    }
    // One that never had a database answers too.
    let mut alone = Machine::new("host=/nowhere user=seeder", "alone");
    alone.share.offer(point(1..=3, |_| true));
    alone.names(&[1, 2, 3], 1).await;
    let error = alone.error().await;
    assert!(error.to_string().contains("the database at /nowhere/.s.PGSQL.5432 cannot be reached: No such"), "{error}");
    assert!(!error.needs_a_person());
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_decades_are_no_matter() {
    let Some(postgres) = Postgres::start() else { return };
    let (past, future) = (Clock::rehearse(1_000_000_000, 1), Clock::rehearse(4_000_000_000, 1));
    let machine = |name, clock| Machine::by_clock(config(&postgres.address(), name), clock);
    let (mut a, mut b) = (machine("a", past), machine("b", future));
    let heard = |clock: Clock, ago| UnixTime::from(clock.now().unix).minus(ago);
    a.share.offer(VantagePoint { at: heard(past, 10), ..point(1..=9, |number| number < 7) });
    b.share.offer(VantagePoint { at: heard(future, 10), ..point(1..=9, |number| number > 3) });
    a.names(&[4, 5, 6], 2).await;
    b.names(&[4, 5, 6], 2).await;
    b.share.offer(VantagePoint { at: heard(future, 1_001), ..point(1..=9, |number| number > 3) });
    a.names(&list(1..=6), 1).await;
    b.names(&list(1..=6), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_newer_schema_is_refused_with_a_sentence() {
    let Some(postgres) = Postgres::start() else { return };
    let hand = postgres.by_hand().await;
    let foreign = "not made by this program";
    for (made, told) in [
        ("CREATE SCHEMA savanna_seed", foreign),
        ("CREATE SCHEMA savanna_seed; CREATE TABLE savanna_seed.about (format text)", foreign),
        ("CREATE SCHEMA savanna_seed; CREATE TABLE savanna_seed.about (mark text, format integer)", foreign),
        (
            "CREATE SCHEMA savanna_seed; CREATE TABLE savanna_seed.about (mark text, format integer);
             INSERT INTO savanna_seed.about VALUES ('a zoo', 1)",
            "says that it is something else",
        ),
        (
            "CREATE SCHEMA savanna_seed; CREATE TABLE savanna_seed.about (mark text, format integer);
             INSERT INTO savanna_seed.about VALUES ('savanna: what vantage points see', 9)",
            "has format 9, and this program knows 1 at most: update this program",
        ),
    ] {
        hand.batch_execute(made).await.unwrap();
        let mut machine = Machine::new(&postgres.address(), "a");
        machine.share.offer(point(1..=3, |_| true));
        let error = machine.error().await;
        assert!(error.to_string().contains(told) && error.needs_a_person(), "{made}: {error}");
        machine.names(&[1, 2, 3], 1).await;
        let tables =
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'savanna_seed'::regnamespace AND relkind = 'r'";
        let tables: i64 = hand.query_one(tables, &[]).await.unwrap().get(0);
        assert_eq!(tables, i64::from(made.contains("TABLE")), "nothing was made or removed");
        hand.batch_execute("DROP SCHEMA savanna_seed CASCADE").await.unwrap();
    }
    let mut machine = Machine::new(&postgres.address(), "a");
    machine.share.offer(point(1..=3, |_| true));
    machine.round().await;
    hand.batch_execute("UPDATE savanna_seed.about SET format = 2").await.unwrap();
    let error = machine.error().await;
    assert!(matches!(*error, ShareError::Newer { found: 2, known: 1 }), "also when it becomes so: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_are_bounded_and_what_is_in_them_is_not_believed_blindly() {
    let Some(postgres) = Postgres::start() else { return };
    let hand = postgres.by_hand().await;
    let mut a = Machine::new(&postgres.address(), "a");
    a.share.offer(point(1..=3, |_| true));
    a.round().await;
    // One that has long been silent is forgotten, with all that it saw.
    hand.batch_execute(
        "INSERT INTO savanna_seed.vantage_point (network, name, heard_at, written_at)
            VALUES ('mainnet', 'old', now() - interval '8 days', now() - interval '8 days');
         INSERT INTO savanna_seed.sighting
            SELECT id, '20.0.0.1', 5, true FROM savanna_seed.vantage_point WHERE name = 'old'",
    )
    .await
    .unwrap();
    a.round().await;
    let left = "SELECT (SELECT count(*) FROM savanna_seed.vantage_point), (SELECT count(*) FROM savanna_seed.sighting)";
    let left = hand.query_one(left, &[]).await.unwrap();
    assert_eq!((left.get::<_, i64>(0), left.get::<_, i64>(1)), (1, 3));
    // One that is set up wrongly names its own network, and one writes by a clock that was set back since.
    hand.batch_execute(
        "INSERT INTO savanna_seed.vantage_point (network, name, heard_at)
            VALUES ('mainnet', 'wrong', now()), ('mainnet', 'ahead', now() + interval '1 hour'), ('testnet', 'test', now());
         INSERT INTO savanna_seed.sighting
            SELECT id, ip::inet, 5, true FROM savanna_seed.vantage_point,
                unnest(ARRAY['10.0.0.1', '127.0.0.1', '::1', '0.0.0.0', '20.0.0.7']) AS ip WHERE name = 'wrong';
         INSERT INTO savanna_seed.sighting
            SELECT id, '20.0.0.8', 5, true FROM savanna_seed.vantage_point WHERE name IN ('ahead', 'test')",
    )
    .await
    .unwrap();
    a.names(&[1, 2, 3, 7], 2).await;
    assert_eq!(a.union.borrow().stale, 1);
    a.status(|status| status.unbelievable == 4).await;
    // Seventeen are too many, and whoever was there before stays.
    let most = i32::try_from(MAX_VANTAGE_POINTS).unwrap();
    let fill = "INSERT INTO savanna_seed.vantage_point (network, name)
        SELECT 'mainnet', number::text FROM generate_series(4, $1::integer) AS number";
    hand.execute(fill, &[&most]).await.unwrap();
    let mut late = Machine::new(&postgres.address(), "late");
    assert!(matches!(*late.error().await, ShareError::Full(MAX_VANTAGE_POINTS)));
    drop(a);
    Machine::new(&postgres.address(), "a").status(|status| matches!(status.link, Link::Up)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vantage_point_has_one_writer_and_comes_back_when_it_was_removed() {
    let Some(postgres) = Postgres::start() else { return };
    let hand = postgres.by_hand().await;
    let mut a = Machine::new(&postgres.address(), "a");
    a.share.offer(point(1..=3, |_| true));
    a.round().await;
    let mut other = Machine::new(&postgres.address(), "a");
    let error = other.error().await;
    assert!(error.to_string().contains("another process writes as vantage point \"a\""), "{error}");
    // What was written by the last one is there for the next, which writes only what is new.
    drop(a);
    other.share.offer(point(2..=5, |number| number != 3));
    let status = other.status(|status| status.written > 0).await;
    assert_eq!(status.written, 4, "two new, one that is not good, one gone");
    hand.batch_execute("DELETE FROM savanna_seed.vantage_point").await.unwrap();
    let again = other.status(|after| after.written > 4).await;
    assert_eq!((again.written, again.failures), (8, status.failures + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_restarted_keeps_its_voice_for_as_long_as_it_was_heard() {
    let Some(postgres) = Postgres::start() else { return };
    let mut a = Machine::new(&postgres.address(), "a");
    a.share.offer(VantagePoint { at: UnixTime::NEVER, ..point(1..=3, |_| true) });
    a.round().await;
    let mut b = Machine::new(&postgres.address(), "b");
    b.share.offer(point(4..=6, |_| true));
    b.round().await;
    b.names(&[4, 5, 6], 1).await;
    // It has met its first node, and later begins anew.
    a.share.offer(point(1..=3, |_| true));
    b.names(&list(1..=6), 2).await;
    a.share.offer(VantagePoint { at: UnixTime::NEVER, ..point(1..=2, |_| true) });
    b.names(&[1, 2, 4, 5, 6], 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_it_from_the_database_is_told() {
    let Some(postgres) = Postgres::start() else { return };
    let hand = postgres.by_hand().await;
    hand.batch_execute("CREATE ROLE guest LOGIN").await.unwrap();
    let (socket, port) = (postgres.directory.display(), postgres.port);
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().port();
    for (address, told, needs_a_person) in [
        (
            format!("host=127.0.0.1 port={port} user=seeder password=wrong dbname=postgres"),
            "password authentication",
            true,
        ),
        (format!("host={socket} port={port} user=seeder dbname=nothing"), "database \"nothing\" does not exist", true),
        (format!("host={socket} port={port} user=guest dbname=postgres"), "permission denied for database", true),
        ("host=8.8.8.8 user=seeder".to_owned(), "8.8.8.8:5432 is 8.8.8.8:5432 on the open internet", true),
        (format!("host=127.0.0.1 port={silent} user=seeder"), "did not answer within 5 s", false),
        ("host=127.0.0.1 port=1 user=seeder".to_owned(), "127.0.0.1:1 cannot be reached: Connection refused", false),
    ] {
        let mut machine = Machine::new(&address, "a");
        machine.share.offer(point(1..=3, |_| true));
        machine.names(&[1, 2, 3], 1).await;
        let error = machine.error().await;
        assert!(error.to_string().contains(told), "{address}: {error}");
        assert_eq!(error.needs_a_person(), needs_a_person, "{error}");
    }
    let password = PASSWORD.replace(' ', "%20");
    let url = format!("postgresql://seeder:{password}@localhost:1,localhost:{port}/postgres");
    let mut machine = Machine::new(&url, "a");
    machine.share.offer(point(1..=3, |_| true));
    assert_eq!(machine.round().await.failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_one_is_used_that_takes_writes() {
    let (Some(primary), Some(standby)) = (Postgres::start(), Postgres::start()) else { return };
    standby.stop();
    touch(&Path::new(&standby.data()).join("standby.signal"));
    standby.resume();
    let error = Machine::new(&standby.address(), "a").error().await;
    assert!(matches!(*error, ShareError::Standby), "{error}");
    let (first, second) = (&standby, &primary);
    let (places, ports) = (
        format!("{},{}", first.directory.display(), second.directory.display()),
        format!("{},{}", first.port, second.port),
    );
    let mut machine = Machine::new(&format!("host={places} port={ports} user=seeder dbname=postgres"), "a");
    machine.share.offer(point(1..=3, |_| true));
    assert_eq!(machine.round().await.failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_observations_are_written_and_read_in_seconds() {
    const MANY: u32 = 50_000;
    let Some(postgres) = Postgres::start() else { return };
    let mut a = Machine::new(&postgres.address(), "a");
    let mut b = Machine::new(&postgres.address(), "b");
    a.status(|status| status.rounds > 0).await;
    b.status(|status| status.rounds > 0).await;

    let began = Instant::now();
    a.share.offer(point(1..=MANY, |number| number % 5 != 0));
    a.status(|status| status.written >= u64::from(MANY)).await;
    let all = began.elapsed();
    b.union.wait_for(|union| named(union).len() == 40_000).await.unwrap();
    let both = began.elapsed();

    let began = Instant::now();
    a.share.offer(point(1..=MANY, |number| number % 5 != 0 && number % 100 != 1));
    a.status(|status| status.written >= u64::from(MANY) + 500).await;
    let some = began.elapsed();
    b.union.wait_for(|union| named(union).len() == 39_500).await.unwrap();
    assert_eq!(a.status.borrow().written, u64::from(MANY) + 500, "no more than what changed");
    println!("50,000 written in {all:?}, read and judged elsewhere by {both:?}; then 500 changes in {some:?}");
    assert!(both < Duration::from_secs(30), "{both:?}");
    for machine in [a, b] {
        assert_eq!(machine.status.borrow().failures, 0);
    }
}
