//! Ratios: texts, roles, and whether gangs inside the bounds can satisfy them.

use super::{
    super::{RatioSpec, RoleBasedGroupAutoscalerSpec},
    MAX_ITEMS, Problems, shown,
};
use crate::policy::{Ratio, RatioBound, RolePolicy};

/// The most counts that are tried before a ratio is taken as satisfiable.
const MAX_TRIES: u64 = 100_000;

pub(super) fn validate(
    problems: &mut Problems,
    spec: &RoleBasedGroupAutoscalerSpec,
    roles: &[RolePolicy],
) -> Vec<Ratio> {
    if spec.ratios.len() > MAX_ITEMS {
        problems.add("spec.ratios", spec.ratios.len(), "ratios", "write at most 16");
    }
    let mut ratios = Vec::with_capacity(spec.ratios.len());
    for (index, wire) in spec.ratios.iter().enumerate() {
        ratios.extend(one(problems, &format!("spec.ratios[{index}]"), wire, roles));
    }
    ratios
}

fn one(problems: &mut Problems, path: &str, wire: &RatioSpec, roles: &[RolePolicy]) -> Option<Ratio> {
    let min = wire.min.as_deref().map(|text| bound(problems, format!("{path}.min"), text));
    let max = wire.max.as_deref().map(|text| bound(problems, format!("{path}.max"), text));
    if min.is_none() && max.is_none() {
        problems.missing(format!("{path}.min"), "write min, max or both, such as \"1:4\"");
    }
    let [first, second] = wire.roles.as_slice() else {
        problems.add(
            format!("{path}.roles"),
            format_args!("{} roles", wire.roles.len()),
            "make no ratio",
            "name two roles, such as [prefill, decode]",
        );
        return None;
    };
    if first == second {
        problems.add(
            format!("{path}.roles"),
            format_args!("{} twice", shown(first)),
            "makes no ratio",
            "name two roles",
        );
        return None;
    }
    let mut place = |name: &String, at: usize| {
        let place = roles.iter().position(|role| role.name == *name);
        if place.is_none() {
            problems.no_role(format!("{path}.roles[{at}]"), name, roles);
        }
        place
    };
    let (first, second) = (place(first, 0), place(second, 1));
    let ratio = Ratio { first: first?, second: second?, min: min.flatten(), max: max.flatten() };
    if min.is_some_and(|read| read.is_none()) || max.is_some_and(|read| read.is_none()) {
        return None;
    }
    judge(problems, path, ratio, roles);
    Some(ratio)
}

/// Reads `a:b`, both 1 to 9999 without leading zeros.
fn bound(problems: &mut Problems, path: String, text: &str) -> Option<RatioBound> {
    let part = |text: &str| {
        let digits = text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        if digits { text.parse().ok() } else { None }
    };
    let read = text
        .split_once(':')
        .and_then(|(first, second)| Some(RatioBound { first: part(first)?, second: part(second)? }));
    if read.is_none() {
        problems.add(
            path,
            shown(text),
            "is not a ratio",
            "write two numbers from 1 to 9999, such as \"1:4\"",
        );
    }
    read
}

fn judge(problems: &mut Problems, path: &str, ratio: Ratio, roles: &[RolePolicy]) {
    let (Some(first), Some(second)) = (roles.get(ratio.first), roles.get(ratio.second)) else { return };
    if let (Some(min), Some(max)) = (ratio.min, ratio.max)
        && u64::from(min.first) * u64::from(max.second) > u64::from(max.first) * u64::from(min.second)
    {
        problems.add(
            format!("{path}.min"),
            shown(&min.to_string()),
            format_args!("is above max {}", shown(&max.to_string())),
            "swap them, or write one that is not larger",
        );
        return;
    }
    match (&first.scale_to_zero, &second.scale_to_zero) {
        (Some(_), None) | (None, Some(_)) => {
            let (sleeps, stays) =
                if first.scale_to_zero.is_some() { (first, second) } else { (second, first) };
            problems.add(
                format!("{path}.roles"),
                format_args!("{} sleeps at zero but {}", sleeps.name, stays.name),
                "does not, which breaks the ratio",
                "give scaleToZero to both or to none",
            );
        }
        _ => {}
    }
    if !satisfiable(ratio, first, second) {
        let counts = |role: &RolePolicy| {
            format!("{} {} to {} in steps of {}", role.name, role.bounds.min, role.bounds.max, role.gang)
        };
        problems.add(
            path,
            format_args!("{} and {}", counts(first), counts(second)),
            "never satisfy the ratio",
            "widen the bounds, change the gangs, or relax min or max",
        );
    }
}

/// Whether some counts of whole gangs inside the bounds satisfy the ratio.
///
/// Both roles at zero satisfy it. Tries the counts of the role with fewer of them; gives up trying (and believes it)
/// after [`MAX_TRIES`].
fn satisfiable(ratio: Ratio, first: &RolePolicy, second: &RolePolicy) -> bool {
    let steps =
        |role: &RolePolicy| u64::from((role.bounds.max.get() - role.bounds.min.get()) / role.gang.get());
    if first.bounds.min.get() == 0 && second.bounds.min.get() == 0 {
        return true;
    }
    // Seen from the second role, first : second ≥ a:b is first ≥ second × a ÷ b.
    let (fixed, other, low, high) = if steps(second) <= steps(first) {
        let of = |bound: RatioBound| (u64::from(bound.first), u64::from(bound.second));
        (second, first, ratio.min.map(of), ratio.max.map(of))
    } else {
        let of = |bound: RatioBound| (u64::from(bound.second), u64::from(bound.first));
        (first, second, ratio.max.map(of), ratio.min.map(of))
    };
    let gang = u64::from(other.gang.get());
    let mut count = u64::from(fixed.bounds.min.get());
    for _ in 0..MAX_TRIES {
        if count > u64::from(fixed.bounds.max.get()) {
            return false;
        }
        let least = low.map_or(0, |(times, per)| (count * times).div_ceil(per));
        let least = least.max(u64::from(other.bounds.min.get())).div_ceil(gang) * gang;
        let most = high.map_or(u64::MAX, |(times, per)| count * times / per);
        if least <= most.min(u64::from(other.bounds.max.get())) {
            return true;
        }
        count += u64::from(fixed.gang.get());
    }
    true
}
