use std::net::Ipv4Addr;

use proptest::prelude::*;
use savanna_book::UnixTime;

use super::*;

fn ip(number: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x1400_0000 + u32::try_from(number).unwrap()).into()
}

fn row(number: usize, good: bool) -> Row {
    Row { ip: ip(number), good: good.then_some(Services(5)), is_reached: good }
}

fn point(rows: impl IntoIterator<Item = Row>) -> VantagePoint {
    let sighting = |row: Row| row.sighting(Network::Mainnet, Scope::Public).unwrap();
    VantagePoint { at: UnixTime(1), sightings: rows.into_iter().map(sighting).collect() }
}

/// Does what the database does with a batch.
fn write(table: &mut Vec<Row>, batch: Batch<'_>) {
    table.retain(|row| !batch.gone.contains(&row.ip) && batch.put.iter().all(|put| put.ip != row.ip));
    table.extend(batch.put);
    table.sort_by_key(|row| row.ip);
}

proptest! {
    #[test]
    fn what_is_written_makes_the_table_what_is_seen(
        held in proptest::collection::btree_map(0_usize..60, any::<bool>(), 0..50),
        seen in proptest::collection::btree_map(0_usize..60, any::<bool>(), 0..50),
    ) {
        let table = |map: std::collections::BTreeMap<usize, bool>| -> Vec<Row> {
            map.into_iter().map(|(number, good)| row(number, good)).collect()
        };
        let (mut held, seen) = (table(held), table(seen));
        let changes = Changes::between(&held, &seen);
        let same = held.iter().filter(|row| seen.contains(row)).count();
        prop_assert_eq!(changes.put.len(), seen.len() - same, "nothing is written twice");
        changes.batches().for_each(|batch| write(&mut held, batch));
        prop_assert_eq!(held, seen);
    }
}

#[test]
fn batches_are_bounded_and_the_last_says_so() {
    let seen: Vec<Row> = (0..25_001).map(|number| row(number, true)).collect();
    let changes = Changes::between(&[], &seen);
    let sizes: Vec<_> = changes.batches().map(|batch| (batch.put.len(), batch.is_last)).collect();
    assert_eq!(sizes, [(10_000, false), (10_000, false), (5_001, true)]);
    let changes = Changes::between(&seen, &seen[..3]);
    let sizes: Vec<_> = changes.batches().map(|batch| (batch.gone.len(), batch.is_last)).collect();
    assert_eq!(sizes, [(10_000, false), (10_000, false), (4_998, true)]);
    let nothing: Vec<_> = Changes::default().batches().map(|batch| (batch.put.len(), batch.is_last)).collect();
    assert_eq!(nothing, [(0, true)]);
}

#[test]
fn good_ones_are_kept_where_there_are_too_many() {
    let all = (0..MAX_SIGHTINGS + 10).map(|number| row(number, number >= 20));
    let rows = rows(&point(all));
    assert_eq!(rows.len(), MAX_SIGHTINGS);
    assert_eq!(rows.iter().filter(|row| row.good.is_some()).count(), MAX_SIGHTINGS - 10);
    assert!(rows.is_sorted_by_key(|row| row.ip));
}

#[test]
fn adversary_16_what_no_vantage_point_could_have_seen_is_not_believed() {
    let at = |text: &str| Row { ip: text.parse().unwrap(), good: None, is_reached: true };
    for ip in ["127.0.0.1", "10.0.0.1", "192.168.0.1", "::1", "fd00::1", "0.0.0.0", "224.0.0.1"] {
        assert_eq!(at(ip).sighting(Network::Mainnet, Scope::Public), None, "{ip}");
    }
    let seen = at("20.0.0.1").sighting(Network::Testnet, Scope::Public).unwrap();
    assert_eq!(seen.address, "20.0.0.1:18233".parse().unwrap());
    assert!(at("127.0.0.1").sighting(Network::Regtest, Scope::Private).is_some());
}
