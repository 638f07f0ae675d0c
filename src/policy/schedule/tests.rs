use jiff::{SignedDuration, civil::DateTime};
use proptest::prelude::*;

use super::*;

const WEEK: [Weekday; 5] =
    [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];

fn window(days: &[Weekday], from: &str, to: &str, zone: &str) -> Window {
    Window::parse(days, from, to, Some(zone)).expect("a window")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

#[test]
fn windows_hold_from_their_beginning_until_just_before_their_end() {
    struct Case {
        name: &'static str,
        window: Window,
        inside: &'static [&'static str],
        outside: &'static [&'static str],
    }
    let cases = [
        Case {
            name: "office hours in Shanghai",
            window: window(&WEEK, "08:30", "19:00", "Asia/Shanghai"),
            inside: &["2026-11-20T00:30:00Z", "2026-11-20T10:59:59.999Z"],
            outside: &["2026-11-20T00:29:59Z", "2026-11-20T11:00:00Z", "2026-11-21T04:00:00Z"],
        },
        Case {
            name: "over midnight, the day is that of from",
            window: window(&[Weekday::Friday], "22:00", "06:00", "UTC"),
            inside: &["2026-11-20T22:00:00Z", "2026-11-21T05:59:59Z"],
            outside: &["2026-11-20T05:00:00Z", "2026-11-21T06:00:00Z", "2026-11-21T23:00:00Z"],
        },
        Case {
            name: "equal times are a whole day",
            window: window(&[Weekday::Saturday], "09:00", "09:00", "UTC"),
            inside: &["2026-11-21T09:00:00Z", "2026-11-22T08:59:59Z"],
            outside: &["2026-11-21T08:59:59Z", "2026-11-22T09:00:00Z"],
        },
        Case {
            name: "Berlin skips 02:30 in spring: the first instant after",
            window: window(&[], "02:30", "04:00", "Europe/Berlin"),
            inside: &["2026-03-29T01:00:00Z", "2026-03-29T01:59:59Z", "2026-03-28T01:30:00Z"],
            outside: &["2026-03-29T00:59:59Z", "2026-03-29T02:00:00Z", "2026-03-28T01:29:59Z"],
        },
        Case {
            name: "Berlin repeats 02:30 in autumn: the first, to the first",
            window: window(&[], "01:00", "02:30", "Europe/Berlin"),
            inside: &["2026-10-24T23:00:00Z", "2026-10-25T00:29:59Z"],
            outside: &["2026-10-25T00:30:00Z", "2026-10-25T01:15:00Z", "2026-10-24T22:59:59Z"],
        },
        Case {
            name: "a window inside skipped time is empty",
            window: window(&[], "02:10", "02:50", "America/New_York"),
            inside: &["2026-03-07T07:10:00Z", "2026-03-09T06:10:00Z"],
            outside: &["2026-03-08T07:10:00Z", "2026-03-08T06:10:00Z", "2026-03-08T07:00:00Z"],
        },
        Case {
            name: "Lord Howe moves by half an hour: 02:00 to 02:30 is skipped",
            window: window(&[], "02:15", "02:45", "Australia/Lord_Howe"),
            inside: &["2026-10-03T15:30:00Z", "2026-10-03T15:44:59Z"],
            outside: &["2026-10-03T15:29:59Z", "2026-10-03T15:45:00Z"],
        },
        Case {
            name: "Apia skipped the whole 30 December 2011, a Friday",
            window: window(&[Weekday::Friday], "09:00", "12:00", "Pacific/Apia"),
            inside: &["2012-01-05T19:00:00Z"],
            outside: &["2011-12-30T09:59:59Z", "2011-12-30T10:00:00Z", "2011-12-30T20:00:00Z"],
        },
    ];
    for Case { name, window, inside, outside } in cases {
        for text in inside {
            assert!(window.contains(at(text)), "{name}: {text} is inside");
        }
        for text in outside {
            assert!(!window.contains(at(text)), "{name}: {text} is outside");
        }
    }
}

#[test]
fn the_next_edge_is_where_it_begins_or_ends() {
    for (name, window, now, want) in [
        (
            "before",
            window(&WEEK, "08:30", "19:00", "UTC"),
            "2026-11-20T03:00:00Z",
            Some("2026-11-20T08:30:00Z"),
        ),
        (
            "inside",
            window(&WEEK, "08:30", "19:00", "UTC"),
            "2026-11-20T08:30:00Z",
            Some("2026-11-20T19:00:00Z"),
        ),
        (
            "weekend",
            window(&WEEK, "08:30", "19:00", "UTC"),
            "2026-11-20T19:00:00Z",
            Some("2026-11-23T08:30:00Z"),
        ),
        ("always", window(&[], "08:30", "08:30", "UTC"), "2026-11-20T19:00:00Z", None),
        ("always in Berlin", window(&[], "02:30", "02:30", "Europe/Berlin"), "2026-03-28T19:00:00Z", None),
        (
            "five days without a hole",
            window(&WEEK, "00:00", "00:00", "UTC"),
            "2026-11-18T03:00:00Z",
            Some("2026-11-21T00:00:00Z"),
        ),
        (
            "a Sunday that daylight saving leaves out",
            window(&[Weekday::Sunday], "02:10", "02:50", "America/New_York"),
            "2026-03-02T00:00:00Z",
            Some("2026-03-15T06:10:00Z"),
        ),
    ] {
        assert_eq!(window.next_edge(at(now)), want.map(at), "{name}");
    }
}

#[test]
fn the_first_match_wins_per_role() {
    let schedule = |name: &str, from: &str, to: &str, roles: &[usize]| Schedule {
        name: name.to_owned(),
        window: window(&[], from, to, "UTC"),
        roles: roles
            .iter()
            .map(|role| ScheduledBounds { role: *role, min: Some(Replicas::new(8)), max: None })
            .collect(),
    };
    let schedules = [schedule("noon", "12:00", "13:00", &[1]), schedule("day", "08:00", "20:00", &[0, 1])];
    for (name, role, now, want, edge) in [
        ("the first holds", 1, "2026-11-20T12:30:00Z", Some(0), Some("2026-11-20T13:00:00Z")),
        ("the first is of another role", 0, "2026-11-20T12:30:00Z", Some(1), Some("2026-11-20T20:00:00Z")),
        ("the first does not hold yet", 1, "2026-11-20T11:00:00Z", Some(1), Some("2026-11-20T12:00:00Z")),
        ("none holds", 1, "2026-11-20T20:00:00Z", None, Some("2026-11-21T08:00:00Z")),
        ("no schedule names the role", 2, "2026-11-20T12:30:00Z", None, None),
    ] {
        let found = Schedule::first_match(&schedules, role, at(now)).map(|(index, _)| index);
        assert_eq!(found, want, "{name}");
        assert_eq!(Schedule::next_edge(&schedules, role, at(now)), edge.map(at), "{name}");
    }
}

#[test]
fn what_cannot_be_understood_is_refused_with_the_fix() {
    for (from, to, zone, field, fix) in [
        ("8:30", "19:00", None, "from", "such as \"08:30\""),
        ("08:30", "24:00", None, "to", "midnight is \"00:00\""),
        ("08:60", "19:00", None, "from", "\"08:60\" is not a wall time"),
        ("08:30", "19:00:00", None, "to", "is not a wall time"),
        ("+8:30", "19:00", None, "from", "is not a wall time"),
        ("08:3é", "19:00", None, "from", "is not a wall time"),
        ("08:30", "19:00", Some("Mars/Olympus"), "timezone", "write an IANA name"),
        ("08:30", "19:00", Some(""), "timezone", "write an IANA name"),
    ] {
        let error = Window::parse(&[], from, to, zone).expect_err("must be refused");
        assert_eq!(error.field, field, "{from} {to} {zone:?}");
        assert!(error.to_string().contains(fix), "{from} {to} {zone:?}: {error}");
    }
    assert!(Window::parse(&[], "00:00", "23:59", Some("utc")).is_ok());
}

/// The rule in its plainest form: walk over every minute, and take the first that shows the wall time or later.
fn first_instant_by_walking(zone: &TimeZone, wall: DateTime) -> Timestamp {
    let guess = TimeZone::UTC.to_timestamp(wall).expect("in range");
    let minute = SignedDuration::from_mins(1);
    let mut instant = guess - SignedDuration::from_hours(15);
    while zone.to_datetime(instant) < wall {
        instant += minute;
    }
    instant
}

const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Shanghai",
    "America/St_Johns",
    "Africa/Casablanca",
    "America/Santiago",
    "UTC",
];
/// Days around which these zones change their clocks, and one on which none does.
const DAYS: [&str; 10] = [
    "2026-03-29",
    "2026-10-25",
    "2026-03-08",
    "2026-11-01",
    "2026-04-05",
    "2026-10-04",
    "2026-02-15",
    "2026-03-22",
    "2026-09-06",
    "2026-06-10",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_wall_time_is_the_first_instant_that_shows_it_or_later(
        zone in prop::sample::select(&ZONES[..]), day in prop::sample::select(&DAYS[..]), minute in 0..1440_i64,
    ) {
        let window = window(&[], "00:00", "00:00", zone);
        let date: Date = day.parse().expect("a date");
        let time = Time::midnight() + SignedDuration::from_mins(minute);
        let found = window.first_instant(date, time).expect("an instant");
        prop_assert_eq!(found, first_instant_by_walking(&window.zone, date.to_datetime(time)));
    }

    #[test]
    fn the_window_changes_at_its_next_edge_and_not_before(
        zone in prop::sample::select(&ZONES[..]), day in prop::sample::select(&DAYS[..]), hour in -30..30_i64,
        from in 0..96_u32, to in 0..96_u32, days in 0..128_u32,
    ) {
        let text = |quarter: u32| format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15);
        let all = [WEEK.as_slice(), &[Weekday::Saturday, Weekday::Sunday]].concat();
        let days: Vec<_> =
            all.iter().enumerate().filter(|(index, _)| days >> index & 1 == 1).map(|(_, day)| *day).collect();
        let window = window(&days, &text(from), &text(to), zone);
        let midnight: Date = day.parse().expect("a date");
        let now = TimeZone::UTC.to_timestamp(midnight.to_datetime(Time::midnight())).expect("in range")
            + SignedDuration::from_hours(hour);
        let edge = window.next_edge(now);
        let until = edge.unwrap_or(now + SignedDuration::from_hours(8 * 24));
        let mut instant = now;
        while instant < until {
            prop_assert_eq!(window.contains(instant), window.contains(now), "at {}", instant);
            instant += SignedDuration::from_mins(15);
        }
        if let Some(edge) = edge {
            prop_assert_ne!(window.contains(edge), window.contains(now));
        }
    }
}
