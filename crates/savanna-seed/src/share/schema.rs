//! The tables, and how those of an older program become those of this one.

use tokio_postgres::Client;

use super::ShareError;

/// What the tables say of themselves.
const MARK: &str = "savanna: what vantage points see";

/// What makes each format of the one before; the first of nothing. What has been released is never changed.
const STEPS: [&str; 1] = ["
    CREATE SCHEMA savanna_seed;
    CREATE TABLE savanna_seed.about (
        mark text NOT NULL,
        format integer NOT NULL,
        is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one)
    );
    INSERT INTO savanna_seed.about (mark, format) VALUES ('savanna: what vantage points see', 0);
    CREATE TABLE savanna_seed.vantage_point (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        network text NOT NULL CHECK (length(network) <= 16),
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
        revision bigint NOT NULL DEFAULT 0,
        heard_at timestamptz,
        written_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (network, name)
    );
    CREATE TABLE savanna_seed.sighting (
        vantage_point integer NOT NULL REFERENCES savanna_seed.vantage_point ON DELETE CASCADE,
        ip inet NOT NULL CHECK (masklen(ip) = CASE family(ip) WHEN 4 THEN 32 ELSE 128 END),
        services bigint,
        is_reached boolean NOT NULL,
        PRIMARY KEY (vantage_point, ip)
    ) WITH (fillfactor = 70);
    COMMENT ON COLUMN savanna_seed.vantage_point.heard_at IS
        'when a node last answered there, by the clock of this database; absent until a whole state was written';
    COMMENT ON COLUMN savanna_seed.sighting.services IS 'what the node offers, if it may be named from there';
"];

/// What a database has.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    Ours(i32),
    Foreign(String),
}

/// Makes the tables what this program needs, if they are not.
///
/// Several that start at the same time wait for one another.
pub(super) async fn prepare(client: &Client) -> Result<(), ShareError> {
    if pending(&look(client).await?, &STEPS)?.is_none() {
        return Ok(());
    }
    // Waited for outside of the transaction, which would not see schemas that others made after it began.
    client.execute("SELECT pg_advisory_lock(hashtext('savanna_seed schema'))", &[]).await?;
    client.batch_execute("BEGIN").await?;
    if let Some(steps) = pending(&look(client).await?, &STEPS)? {
        client.batch_execute(&steps).await?;
    }
    client.batch_execute("COMMIT").await?;
    client.execute("SELECT pg_advisory_unlock(hashtext('savanna_seed schema'))", &[]).await?;
    Ok(())
}

/// Judges a format that was read.
pub(super) fn check(format: Option<i32>) -> Result<(), ShareError> {
    let found = format.map_or_else(|| Found::Foreign("its table about is empty".to_owned()), Found::Ours);
    match pending(&found, &STEPS)? {
        None => Ok(()),
        Some(_) => Err(ShareError::Foreign("its format went back".to_owned())),
    }
}

async fn look(client: &Client) -> Result<Found, ShareError> {
    let row = client.query_one("SELECT to_regnamespace('savanna_seed') IS NOT NULL", &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(Found::Nothing);
    }
    // Whatever the table is, these columns are looked for in the catalogue first: a query for one that is not there fails.
    let columns = "
        SELECT count(*) FROM pg_attribute
        WHERE attrelid = to_regclass('savanna_seed.about') AND attnum > 0
            AND (attname, atttypid) IN (('mark', 'text'::regtype), ('format', 'integer'::regtype))";
    if client.query_one(columns, &[]).await?.try_get::<_, i64>(0)? != 2 {
        return Ok(Found::Foreign("it has no table about that says what it is".to_owned()));
    }
    let rows = client.query("SELECT mark, format FROM savanna_seed.about LIMIT 2", &[]).await?;
    match rows.as_slice() {
        [row] if row.try_get::<_, &str>(0)? == MARK => Ok(Found::Ours(row.try_get(1)?)),
        [_] => Ok(Found::Foreign("its table about says that it is something else".to_owned())),
        _ => Ok(Found::Foreign("its table about does not say one thing".to_owned())),
    }
}

/// Returns the statements that are missing; nothing if none is.
fn pending(found: &Found, steps: &[&str]) -> Result<Option<String>, ShareError> {
    let known = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    let done = match found {
        Found::Nothing => 0,
        Found::Ours(format) if (1..=known).contains(format) => *format,
        Found::Ours(found) if *found > known => return Err(ShareError::Newer { found: *found, known }),
        Found::Ours(found) => return Err(ShareError::Foreign(format!("it has format {found}"))),
        Found::Foreign(what) => return Err(ShareError::Foreign(what.clone())),
    };
    let missing = steps.iter().skip(usize::try_from(done).unwrap_or_default());
    let missing: String = missing.flat_map(|step| [*step, ";\n"]).collect();
    Ok((done < known).then(|| format!("{missing}UPDATE savanna_seed.about SET format = {known}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_forward_only() {
        let missing = |found| pending(&found, &["first", "second", "third"]);
        let all = "first;\nsecond;\nthird;\nUPDATE savanna_seed.about SET format = 3";
        assert_eq!(missing(Found::Nothing).unwrap().as_deref(), Some(all));
        let rest = "third;\nUPDATE savanna_seed.about SET format = 3";
        assert_eq!(missing(Found::Ours(2)).unwrap().as_deref(), Some(rest));
        assert_eq!(missing(Found::Ours(3)).unwrap(), None);
        assert!(matches!(missing(Found::Ours(4)), Err(ShareError::Newer { found: 4, known: 3 })));
        for found in [Found::Ours(0), Found::Ours(-1), Found::Foreign("other".to_owned())] {
            assert!(matches!(missing(found), Err(ShareError::Foreign(_))));
        }
    }

    #[test]
    fn the_first_step_says_what_it_makes() {
        assert!(STEPS[0].contains(&format!("'{MARK}'")));
    }
}
