//! Schedules: their windows, and the bounds that they bring.

use jiff::civil::Weekday;

use super::{
    super::{Day, RoleBasedGroupAutoscalerSpec, ScheduleSpec},
    MAX_ITEMS, Problems,
    role::{count, zero_minimum},
    shown,
};
use crate::policy::{RolePolicy, Schedule, ScheduledBounds, schedule::Window};

pub(super) fn validate(
    problems: &mut Problems,
    spec: &RoleBasedGroupAutoscalerSpec,
    roles: &[RolePolicy],
) -> Vec<Schedule> {
    if spec.schedules.len() > MAX_ITEMS {
        problems.add("spec.schedules", spec.schedules.len(), "schedules", "write at most 16");
    }
    let mut schedules = Vec::with_capacity(spec.schedules.len());
    for (index, wire) in spec.schedules.iter().enumerate() {
        let path = format!("spec.schedules[{index}]");
        problems.name(format!("{path}.name"), &wire.name);
        if spec.schedules.iter().take(index).any(|other| other.name == wire.name) {
            problems.add(
                format!("{path}.name"),
                shown(&wire.name),
                "is there twice",
                "give each its own name",
            );
        }
        let days: Vec<Weekday> = wire.days.iter().map(|day| weekday(*day)).collect();
        let window = Window::parse(&days, &wire.from, &wire.to, wire.timezone.as_deref());
        let bounds = bounds(problems, &path, wire, roles);
        match window {
            Ok(window) => schedules.push(Schedule { name: wire.name.clone(), window, roles: bounds }),
            Err(error) => problems.told(format!("{path}.{}", error.field), error.message),
        }
    }
    schedules
}

fn bounds(
    problems: &mut Problems,
    path: &str,
    wire: &ScheduleSpec,
    roles: &[RolePolicy],
) -> Vec<ScheduledBounds> {
    if wire.roles.is_empty() {
        problems.missing(format!("{path}.roles"), "name at least one role with minReplicas or maxReplicas");
    }
    let mut all = Vec::with_capacity(wire.roles.len());
    for (index, entry) in wire.roles.iter().enumerate() {
        let path = format!("{path}.roles[{index}]");
        let Some((place, role)) = roles.iter().enumerate().find(|(_, role)| role.name == entry.name) else {
            problems.no_role(format!("{path}.name"), &entry.name, roles);
            continue;
        };
        if wire.roles.iter().take(index).any(|other| other.name == entry.name) {
            problems.add(
                format!("{path}.name"),
                shown(&entry.name),
                "is there twice",
                "keep one entry per role",
            );
        }
        if entry.min_replicas.is_none() && entry.max_replicas.is_none() {
            problems.missing(format!("{path}.minReplicas"), "write minReplicas, maxReplicas or both");
        }
        let min =
            entry.min_replicas.map(|min| count(problems, &format!("{path}.minReplicas"), min, 0, role.gang));
        let max =
            entry.max_replicas.map(|max| count(problems, &format!("{path}.maxReplicas"), max, 1, role.gang));
        if let Some(min @ 0) = entry.min_replicas {
            zero_minimum(problems, &format!("{path}.minReplicas"), min, role);
        }
        let (least, most) = (min.unwrap_or(role.bounds.min), max.unwrap_or(role.bounds.max));
        if least > most {
            let (field, value) = if min.is_some() { ("minReplicas", least) } else { ("maxReplicas", most) };
            problems.add(
                format!("{path}.{field}"),
                value,
                format_args!("leaves no count: the bounds are then {least} to {most}"),
                "set both minReplicas and maxReplicas here",
            );
        }
        all.push(ScheduledBounds { role: place, min, max });
    }
    all
}

const fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}
