//! A connection to the database, and what is asked of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio::time::timeout;
use tokio_postgres::{Client, Row as Record, Statement};

use savanna_book::UnixTime;
use savanna_wire::Services;

use super::dial::{Line, dial};
use super::rows::{Batch, Row};
use super::{MAX_SIGHTINGS, MAX_VANTAGE_POINTS, ShareConfig, ShareError, schema};
use crate::{Sighting, VantagePoint};

/// How long one answer may take, in seconds.
const ANSWER_WITHIN: u64 = 30;

/// How long a vantage point that writes nothing is kept, in days.
const KEPT_FOR: i32 = 7;

/// By how much the database's clock may be set back until what was written before is no longer believed, in seconds.
const CLOCK_SLACK: f64 = 60.0;

/// So that whatever is left of a connection that broke, here or there, ends soon, and no search path misleads.
const SETTINGS: &str = "
    SET client_min_messages = warning;
    SET search_path = pg_catalog;
    SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '60s';
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3";

const HOLD_NAME: &str =
    "SELECT pg_try_advisory_lock(hashtextextended('savanna_seed ' || $1::text || ' ' || $2::text, 0))";

const FORGET: &str = "DELETE FROM savanna_seed.vantage_point
    WHERE network = $1 AND name <> $2 AND written_at < now() - make_interval(days => $3)";

const REGISTER: &str = "INSERT INTO savanna_seed.vantage_point (network, name)
    SELECT $1, $2 WHERE (SELECT count(*) FROM savanna_seed.vantage_point WHERE network = $1 AND name <> $2) < $3
    ON CONFLICT (network, name) DO UPDATE SET written_at = now() RETURNING id";

const WRITE: &str = "
    WITH told AS (
        UPDATE savanna_seed.vantage_point
        SET revision = revision + 1, written_at = now(), heard_at = coalesce(now() - make_interval(secs => $2), heard_at)
        WHERE id = $1 RETURNING id
    ), gone AS (
        DELETE FROM savanna_seed.sighting WHERE vantage_point = $1 AND ip = ANY ($3)
    ), put AS (
        INSERT INTO savanna_seed.sighting (vantage_point, ip, services, is_reached)
        SELECT $1, * FROM unnest($4::inet[], $5::bigint[], $6::boolean[])
        ON CONFLICT (vantage_point, ip) DO UPDATE SET services = EXCLUDED.services, is_reached = EXCLUDED.is_reached
    )
    SELECT count(*) FROM told";

const OTHERS: &str = "
    SELECT about.format, other.id, other.revision, other.age
    FROM savanna_seed.about LEFT JOIN (
        SELECT id, revision, extract(epoch FROM now() - heard_at)::float8 AS age FROM savanna_seed.vantage_point
        WHERE network = $1 AND id <> $2 AND heard_at IS NOT NULL ORDER BY heard_at DESC LIMIT $3
    ) AS other ON true";

const READ: &str =
    "SELECT ip, services, is_reached FROM savanna_seed.sighting WHERE vantage_point = $1 ORDER BY ip LIMIT $2";

/// A vantage point's place in the database.
#[derive(Debug)]
pub(super) struct Database {
    line: Line,
    id: i32,
    write: Statement,
    forget: Statement,
    others: Statement,
    read: Statement,
    /// What was read of others last, and at which revision.
    known: BTreeMap<i32, (i64, Arc<[Sighting]>)>,
}

/// What others see, and how many rows were read for it.
#[derive(Debug, Default)]
pub(super) struct Others {
    pub(super) points: Vec<VantagePoint>,
    pub(super) read: u64,
    /// Rows that no vantage point of this network could have written.
    pub(super) unbelievable: u64,
}

impl Database {
    /// Connects, makes the tables if they are missing, and takes this vantage point's place.
    pub(super) async fn open(config: &ShareConfig) -> Result<Self, ShareError> {
        let line = dial(&config.database).await?;
        within(async { Ok(line.client.batch_execute(SETTINGS).await?) }).await?;
        within(schema::prepare(&line.client)).await?;
        let id = within(register(&line.client, config)).await?;
        let client = &line.client;
        let prepared = within(async {
            let (write, forget) = (client.prepare(WRITE).await?, client.prepare(FORGET).await?);
            Ok((write, forget, client.prepare(OTHERS).await?, client.prepare(READ).await?))
        });
        let (write, forget, others, read) = prepared.await?;
        Ok(Self { line, id, write, forget, others, read, known: BTreeMap::new() })
    }

    /// Reads what the database holds of this vantage point, by address.
    pub(super) async fn own(&self) -> Result<Vec<Row>, ShareError> {
        let mut rows = within(self.rows(self.id)).await?;
        // So many were not written by this program.
        if rows.len() >= MAX_SIGHTINGS {
            let client = &self.line.client;
            let wipe = "DELETE FROM savanna_seed.sighting WHERE vantage_point = $1";
            within(async { Ok(client.execute(wipe, &[&self.id]).await?) }).await?;
            rows.clear();
        }
        rows.sort_by_key(|row| row.ip);
        Ok(rows)
    }

    /// Writes a batch, in one round trip, all of it or nothing. With the last one comes how many seconds ago a node was heard.
    pub(super) async fn write(&self, batch: Batch<'_>, heard_ago: Option<u32>) -> Result<(), ShareError> {
        let ago = heard_ago.filter(|_| batch.is_last).map(f64::from);
        let ips: Vec<IpAddr> = batch.put.iter().map(|row| row.ip).collect();
        let services: Vec<Option<i64>> =
            batch.put.iter().map(|row| row.good.map(|services| services.0.cast_signed())).collect();
        let reached: Vec<bool> = batch.put.iter().map(|row| row.is_reached).collect();
        let client = &self.line.client;
        let told = within(async {
            let told = client.query_one(&self.write, &[&self.id, &ago, &batch.gone, &ips, &services, &reached]).await?;
            Ok(told.try_get::<_, i64>(0)?)
        });
        if told.await? == 0 { Err(ShareError::Removed) } else { Ok(()) }
    }

    /// Reads what others see, as far as it changed since it was last read. Those that were silent for too long have no more
    /// than their time.
    ///
    /// How long ago they heard a node is by the database's clock alone; it becomes a moment of this run when it is read.
    pub(super) async fn others(&mut self, config: &ShareConfig, now: UnixTime) -> Result<Others, ShareError> {
        let client = &self.line.client;
        let (network, most) = (config.network.to_string(), MAX_VANTAGE_POINTS.saturating_sub(1));
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let forgotten = async { Ok(client.execute(&self.forget, &[&network, &config.name, &KEPT_FOR]).await?) };
        within(forgotten).await?;
        let listed = within(async { Ok(client.query(&self.others, &[&network, &self.id, &most]).await?) }).await?;
        schema::check(listed.first().map(|record| record.try_get(0)).transpose()?)?;
        let mut before = std::mem::take(&mut self.known);
        let mut others = Others::default();
        for record in &listed {
            let Some(Listed { id, revision, age }) = Listed::of(record)? else { continue };
            if age > config.stale_after {
                others.points.push(VantagePoint { at: now.minus(age), sightings: Arc::default() });
                continue;
            }
            let sightings = match before.remove(&id) {
                Some((known, sightings)) if known == revision => sightings,
                Some(_) | None => {
                    let rows = within(self.rows(id)).await?;
                    let all = rows.len();
                    let sightings: Arc<[_]> =
                        rows.into_iter().filter_map(|row| row.sighting(config.network, config.scope)).collect();
                    others.read += all as u64;
                    others.unbelievable += (all - sightings.len()) as u64;
                    sightings
                }
            };
            others.points.push(VantagePoint { at: now.minus(age), sightings: sightings.clone() });
            self.known.insert(id, (revision, sightings));
        }
        Ok(others)
    }

    async fn rows(&self, id: i32) -> Result<Vec<Row>, ShareError> {
        let most = i64::try_from(MAX_SIGHTINGS).unwrap_or(i64::MAX);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&id, &most];
        let mut stream = pin!(self.line.client.query_raw(&self.read, parameters).await?);
        let mut rows = Vec::new();
        while let Some(record) = stream.try_next().await? {
            let good = record.try_get::<_, Option<i64>>(1)?.map(|services| Services(services.cast_unsigned()));
            rows.push(Row { ip: record.try_get(0)?, good, is_reached: record.try_get(2)? });
        }
        Ok(rows)
    }
}

/// A vantage point in the list.
struct Listed {
    id: i32,
    revision: i64,
    age: u32,
}

impl Listed {
    fn of(record: &Record) -> Result<Option<Self>, ShareError> {
        let Some(id) = record.try_get(1)? else { return Ok(None) };
        let age: f64 = record.try_get(3)?;
        // The clock was set back: one that lives writes again soon, and says when it heard by the clock as it is.
        let age = if age < -CLOCK_SLACK { f64::from(u32::MAX) } else { age };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "such casts saturate")]
        let age = age as u32;
        Ok(Some(Self { id, revision: record.try_get(2)?, age }))
    }
}

async fn register(client: &Client, config: &ShareConfig) -> Result<i32, ShareError> {
    let (network, name) = (config.network.to_string(), &config.name);
    if !client.query_one(HOLD_NAME, &[&network, name]).await?.try_get::<_, bool>(0)? {
        return Err(ShareError::NameTaken(name.clone()));
    }
    client.execute(FORGET, &[&network, name, &KEPT_FOR]).await?;
    let most = i64::try_from(MAX_VANTAGE_POINTS).unwrap_or(i64::MAX);
    let Some(record) = client.query_opt(REGISTER, &[&network, name, &most]).await? else {
        return Err(ShareError::Full(MAX_VANTAGE_POINTS));
    };
    Ok(record.try_get(0)?)
}

async fn within<T>(answer: impl Future<Output = Result<T, ShareError>>) -> Result<T, ShareError> {
    timeout(Duration::from_secs(ANSWER_WITHIN), answer).await.unwrap_or(Err(ShareError::TimedOut(ANSWER_WITHIN)))
}
