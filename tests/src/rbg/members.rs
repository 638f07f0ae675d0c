//! What belongs to which group, kept up to date by watches.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt, TryStreamExt, stream};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, reflector::ObjectRef, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{observed::owner, types::RoleBasedGroup};

/// Namespace and name of a group.
type Key = (String, String);
type Groups<T> = HashMap<Key, BTreeMap<String, T>>;

/// Objects by the group that owns them, then by name.
#[derive(Debug)]
pub struct Members<T> {
    groups: Mutex<Groups<T>>,
    complete: watch::Sender<bool>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { groups: Mutex::new(HashMap::new()), complete: watch::Sender::new(false) }
    }
}

impl<T: Clone + Send + 'static> Members<T> {
    /// Returns what a group owns, by name.
    pub fn of(&self, namespace: &str, group: &str) -> Vec<T> {
        let key = (namespace.to_owned(), group.to_owned());
        self.locked().get(&key).map(|members| members.values().cloned().collect()).unwrap_or_default()
    }

    /// Waits until the first list is complete: before that, what is not here may well exist.
    pub async fn complete(&self) {
        // It cannot close: the sender is right here.
        drop(self.complete.subscribe().wait_for(|complete| *complete).await);
    }

    /// Watches objects, remembers those that a group owns, and yields the group whenever one of them changed.
    pub fn follow<K>(
        self: Arc<Self>,
        api: Api<K>,
        config: watcher::Config,
    ) -> impl Stream<Item = Result<ObjectRef<RoleBasedGroup>, watcher::Error>> + Send
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        T: From<K>,
    {
        let mut fresh = Groups::new();
        watcher(api, config)
            .default_backoff()
            .map_ok(move |event| stream::iter(self.take(event, &mut fresh)).map(Ok))
            .try_flatten()
    }

    fn take<K>(&self, event: Event<K>, fresh: &mut Groups<T>) -> Vec<ObjectRef<RoleBasedGroup>>
    where
        K: Resource<DynamicType = ()>,
        T: From<K>,
    {
        let touched = match event {
            Event::Init => {
                fresh.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                insert(fresh, object);
                Vec::new()
            }
            Event::InitDone => {
                let old = std::mem::replace(&mut *self.locked(), std::mem::take(fresh));
                self.complete.send_replace(true);
                let mut keys: Vec<Key> = old.into_keys().chain(self.locked().keys().cloned()).collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
            Event::Apply(object) => insert(&mut self.locked(), object).into_iter().collect(),
            Event::Delete(object) => {
                let key = key(&object);
                if let Some(key) = &key
                    && let Some(members) = self.locked().get_mut(key)
                {
                    members.remove(&object.name_any());
                }
                key.into_iter().collect()
            }
        };
        touched.into_iter().map(|(namespace, name)| ObjectRef::new(&name).within(&namespace)).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Groups<T>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert<K: Resource, T: From<K>>(groups: &mut Groups<T>, object: K) -> Option<Key> {
    let key = key(&object)?;
    groups.entry(key.clone()).or_default().insert(object.name_any(), object.into());
    Some(key)
}

fn key<K: Resource>(object: &K) -> Option<Key> {
    let (group, _) = owner(object.meta())?;
    Some((object.namespace().unwrap_or_default(), group.to_owned()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;
    use crate::rbg::observed::ObservedPod;

    fn pod(name: &str, group: Option<&str>) -> Pod {
        let owner = json!({"apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup", "name": group, "uid": "u"});
        let owners = if group.is_some() { json!([owner]) } else { json!([]) };
        serde_json::from_value(
            json!({"metadata": {"name": name, "namespace": "n", "ownerReferences": owners}}),
        )
        .unwrap()
    }

    fn names(members: &Members<ObservedPod>, group: &str) -> Vec<String> {
        members.of("n", group).into_iter().map(|pod| pod.name).collect()
    }

    #[test]
    fn events_keep_members_up_to_date_and_tell_their_groups() {
        let members = Members::<ObservedPod>::default();
        let mut fresh = Groups::new();
        let mut take = |event: Event<Pod>| -> Vec<String> {
            members.take(event, &mut fresh).into_iter().map(|group| group.name).collect()
        };
        assert!(take(Event::Init).is_empty());
        assert!(take(Event::InitApply(pod("a-0", Some("a")))).is_empty());
        assert!(take(Event::InitApply(pod("b-0", Some("b")))).is_empty());
        assert!(names(&members, "a").is_empty(), "nothing counts before the list is complete");
        assert!(!*members.complete.borrow());
        assert_eq!(take(Event::InitDone), ["a", "b"]);
        assert!(*members.complete.borrow());
        assert_eq!(take(Event::Apply(pod("a-1", Some("a")))), ["a"]);
        assert_eq!(take(Event::Delete(pod("a-0", Some("a")))), ["a"]);
        assert!(take(Event::Apply(pod("foreign", None))).is_empty());
        assert_eq!((names(&members, "a"), names(&members, "b")), (vec!["a-1".into()], vec!["b-0".into()]));

        take(Event::Init);
        take(Event::InitApply(pod("c-0", Some("c"))));
        assert_eq!(
            take(Event::InitDone),
            ["a", "b", "c"],
            "a new list also tells the groups that lost everything"
        );
        assert!(names(&members, "a").is_empty());
    }
}
