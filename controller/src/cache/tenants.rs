//! [`Tenants`]: what all pods of the cluster take of its nodes, and which wait for room.
//!
//! There may be a hundred thousand pods: of one that has a node only a reference to what it takes is kept, and pods that
//! take the same share it. What they take together is summed by node.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::runtime::watcher::Event;
use rbg_autoscaler::{scaling::Reservation, units::MilliValue};

use super::{
    occupant::{Occupant, Place},
    store::ObjectKey,
};

/// A role: its group, and its name.
type Role = (ObjectKey, String);

/// What all pods of the cluster take.
#[derive(Debug, Default)]
pub struct Tenants {
    by_pod: HashMap<ObjectKey, Tenant>,
    sums: BTreeMap<Arc<str>, Sum>,
    waiting: BTreeMap<ObjectKey, Arc<Pod>>,
    roles: HashMap<Arc<Role>, Members>,
    /// What pods take, whatever their node; each kind is kept once.
    kinds: HashSet<Arc<Reservation>>,
    /// The sums as decisions see them; `None` since one changed.
    shown: Option<Arc<Vec<Reservation>>>,
    listing: Option<HashSet<ObjectKey>>,
    complete: bool,
}

/// One pod.
#[derive(Debug, Default)]
struct Tenant {
    /// Its role, and whether it counts as one of the role's live pods.
    member: Option<(Arc<Role>, bool)>,
    stand: Stand,
}

/// Where a pod stands.
#[derive(Debug, Default, PartialEq, Eq)]
enum Stand {
    /// On this node, of which it takes so much.
    Seated(Arc<str>, Arc<Reservation>),
    Waiting,
    #[default]
    Nowhere,
}

/// What the pods of one node take together.
#[derive(Debug, Default)]
struct Sum {
    pods: usize,
    requests: BTreeMap<String, i128>,
    ports: BTreeMap<(i32, String), u32>,
}

/// The pods of one role.
#[derive(Clone, Copy, Debug, Default)]
struct Members {
    all: u32,
    /// Those that are not being deleted.
    live: u32,
    priority: Option<i32>,
}

impl Tenants {
    /// Takes an event in; returns whether there may be more room than before.
    pub fn take(&mut self, event: Event<Occupant>) -> bool {
        match event {
            Event::Init => self.listing = Some(HashSet::new()),
            Event::InitApply(pod) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(pod.key.clone());
                }
                return self.put(pod);
            }
            Event::Apply(pod) => return self.put(pod),
            Event::Delete(pod) => return self.remove(&pod.key),
            Event::InitDone => {
                self.complete = true;
                self.prune();
                let listing = self.listing.take().unwrap_or_default();
                let gone: Vec<_> =
                    self.by_pod.keys().filter(|key| !listing.contains(*key)).cloned().collect();
                let mut freed = false;
                for key in &gone {
                    freed |= self.remove(key);
                }
                return freed;
            }
        }
        false
    }

    fn put(&mut self, pod: Occupant) -> bool {
        let before = self.by_pod.remove(&pod.key).unwrap_or_default();
        self.leave(&before);
        let member = pod.home.map(|(group, role)| {
            let role = self.role((ObjectKey::new(pod.key.namespace.as_str(), group), role));
            let members = self.roles.entry(Arc::clone(&role)).or_default();
            members.all += 1;
            members.live += u32::from(!pod.leaving);
            members.priority = pod.priority.or(members.priority);
            (role, !pod.leaving)
        });
        let stand = match pod.place {
            Place::Bound(takes) => self.seat(takes),
            Place::Waiting(waiting) => {
                self.waiting.insert(pod.key.clone(), Arc::new(*waiting));
                Stand::Waiting
            }
            Place::Nowhere => Stand::Nowhere,
        };
        if stand != Stand::Waiting {
            self.waiting.remove(&pod.key);
        }
        let freed = self.moved(&before.stand, &stand);
        self.by_pod.insert(pod.key, Tenant { member, stand });
        freed
    }

    fn remove(&mut self, key: &ObjectKey) -> bool {
        let Some(before) = self.by_pod.remove(key) else { return false };
        self.leave(&before);
        self.waiting.remove(key);
        self.moved(&before.stand, &Stand::Nowhere)
    }

    /// Keeps the sums; returns whether somebody else may find more room now.
    fn moved(&mut self, from: &Stand, to: &Stand) -> bool {
        if from == to {
            return false;
        }
        if let Stand::Seated(node, takes) = to {
            self.sums.entry(Arc::clone(node)).or_default().add(takes);
            self.shown = None;
        }
        if let Stand::Seated(node, takes) = from
            && let Some(sum) = self.sums.get_mut(node)
        {
            sum.subtract(takes);
            if sum.pods == 0 {
                self.sums.remove(node);
            }
            self.shown = None;
        }
        // A pod that waited and got a node took what it waited for.
        match from {
            Stand::Nowhere => false,
            Stand::Waiting => *to == Stand::Nowhere,
            Stand::Seated(..) => true,
        }
    }

    fn leave(&mut self, tenant: &Tenant) {
        let Some((role, live)) = &tenant.member else { return };
        let Some(members) = self.roles.get_mut(role) else { return };
        members.all = members.all.saturating_sub(1);
        members.live = members.live.saturating_sub(u32::from(*live));
        if members.all == 0 {
            self.roles.remove(role);
        }
    }

    fn role(&self, role: Role) -> Arc<Role> {
        match self.roles.get_key_value(&role) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(role),
        }
    }

    fn seat(&mut self, mut takes: Reservation) -> Stand {
        let name = std::mem::take(&mut takes.node);
        let node = match self.sums.get_key_value(name.as_str()) {
            Some((known, _)) => Arc::clone(known),
            None => name.into(),
        };
        let takes = match self.kinds.get(&takes) {
            Some(known) => Arc::clone(known),
            None => Arc::new(takes),
        };
        self.kinds.insert(Arc::clone(&takes));
        Stand::Seated(node, takes)
    }

    /// Drops kinds of pods that are no more.
    fn prune(&mut self) {
        self.kinds.retain(|kind| Arc::strong_count(kind) > 1);
    }

    /// Returns what the pods of every node take.
    pub fn taken(&mut self) -> Arc<Vec<Reservation>> {
        let sums = &self.sums;
        let sum = || Arc::new(sums.iter().map(|(node, sum)| sum.reservation(node)).collect());
        Arc::clone(self.shown.get_or_insert_with(sum))
    }

    /// Returns what the pods of every node take without these, and these one by one.
    pub fn taken_without<'p>(
        &mut self,
        pods: impl IntoIterator<Item = &'p ObjectKey>,
    ) -> (Arc<Vec<Reservation>>, Vec<Arc<Pod>>) {
        let mut listed = Vec::new();
        let mut less: BTreeMap<&str, Sum> = BTreeMap::new();
        for key in pods {
            let Some(Tenant { stand: Stand::Seated(node, takes), .. }) = self.by_pod.get(key) else {
                continue;
            };
            less.entry(node).or_default().add(takes);
            listed.push(Arc::new(seated(key, node, takes)));
        }
        if listed.is_empty() {
            return (self.taken(), listed);
        }
        let rest = self.sums.iter().map(|(node, sum)| match less.get(&**node) {
            Some(less) => sum.less(less).reservation(node),
            None => sum.reservation(node),
        });
        (Arc::new(rest.collect()), listed)
    }

    /// Returns the pods that wait for a node.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.waiting.values()
    }

    /// Returns how many pods of a role are there to stay, and the priority that one of them was given.
    pub fn of_role(&self, group: &ObjectKey, role: &str) -> (u32, Option<i32>) {
        let members = self.roles.get(&(group.clone(), role.to_owned())).copied().unwrap_or_default();
        (members.live, members.priority)
    }

    /// Returns whether a whole list has been seen.
    pub const fn is_complete(&self) -> bool {
        self.complete
    }
}

impl Sum {
    fn add(&mut self, takes: &Reservation) {
        self.pods += 1;
        for (resource, asked) in &takes.requests {
            *self.requests.entry(resource.clone()).or_default() += i128::from(asked.milli());
        }
        for port in &takes.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
    }

    fn subtract(&mut self, takes: &Reservation) {
        self.pods = self.pods.saturating_sub(1);
        for (resource, asked) in &takes.requests {
            if let Some(sum) = self.requests.get_mut(resource) {
                *sum -= i128::from(asked.milli());
            }
        }
        for port in &takes.ports {
            if let Some(count) = self.ports.get_mut(port) {
                *count = count.saturating_sub(1);
            }
        }
        self.requests.retain(|_, sum| *sum != 0);
        self.ports.retain(|_, count| *count > 0);
    }

    fn less(&self, other: &Self) -> Self {
        let rest = |resource: &String, sum: i128| sum - other.requests.get(resource).copied().unwrap_or(0);
        let left = |port: &(i32, String), count: u32| {
            count.saturating_sub(other.ports.get(port).copied().unwrap_or(0))
        };
        Self {
            pods: self.pods.saturating_sub(other.pods),
            requests: self.requests.iter().map(|(name, sum)| (name.clone(), rest(name, *sum))).collect(),
            ports: self.ports.iter().map(|(port, count)| (port.clone(), left(port, *count))).collect(),
        }
    }

    fn reservation(&self, node: &str) -> Reservation {
        let milli = |sum: i128| MilliValue::from_milli(i64::try_from(sum).unwrap_or(i64::MAX));
        Reservation {
            node: node.to_owned(),
            requests: self.requests.iter().map(|(name, sum)| (name.clone(), milli(*sum))).collect(),
            ports: self.ports.iter().filter(|(_, count)| **count > 0).map(|(port, _)| port.clone()).collect(),
        }
    }
}

/// A pod that takes what that one takes; every pod takes one of `pods`.
fn seated(key: &ObjectKey, node: &str, takes: &Reservation) -> Pod {
    let requests = takes.requests.iter().filter(|(name, _)| name != "pods");
    let requests = requests.map(|(name, asked)| (name.clone(), Quantity(asked.to_string())));
    let resources = ResourceRequirements { requests: Some(requests.collect()), ..Default::default() };
    let mut pod = Pod::default();
    pod.metadata.name = Some(key.name.clone());
    pod.metadata.namespace = Some(key.namespace.clone());
    let container = Container { resources: Some(resources), ..Container::default() };
    pod.spec =
        Some(PodSpec { node_name: Some(node.to_owned()), containers: vec![container], ..PodSpec::default() });
    pod
}

#[cfg(test)]
mod tests;
