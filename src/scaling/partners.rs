//! Which roles are tied together by ratios, directly or through others.

use super::draft::GroupDraft;

/// Returns the sets of roles that ratios tie together, among those that `takes_part` names; each role is in one set.
///
/// Sets and the roles in them are in the order of the policy.
pub(crate) fn partners(group: &GroupDraft<'_>, takes_part: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let mut set_of: Vec<usize> = (0..group.roles.len()).collect();
    for pair in &group.policy.ratios {
        if !takes_part(pair.first) || !takes_part(pair.second) {
            continue;
        }
        let (Some(first), Some(second)) = (set_of.get(pair.first).copied(), set_of.get(pair.second).copied())
        else {
            continue;
        };
        let (keep, drop) = (first.min(second), first.max(second));
        for set in &mut set_of {
            if *set == drop {
                *set = keep;
            }
        }
    }
    let mut sets: Vec<Vec<usize>> = vec![Vec::new(); group.roles.len()];
    for (role, set) in set_of.into_iter().enumerate() {
        if takes_part(role)
            && let Some(set) = sets.get_mut(set)
        {
            set.push(role);
        }
    }
    sets.retain(|set| !set.is_empty());
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::sketch::Sketch;

    #[test]
    fn ratios_tie_roles_together() {
        let sketch = Sketch::of(&[("a", 1, 1), ("b", 1, 1), ("c", 1, 1), ("d", 1, 1), ("e", 1, 1)])
            .ratio(3, 1, "1:1", "")
            .ratio(4, 3, "1:1", "")
            .ratio(0, 2, "", "1:1");
        let group = sketch.draft();
        assert_eq!(partners(&group, |_| true), [vec![0, 2], vec![1, 3, 4]]);
        assert_eq!(
            partners(&group, |role| role != 3),
            [vec![0, 2], vec![1], vec![4]],
            "3 ties 1 and 4 together"
        );
    }
}
