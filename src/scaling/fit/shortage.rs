//! [`Shortage`]: why a pod found no node, in words: what is short, and which nodes came closest.

use std::collections::BTreeMap;

use super::{
    need::Need,
    room::{PODS, Room, is_device, name},
    site,
};

/// At most this many nodes are named.
const NAMED: usize = 2;
const GIBIBYTE: i64 = 1 << 30;

/// Returns why a pod, one of `number` alike that are placed together, found no node.
///
/// `room` is the room beside those that found a place, `before` what was free without any of them.
pub(super) fn words(before: &[i64], room: &Room<'_>, need: &Need<'_>, number: usize) -> String {
    if room.nodes.is_empty() {
        return "there are no nodes".to_owned();
    }
    if need.nodes.is_empty() {
        return format!("no node takes its pods ({})", bars(room, need));
    }
    let Some((short, resource)) = shortest(room, need) else {
        return "host ports are taken on every node that would do".to_owned();
    };
    let asked = need.requests.get(short).copied().unwrap_or(0);
    let size = room.resources.len();
    let free_before = |at: usize| before.get(at * size..(at + 1) * size);
    let mut nodes: Vec<(usize, i64, usize)> = need
        .nodes
        .iter()
        .filter_map(|at| {
            let free = free_before(*at)?;
            let lacking =
                free.iter().zip(&need.requests).filter(|(free, asked)| **asked > 0 && asked > free).count();
            Some((lacking, asked.saturating_sub(*free.get(short)?), *at))
        })
        .collect();
    nodes.sort_unstable();
    let closest: Vec<_> = nodes
        .iter()
        .take(NAMED)
        .filter_map(|(_, _, at)| {
            let free = free_before(*at)?.get(short).copied()?;
            Some(format!("{} has {}", name(room.nodes.get(*at)?), show(resource, free.max(0))))
        })
        .collect();
    let asked = show(resource, asked);
    let need =
        if number == 1 { format!("a pod needs {asked}") } else { format!("{number} pods need {asked} each") };
    format!("{resource} is short: {need}, {}", closest.join(", "))
}

/// The resource that most nodes lack; of equals a device first, then by name.
fn shortest<'a>(room: &Room<'a>, need: &Need<'_>) -> Option<(usize, &'a str)> {
    let lacking = |resource: usize| {
        let asked = need.requests.get(resource).copied().unwrap_or(0);
        let free = need.nodes.iter().filter_map(|at| room.free(*at).get(resource));
        free.filter(|free| asked > 0 && asked > **free).count()
    };
    let ranked =
        room.resources.iter().enumerate().map(|(at, resource)| (lacking(at), is_device(resource), at));
    let (count, _, at) =
        ranked.max_by_key(|(count, device, at)| (*count, *device, std::cmp::Reverse(*at)))?;
    (count > 0).then(|| Some((at, *room.resources.get(at)?))).flatten()
}

fn bars(room: &Room<'_>, need: &Need<'_>) -> String {
    let mut counts: BTreeMap<site::Bar, usize> = BTreeMap::new();
    for bar in room.nodes.iter().filter_map(|node| site::admits(node, need.spec).err()) {
        *counts.entry(bar).or_default() += 1;
    }
    let parts: Vec<_> = counts.iter().map(|(bar, count)| format!("{count} {}", bar.words())).collect();
    parts.join(", ")
}

/// An amount as people write it.
fn show(resource: &str, milli: i64) -> String {
    let bytes = milli / 1000;
    if matches!(resource, "memory" | "ephemeral-storage") || resource.starts_with("hugepages-") {
        let tenths = bytes.saturating_mul(10) / GIBIBYTE;
        return if tenths % 10 == 0 {
            format!("{}Gi", tenths / 10)
        } else {
            format!("{}.{}Gi", tenths / 10, tenths % 10)
        };
    }
    if resource == PODS {
        return bytes.to_string();
    }
    crate::units::MilliValue::from_milli(milli).to_string()
}
