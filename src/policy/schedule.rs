//! [`Schedule`]: other bounds at certain times of the week, in a time zone.
//!
//! Rules that the text of the policy leaves open are settled here:
//!
//! - The day is that of `from`. `to` at or before `from` ends on the next day; equal is a whole day, from wall time to
//!   the same wall time, so that "every day" leaves no hole when a day has 23 or 25 hours.
//! - A wall time is the first instant at which the clock on the wall shows it or anything later. So one that daylight
//!   saving skips is the first instant after, a repeated one is the first of the two, and a window that lies
//!   wholly inside skipped time is empty on that day.
//! - A window holds from its beginning (included) to its end (excluded).
//! - Zones come from the database that is compiled in, never from files of the machine: the same document decides the
//!   same everywhere.
//!
//! Knows nothing of what the bounds are used for.

use jiff::{
    Span, Timestamp,
    civil::{Date, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use crate::units::Replicas;

/// Other bounds at certain times of the week.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The schedule's name.
    pub name: String,
    /// When it holds.
    pub window: Window,
    /// The bounds that hold meanwhile.
    pub roles: Vec<ScheduledBounds>,
}

/// Bounds of one role while a schedule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledBounds {
    /// The role, by its place in the policy.
    pub role: usize,
    /// The least replicas; `None` keeps the policy's.
    pub min: Option<Replicas>,
    /// The most replicas; `None` keeps the policy's.
    pub max: Option<Replicas>,
}

impl Schedule {
    /// Returns the first schedule that holds for the role at that time, and its bounds.
    ///
    /// `role` is the role's place in the policy; the result names the schedule by its place in `schedules`.
    pub fn first_match(schedules: &[Self], role: usize, now: Timestamp) -> Option<(usize, ScheduledBounds)> {
        schedules.iter().enumerate().find_map(|(index, schedule)| {
            let bounds = schedule.roles.iter().find(|bounds| bounds.role == role)?;
            schedule.window.contains(now).then_some((index, *bounds))
        })
    }

    /// Returns the next time after `now` at which a schedule of the role begins or ends.
    pub fn next_edge(schedules: &[Self], role: usize, now: Timestamp) -> Option<Timestamp> {
        schedules
            .iter()
            .filter(|schedule| schedule.roles.iter().any(|bounds| bounds.role == role))
            .filter_map(|schedule| schedule.window.next_edge(now))
            .min()
    }
}

/// A span of the week in a time zone.
#[derive(Clone, Debug)]
pub struct Window {
    /// By days since Monday.
    days: [bool; 7],
    from: Time,
    to: Time,
    zone: TimeZone,
}

/// Why a window cannot be understood; says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct WindowError {
    /// `from`, `to` or `timezone`.
    pub field: &'static str,
    /// What is wrong with it, and the fix.
    pub message: String,
}

/// Windows that begin this many days before the wall date of `now` may still hold: one that ends on the next day, and
/// one more day since a clock that is set back over midnight repeats a date.
const DAYS_BACK: i64 = 2;
/// How far ahead the next edge is sought: two weeks, since daylight saving can skip a weekly window once.
const DAYS_AHEAD: i64 = 15;

impl Window {
    /// Returns the window of these days (every day when empty), wall times such as `08:30` and IANA zone (UTC when
    /// absent).
    pub fn parse(
        days: &[Weekday],
        from: &str,
        to: &str,
        timezone: Option<&str>,
    ) -> Result<Self, WindowError> {
        let mut chosen = [days.is_empty(); 7];
        for day in days {
            if let Some(slot) = chosen.get_mut(day_index(*day)) {
                *slot = true;
            }
        }
        Ok(Self {
            days: chosen,
            from: wall_time("from", from)?,
            to: wall_time("to", to)?,
            zone: timezone.map_or(Ok(TimeZone::UTC), zone)?,
        })
    }

    /// Returns whether the window holds at that time.
    pub fn contains(&self, now: Timestamp) -> bool {
        let today = self.zone.to_datetime(now).date();
        (-DAYS_BACK..=1).filter_map(|days| self.on(today, days)).any(|(start, end)| start <= now && now < end)
    }

    /// Returns the next time after `now` at which it begins or ends; none for a window without gaps.
    pub fn next_edge(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(now).date();
        let mut spans: Vec<_> = (-DAYS_BACK..=DAYS_AHEAD).filter_map(|days| self.on(today, days)).collect();
        spans.sort_unstable();
        let mut open_until: Option<Timestamp> = None;
        for (start, end) in spans {
            match open_until {
                Some(until) if start <= until => open_until = Some(until.max(end)),
                Some(until) if until > now => return Some(until),
                _ if start > now => return Some(start),
                _ => open_until = Some(end),
            }
        }
        // What is still open at the far end of the search is open for good, unless it ends well before that.
        open_until.filter(|until| *until > now && self.days.contains(&false))
    }

    /// The window of the day that lies `days` after `today`: not of a day without one, and not an empty one.
    fn on(&self, today: Date, days: i64) -> Option<(Timestamp, Timestamp)> {
        let date = today.checked_add(Span::new().days(days)).ok()?;
        if !*self.days.get(day_index(date.weekday()))? {
            return None;
        }
        let end_date = if self.to <= self.from { date.tomorrow().ok()? } else { date };
        let (start, end) = (self.first_instant(date, self.from)?, self.first_instant(end_date, self.to)?);
        (start < end).then_some((start, end))
    }

    /// The first instant at which the wall shows that time or a later one.
    fn first_instant(&self, date: Date, time: Time) -> Option<Timestamp> {
        let wall = date.to_datetime(time);
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the offset that comes later, a skipped time lies just before the jump.
                let before_jump = after.to_timestamp(wall).ok()?;
                self.zone
                    .following(before_jump)
                    .map(|transition| transition.timestamp())
                    .find(|instant| self.zone.to_datetime(*instant) >= wall)
            }
        }
    }
}

fn day_index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or(0)
}

fn wall_time(field: &'static str, text: &str) -> Result<Time, WindowError> {
    let digit = |index: usize| {
        let byte = text.as_bytes().get(index)?;
        byte.is_ascii_digit().then(|| i8::try_from(byte - b'0').ok()).flatten()
    };
    let parse = || {
        if text.len() != 5 || text.as_bytes().get(2) != Some(&b':') {
            return None;
        }
        Time::new(digit(0)? * 10 + digit(1)?, digit(3)? * 10 + digit(4)?, 0, 0).ok()
    };
    parse().ok_or_else(|| {
        let fix = if text == "24:00" { "; midnight is \"00:00\"" } else { "" };
        let text: String = text.chars().take(64).collect();
        let message = format!(
            "{text:?} is not a wall time; write hours and minutes from \"00:00\" to \"23:59\", such as \"08:30\"{fix}"
        );
        WindowError { field, message }
    })
}

fn zone(name: &str) -> Result<TimeZone, WindowError> {
    if name.eq_ignore_ascii_case("UTC") {
        return Ok(TimeZone::UTC);
    }
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        let name: String = name.chars().take(64).collect();
        WindowError {
            field: "timezone",
            message: format!(
                "{name:?} is not a time zone; write an IANA name, such as \"Asia/Shanghai\", \"Europe/Berlin\" or \"UTC\""
            ),
        }
    })
}

#[cfg(test)]
mod tests;
