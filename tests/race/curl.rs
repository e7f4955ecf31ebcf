//! curl's table of races that all fail (`tests/unit/unit2600.c`, curl 8.22.0-DEV). Each row says how many addresses of
//! each family are attempted, how long the race takes, and how many attempts are pending at once.
//!
//! Two things differ. curl measures with a real clock and allows windows; the clock of these tests is paused, so each
//! end is exact. Rows 9 and 10 of curl have 50 ms and 20 ms between starts; a race has at least 100 ms, so the times of
//! these rows are twice and five times as long.

use std::net::IpAddr;
use std::time::Duration;

use sidestep::{ConnectError, Family};

use crate::stage::{Stage, refuses, v4, v6};

/// One row of the table.
struct Row {
    id: u8,
    /// The addresses in the order of the answer.
    answer: &'static [At],
    /// The family that curl resolves. A filter refuses the other family here.
    only: Option<Family>,
    delay: u64,
    /// The milliseconds after which each attempt is refused.
    fails_after: u64,
    v4: usize,
    v6: usize,
    ends_at: u64,
    most: usize,
}

#[derive(Clone, Copy)]
enum At {
    V4(u8),
    V6(u16),
}

use At::{V4, V6};

const TABLE: [Row; 10] = [
    row(1, &[V4(2)], None, (150, 250), (1, 0), 250, 1),
    row(2, &[V4(2), V4(3)], None, (150, 250), (2, 0), 400, 2),
    row(3, &[V6(1)], None, (150, 250), (0, 1), 250, 1),
    row(4, &[V6(1), V6(2)], None, (150, 250), (0, 2), 400, 2),
    // IPv6 leads in any order of the answer, and IPv4 follows after the delay.
    row(5, &[V4(2), V6(1)], None, (150, 250), (1, 1), 400, 2),
    row(6, &[V6(1), V4(2)], None, (150, 250), (1, 1), 400, 2),
    // An address of the refused family takes no time from the other family.
    row(
        7,
        &[V4(2), V6(1)],
        Some(Family::V4),
        (150, 500),
        (1, 0),
        500,
        1,
    ),
    row(
        8,
        &[V6(1), V4(2)],
        Some(Family::V6),
        (150, 500),
        (0, 1),
        500,
        1,
    ),
    row(
        9,
        &[V6(1), V4(2), V6(2), V6(3)],
        None,
        (100, 800),
        (1, 3),
        1_100,
        4,
    ),
    // Nine attempts are pending after 800 ms. curl drops the oldest of six for the next; here each attempt has its full
    // time.
    row(
        10,
        &[
            V6(1),
            V4(2),
            V6(2),
            V6(3),
            V6(4),
            V6(5),
            V6(6),
            V6(7),
            V6(8),
        ],
        None,
        (100, 2_500),
        (1, 8),
        3_300,
        9,
    ),
];

const fn row(
    id: u8,
    answer: &'static [At],
    only: Option<Family>,
    (delay, fails_after): (u64, u64),
    (v4, v6): (usize, usize),
    ends_at: u64,
    most: usize,
) -> Row {
    Row {
        id,
        answer,
        only,
        delay,
        fails_after,
        v4,
        v6,
        ends_at,
        most,
    }
}

impl At {
    fn ip(self) -> IpAddr {
        match self {
            V4(last) => v4(last),
            V6(last) => v6(last),
        }
    }
}

async fn check(row: &Row) {
    let Row { id, only, .. } = *row;
    let fate = |at: &At| (at.ip(), refuses(row.fails_after));
    let cast: Vec<_> = row.answer.iter().map(fate).collect();
    let stage = Stage::of(&cast, |builder| {
        let builder = builder.prefer_family(Family::V6);
        match only {
            Some(Family::V4) => builder.filter(|_, addr| addr.is_ipv4()),
            Some(Family::V6) => builder.filter(|_, addr| addr.is_ipv6()),
            None => builder,
        }
    });
    let stage = stage.racing(|race| race.attempt_delay(Duration::from_millis(row.delay)));
    let (error, ended) = stage.failed().await;
    let (six, four): (Vec<_>, Vec<_>) = stage
        .starts()
        .into_iter()
        .partition(|(addr, _)| addr.is_ipv6());
    let seen = (four.len(), six.len(), ended, stage.most());
    assert_eq!(seen, (row.v4, row.v6, row.ends_at, row.most), "row {id}");
    if let (Some((_, first_six)), Some((_, first_four))) = (six.first(), four.first()) {
        assert_eq!((*first_six, *first_four), (0, row.delay), "row {id}");
    }
    let connect = ConnectError::find(&*error).expect("the error is a `ConnectError`");
    assert_eq!(connect.attempts().len(), row.v4 + row.v6, "row {id}");
}

/// curl tests the same in `unit2600`.
#[tokio::test(start_paused = true)]
async fn each_row_of_curls_table_holds() {
    for row in &TABLE {
        check(row).await;
    }
}
