//! What conditions and reasons mean, and what to do about them, for somebody who sees them for the first time.

use rbg_autoscaler::scaling::Condition;

/// What a condition means and what to do about it.
type Advice = (&'static str, Option<&'static str>);

/// Returns what a condition means and, when there is something, what to do.
pub(super) fn of(condition: &Condition) -> Option<Advice> {
    of_group(condition).or_else(|| of_role(condition))
}

fn of_group(condition: &Condition) -> Option<Advice> {
    let told = match (&*condition.type_, &*condition.status, &*condition.reason) {
        ("Ready", "False", "InvalidPolicy") => {
            ("the policy is wrong and nothing is scaled", Some("correct the field that the message names"))
        }
        ("Ready", "False", "GroupNotFound") => (
            "there is nothing to scale",
            Some("correct spec.groupRef.name, or create the RoleBasedGroup in this namespace"),
        ),
        ("Ready", "False", "RoleNotFound") => (
            "some roles of the policy are not in the group",
            Some("correct the names, or add the roles to the group"),
        ),
        ("Ready", "False", "WriteFailed") => (
            "a count was decided on and could not be written",
            Some("read the message; most often a permission is missing"),
        ),
        ("Ready", "False", "Conflict") | ("Conflict", "True", _) => (
            "somebody else scales this too, so nothing is written",
            Some("delete one of the two that the message names"),
        ),
        ("Ready", "False", "ScalingAdapterRequired") => (
            "a RoleBasedGroupSet rewrites this group, so a count written into it would not last",
            Some("give the role scalingAdapter: {enable: true} in the set's template"),
        ),
        ("Ready", "True", "Recommending") => {
            ("decisions are reported and not written", Some("set spec.mode: Enforce to have them written"))
        }
        ("Ready", "True", "Disabled") => {
            ("the policy is switched off", Some("set spec.mode: Enforce to switch it on"))
        }
        ("MetricsHealthy", "False", "PartialMetric") => (
            "some pods did not answer: the sum is a lower bound, which may raise and never lower",
            Some("look at the pods that the message names: are they scraped, do they serve /metrics?"),
        ),
        ("MetricsHealthy", "False", "WakeSignalSilent") => (
            "a wakeOn signal does not answer: the role does not fall asleep, and is woken if it sleeps",
            Some(
                "is the role that the signal comes from running and scraped? docs/alerts.md#rbgwakesignallost",
            ),
        ),
        ("SleepUnguarded", "True", _) => (
            "the role may fall asleep under its last requests, which run while none waits",
            Some("add the metric that the message names"),
        ),
        ("MetricsHealthy", "False", _) if source_is_away(&condition.message) => (
            "where metrics come from does not answer: the role is not lowered while that lasts",
            Some(
                "is Prometheus, or the metrics API, up and reachable, and its address right? docs/alerts.md#rbgallmetricsmissing",
            ),
        ),
        ("MetricsHealthy", "False", _) => (
            "a metric does not answer: the role is not lowered while that lasts",
            Some(
                "check that the pods are scraped and that the metric's name is right; docs/alerts.md#rbgmetricmissing",
            ),
        ),
        ("CapacityLimited", "True", "NoFit") => (
            "no whole gang fits on the nodes now",
            Some("add nodes or free some; it is tried again at once when a node joins or is freed"),
        ),
        ("CapacityLimited", "True", "RolledBack") => (
            "gangs that found no room were taken back, so that they block nobody",
            Some("add nodes or free some, or lower maxReplicas"),
        ),
        ("CapacityLimited", "True", "PartialGang") => (
            "a gang runs only in part: some of its replicas find no room, the others serve",
            Some("add nodes or free some; a gang with a ready replica is never taken back"),
        ),
        ("CapacityLimited", "False", "WaitingForNodes") => (
            "replicas wait for a node; gangs that still wait when the time is over are taken back",
            Some("nothing if nodes are on their way; else add or free some"),
        ),
        ("CapacityLimited", "Unknown", _) => (
            "whether there is room cannot be told; gangs are created and taken back if they do not start",
            None,
        ),
        ("RatioSatisfied", "False", _) => (
            "a ratio between roles does not hold",
            Some("the message names the bound that stands in the way; widen it or the ratio"),
        ),
        ("Paused", "True", _) => {
            ("a direction is frozen by spec.hold", Some("empty spec.hold when it is no longer meant"))
        }
        ("InlineGone", "True", _) => (
            "the policy was written inside the group and is no longer there",
            Some("delete this object if that is meant"),
        ),
        ("InlineRefused", "True", _) => (
            "the policy inside the group was changed to something that cannot be used; the one before stays in force",
            Some("correct the field autoscaling of the group's roles as the message says"),
        ),
        _ => return None,
    };
    Some(told)
}

fn of_role(condition: &Condition) -> Option<Advice> {
    let told = match (&*condition.type_, &*condition.status, &*condition.reason) {
        ("ScalingActive", "False", "ScalingDisabled") => (
            "the role was set to 0 by hand, which switches scaling off",
            Some("set replicas to 1 or more to switch it on"),
        ),
        ("ScalingActive", "False", _) => (
            "metrics are silent and no other asks for more: the count stands still",
            Some("repair what is silent; fallback: {after, replicas} gives a count for when all are"),
        ),
        ("AbleToScale", "False", "FailedGetScale") => (
            "where the count is written does not exist yet",
            Some("wait for RBG to create the scaling adapter; else look at RBG's log"),
        ),
        ("AbleToScale", "False", "FailedUpdateScale") => {
            ("the count could not be written", Some("read the message; most often a permission is missing"))
        }
        ("ScalingLimited", "True", "TooManyReplicas") => {
            ("maxReplicas is reached", Some("raise maxReplicas if the cluster has the room"))
        }
        ("ScalingLimited", "True", "TooFewReplicas") => ("minReplicas is reached", None),
        ("ScalingLimited", "True", "ScaleUpLimit") => (
            "behavior.scaleUp allows no larger step at once; it goes on in steps by itself, and faster if that allows more",
            None,
        ),
        ("ScalingLimited", "True", "ScaleDownLimit") => {
            ("behavior.scaleDown allows no larger step at once; it goes on in steps by itself", None)
        }
        _ => return None,
    };
    Some(told)
}

/// Whether a message says that nobody answered at all, and not that somebody answered without a value.
fn source_is_away(message: &str) -> bool {
    let words =
        ["refused", "timed out", "no route to host", "dns error", "error sending request", "unavailable"];
    let message = message.to_lowercase();
    words.iter().any(|words| message.contains(words))
}
