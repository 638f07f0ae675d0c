//! [`Pool`]: all engines, the loads and the router between them. Pure: simulated time is passed in and never goes back.

mod routing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use super::{
    endpoint::{Endpoint, Target},
    engine::Engine,
    load::{Load, Running},
    member::{Member, Passing},
    pin::{Fault, Pin},
    record::{Present, Sample, Summary},
    request::{Completion, Request},
    time::SimTime,
};

/// The engines of a cluster's pods and the loads they carry.
#[derive(Debug)]
pub struct Pool {
    speed: f64,
    origin: f64,
    now: SimTime,
    members: Vec<Member>,
    loads: Vec<Running>,
    pins: Vec<(Target, Pin)>,
    faults: Vec<(Target, Fault)>,
    sent: u64,
    finished: Vec<Completion>,
}

/// Names a load of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoadId(usize);

/// A page an engine can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// `/metrics`.
    Metrics,
    /// `/v1/loads?format=prometheus`.
    Loads,
    /// `/health`.
    Health,
}

/// How an address answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Status 200 with this text.
    Page(String),
    /// Status 404: no engine at this address, or no such page.
    NotFound,
    /// Status 500.
    Error,
    /// No answer, ever.
    Hang,
}

impl Pool {
    /// Returns an empty pool.
    ///
    /// `speed` is simulated seconds per wall second (only pinned rates and creation times need it), `origin` the Unix
    /// time of simulated time zero in seconds.
    pub const fn new(speed: f64, origin: f64) -> Self {
        Self {
            speed,
            origin,
            now: SimTime::ZERO,
            members: Vec::new(),
            loads: Vec::new(),
            pins: Vec::new(),
            faults: Vec::new(),
            sent: 0,
            finished: Vec::new(),
        }
    }

    /// Adds a pod or takes over its new state. The requests of an engine that is gone are sent again.
    pub fn put(&mut self, endpoint: Endpoint, now: SimTime) {
        self.advance(now);
        let mut lost = Vec::new();
        self.put_member(endpoint, &mut lost);
        self.settle(lost);
    }

    /// Takes a deleted pod out; its requests are sent again. A pod of the same name with another UID stays.
    pub fn remove(&mut self, namespace: &str, name: &str, uid: &str, now: SimTime) {
        self.advance(now);
        let mut lost = Vec::new();
        if let Some(index) = self.position(namespace, name)
            && self.members.get(index).is_some_and(|member| member.endpoint.uid == uid)
        {
            lost = drop_member(&mut self.members, index);
        }
        self.settle(lost);
    }

    /// Takes over a whole list of pods: what is not in it is gone.
    pub fn replace(&mut self, endpoints: Vec<Endpoint>, now: SimTime) {
        self.advance(now);
        let mut lost = Vec::new();
        let uids: BTreeSet<&str> = endpoints.iter().map(|endpoint| endpoint.uid.as_str()).collect();
        let mut index = 0;
        while let Some(member) = self.members.get(index) {
            if uids.contains(member.endpoint.uid.as_str()) {
                index += 1;
            } else {
                lost.append(&mut drop_member(&mut self.members, index));
            }
        }
        for endpoint in endpoints {
            self.put_member(endpoint, &mut lost);
        }
        self.settle(lost);
    }

    fn put_member(&mut self, endpoint: Endpoint, lost: &mut Vec<Request>) {
        if let Some(index) = self.position(&endpoint.namespace, &endpoint.name) {
            match self.members.get_mut(index) {
                Some(member) if member.endpoint.uid == endpoint.uid => {
                    member.endpoint = endpoint;
                    return;
                }
                _ => lost.append(&mut drop_member(&mut self.members, index)),
            }
        }
        self.members.push(Member::new(endpoint, self.now));
    }

    fn position(&self, namespace: &str, name: &str) -> Option<usize> {
        let same = |member: &Member| member.endpoint.namespace == namespace && member.endpoint.name == name;
        self.members.iter().position(same)
    }

    /// Brings engines, routes and overrides in line with the pods, then sends lost requests again.
    fn settle(&mut self, mut lost: Vec<Request>) {
        let gangs = ready_gangs(&self.members);
        for (member, gang_is_ready) in self.members.iter_mut().zip(gangs) {
            lost.append(&mut member.settle(gang_is_ready, self.now));
            member.overrule(&self.pins, &self.faults, self.now, self.speed);
        }
        let replicas = Replica::fold(&self.members);
        for (member, replica) in self.members.iter_mut().zip(replicas) {
            let whole = replica.ready >= replica.wanted.max(replica.pods);
            if let Some(engine) = member.engine.as_mut().filter(|_| !whole) {
                lost.append(&mut engine.abandon());
            }
            member.serving =
                whole && member.engine.is_some() && replica.terminating == 0 && !member.is_gateway();
        }
        self.route_again(lost);
    }

    /// Starts a load.
    pub fn add_load(&mut self, load: Load, now: SimTime) -> LoadId {
        self.advance(now);
        self.loads.push(Running::new(load, now));
        self.route_again(Vec::new());
        LoadId(self.loads.len() - 1)
    }

    /// Returns the loads so far, ended ones too.
    pub fn load_ids(&self) -> impl Iterator<Item = LoadId> + use<> {
        (0..self.loads.len()).map(LoadId)
    }

    /// Ends a load: nothing more arrives, what was sent goes on.
    pub fn stop_load(&mut self, id: LoadId) {
        if let Some(load) = self.loads.get_mut(id.0) {
            load.stop();
        }
    }

    /// Pins values of all pods of the target, present and future, instead of an earlier pin of the same target.
    pub fn pin(&mut self, target: Target, pin: Option<Pin>, now: SimTime) {
        self.advance(now);
        self.pins.retain(|(other, _)| *other != target);
        self.pins.extend(pin.map(|pin| (target, pin)));
        self.settle(Vec::new());
    }

    /// Makes the metrics of all pods of the target fail, present and future; `None` mends them.
    pub fn fault(&mut self, target: Target, fault: Option<Fault>, now: SimTime) {
        self.advance(now);
        self.faults.retain(|(other, _)| *other != target);
        self.faults.extend(fault.map(|fault| (target, fault)));
        self.settle(Vec::new());
    }

    /// Returns what the pod at that address answers.
    pub fn ask(&mut self, address: Ipv4Addr, path: Path, now: SimTime) -> Answer {
        self.advance(now);
        let (now, origin, speed) = (self.now, self.origin, self.speed);
        let at_address =
            |member: &Member| member.endpoint.address == Some(address) && member.engine.is_some();
        let Some(position) = self.members.iter().position(at_address) else { return Answer::NotFound };
        let passing = self.passing(position);
        let Some(member) = self.members.get_mut(position) else { return Answer::NotFound };
        match (member.fault, path) {
            (_, Path::Health) => return Answer::Page(String::new()),
            (Some(Fault::Error), _) => return Answer::Error,
            (Some(Fault::Hang), _) => return Answer::Hang,
            (Some(Fault::Empty), _) => return Answer::Page("\n".to_owned()),
            _ => {}
        }
        let dialect = member.endpoint.dialect;
        let Some(reading) = member.reading(now, origin, speed, passing) else { return Answer::NotFound };
        match path {
            Path::Metrics => Answer::Page(dialect.metrics(&reading)),
            _ => dialect.loads(&reading).map_or(Answer::NotFound, Answer::Page),
        }
    }

    /// What a gateway sees of the loads behind it; nothing for a model server. Of several gateways the first by name
    /// does the work.
    fn passing(&self, position: usize) -> Passing {
        let Some(member) = self.members.get(position).filter(|member| member.is_gateway()) else {
            return Passing::default();
        };
        let own = &member.endpoint;
        let mut passing = Passing::default();
        for load in self.loads.iter().filter(|load| load.target.is_behind(own)) {
            let gateways = self.members.iter().filter(|other| {
                other.is_gateway() && load.target.is_behind(&other.endpoint) && other.endpoint.name < own.name
            });
            if gateways.count() > 0 {
                continue;
            }
            let present = present(&self.members, load);
            passing.held += present.held;
            passing.held_tokens += load.held.iter().map(|request| request.input_tokens).sum::<u32>();
            passing.sent_on += present.waiting + present.running;
            passing.arrived += load.record.sent();
        }
        passing
    }

    /// Returns the state of a load now and what happened since the last sample.
    pub fn sample(&mut self, id: LoadId, now: SimTime) -> Option<Sample> {
        self.advance(now);
        let present = present(&self.members, self.loads.get(id.0)?);
        Some(self.loads.get_mut(id.0)?.record.sample(now, &present))
    }

    /// Returns what a load came to; requests sent before `from` are left out of latencies and attainment.
    pub fn summary(&self, id: LoadId, from: SimTime) -> Option<Summary> {
        let load = self.loads.get(id.0)?;
        let waiting = self.members.iter().filter_map(|member| member.engine.as_ref());
        let waiting = waiting.flat_map(Engine::waiting_requests).filter(|request| request.load == id.0);
        let overdue = waiting.chain(&load.held).filter(|request| {
            request.sent >= from && self.now.since(request.sent) > request.first_token_limit()
        });
        Some(load.record.summary(from, u64::try_from(overdue.count()).unwrap_or(u64::MAX)))
    }
}

/// Takes a member out and returns the requests its engine had.
fn drop_member(members: &mut Vec<Member>, index: usize) -> Vec<Request> {
    members.swap_remove(index).engine.map_or_else(Vec::new, |mut engine| engine.abandon())
}

/// Tells of each member whether all pods of its gang are ready: without its peers an engine does not start.
fn ready_gangs(members: &[Member]) -> Vec<bool> {
    let mut ready: BTreeMap<(&str, &str, &str, usize), usize> = BTreeMap::new();
    for Member { endpoint, .. } in members.iter().filter(|member| member.endpoint.ready) {
        if let Some(gang) = endpoint.gang() {
            *ready.entry(gang).or_default() += 1;
        }
    }
    let is_ready = |Member { endpoint, .. }: &Member| {
        let pods = endpoint.gang * endpoint.replica_size;
        endpoint.gang().is_none_or(|gang| ready.get(&gang).is_some_and(|ready| *ready >= pods))
    };
    members.iter().map(is_ready).collect()
}

/// The pods of one replica, counted.
#[derive(Clone, Copy, Debug, Default)]
struct Replica {
    pods: usize,
    wanted: usize,
    ready: usize,
    terminating: usize,
}

impl Replica {
    /// Returns each member's replica, in the order of the members.
    fn fold(members: &[Member]) -> Vec<Self> {
        let mut replicas: BTreeMap<(&str, &str, &str), Self> = BTreeMap::new();
        for Member { endpoint, .. } in members {
            let replica = replicas.entry(endpoint.replica()).or_default();
            replica.pods += 1;
            replica.wanted = replica.wanted.max(endpoint.replica_size);
            replica.ready += usize::from(endpoint.ready);
            replica.terminating += usize::from(endpoint.terminating);
        }
        let own = |member: &Member| replicas.get(&member.endpoint.replica()).copied().unwrap_or_default();
        members.iter().map(own).collect()
    }
}

/// What is true now of a load.
fn present(members: &[Member], load: &Running) -> Present {
    let mut present = Present {
        held: u32::try_from(load.held.len()).unwrap_or(u32::MAX),
        ready_replicas: load.backends.len(),
        ..Present::default()
    };
    for member in load.pods.iter().filter_map(|position| members.get(*position)) {
        present.bound_pods += u32::from(member.endpoint.bound);
        if let Some(engine) = &member.engine {
            present.waiting += engine.waiting();
            present.running += engine.running();
        }
    }
    present
}
