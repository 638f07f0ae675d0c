//! [`Store`]: the objects of one kind as the last watch events told, undecodable ones named instead of kept.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kube::{Resource, core::DeserializeGuard, runtime::watcher::Event};
use tracing::warn;

/// Annotation of `kubectl apply`: the whole object once more, as text.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Names a namespaced object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl ObjectKey {
    /// Returns the key of that object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Returns the key of an object as the API server sent it.
    pub fn of(object: &impl Resource) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What an event did to one object.
#[derive(Clone, Debug)]
pub struct Change<K> {
    /// The object.
    pub key: ObjectKey,
    /// The object before; `None` when it was not there.
    pub before: Option<Arc<K>>,
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Store<K> {
    objects: HashMap<ObjectKey, Arc<K>>,
    invalid: HashMap<ObjectKey, String>,
    /// The objects seen since a list began; `None` between lists.
    listing: Option<HashSet<ObjectKey>>,
    complete: bool,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self { objects: HashMap::new(), invalid: HashMap::new(), listing: None, complete: false }
    }
}

impl<K: Resource> Store<K> {
    /// Takes an event in and returns what it changed.
    ///
    /// During a list the old objects stay visible; those that the list did not name go when it is done.
    pub fn take(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.listing = Some(HashSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(ObjectKey::of(&object));
                }
                vec![self.put(object)]
            }
            Event::Apply(object) => vec![self.put(object)],
            Event::Delete(object) => vec![self.remove(ObjectKey::of(&object))],
            Event::InitDone => {
                self.complete = true;
                let listing = self.listing.take().unwrap_or_default();
                let gone: Vec<_> = self
                    .objects
                    .keys()
                    .chain(self.invalid.keys())
                    .filter(|key| !listing.contains(*key))
                    .cloned()
                    .collect();
                gone.into_iter().map(|key| self.remove(key)).collect()
            }
        }
    }

    fn put(&mut self, DeserializeGuard(object): DeserializeGuard<K>) -> Change<K> {
        match object {
            Ok(mut object) => {
                trim(&mut object);
                let key = ObjectKey::of(&object);
                self.invalid.remove(&key);
                let before = self.objects.insert(key.clone(), Arc::new(object));
                Change { key, before }
            }
            Err(invalid) => {
                let meta = invalid.metadata;
                let key = ObjectKey::new(meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default());
                let before = self.objects.remove(&key);
                warn!(object = %key, error = invalid.error, "cannot decode an object, skipping it");
                self.invalid.insert(key.clone(), invalid.error);
                Change { key, before }
            }
        }
    }

    fn remove(&mut self, key: ObjectKey) -> Change<K> {
        self.invalid.remove(&key);
        let before = self.objects.remove(&key);
        Change { key, before }
    }

    /// Returns an object.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<K>> {
        self.objects.get(key)
    }

    /// Returns why an object cannot be decoded.
    pub fn invalid(&self, key: &ObjectKey) -> Option<&str> {
        self.invalid.get(key).map(String::as_str)
    }

    /// Returns how many objects cannot be decoded.
    pub fn invalid_count(&self) -> usize {
        self.invalid.len()
    }

    /// Returns all objects, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<K>)> {
        self.objects.iter()
    }

    /// Returns whether a whole list has been seen.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Drops what nobody here reads and what is often larger than all the rest.
fn trim(object: &mut impl Resource) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

#[cfg(test)]
mod tests {
    use kube::core::error_boundary::InvalidObject;
    use rbg_autoscaler::api::rbg::{RoleBasedGroup, RoleBasedGroupSpec};

    use super::*;

    fn group(name: &str) -> DeserializeGuard<RoleBasedGroup> {
        let mut group = RoleBasedGroup::new(name, RoleBasedGroupSpec::default());
        group.metadata.namespace = Some("a".to_owned());
        DeserializeGuard(Ok(group))
    }

    fn broken(name: &str) -> DeserializeGuard<RoleBasedGroup> {
        let metadata = group(name).0.expect("valid").metadata;
        DeserializeGuard(Err(InvalidObject { error: "roles: expected a sequence".to_owned(), metadata }))
    }

    fn names(store: &Store<RoleBasedGroup>) -> Vec<String> {
        let mut names: Vec<_> = store.iter().map(|(key, _)| key.to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_list_replaces_what_it_does_not_name_only_when_it_is_done() {
        let mut store = Store::default();
        for event in
            [Event::Init, Event::InitApply(group("x")), Event::InitApply(group("y")), Event::InitDone]
        {
            store.take(event);
        }
        assert!(store.is_complete());
        store.take(Event::Apply(group("z")));
        store.take(Event::Init);
        store.take(Event::InitApply(group("y")));
        assert_eq!(names(&store), ["a/x", "a/y", "a/z"], "a list that is not done removes nothing");
        let mut gone: Vec<_> =
            store.take(Event::InitDone).into_iter().map(|change| change.key.to_string()).collect();
        gone.sort();
        assert_eq!((names(&store), gone), (vec!["a/y".to_owned()], vec!["a/x".to_owned(), "a/z".to_owned()]));
        store.take(Event::Delete(group("y")));
        assert!(names(&store).is_empty());
    }

    #[test]
    fn copies_of_the_object_inside_the_object_are_not_kept() {
        let mut store = Store::default();
        let mut object = group("x").0.expect("valid");
        object.metadata.managed_fields = Some(Vec::new());
        let annotations = [(LAST_APPLIED, "{}"), ("mine", "yes")];
        let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
        object.metadata.annotations = Some(annotations.into());
        store.take(Event::Apply(DeserializeGuard(Ok(object))));
        let kept = &store.get(&ObjectKey::new("a", "x")).expect("kept").metadata;
        let annotations: Vec<_> = kept.annotations.iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert_eq!((kept.managed_fields.is_none(), annotations), (true, vec!["mine"]));
    }

    #[test]
    fn an_undecodable_object_is_named_until_it_is_mended_or_gone() {
        let mut store = Store::default();
        store.take(Event::Apply(group("x")));
        let change = store.take(Event::Apply(broken("x"))).remove(0);
        assert!(change.before.is_some() && names(&store).is_empty());
        let key = ObjectKey::new("a", "x");
        assert_eq!(store.invalid(&key), Some("roles: expected a sequence"));
        store.take(Event::Apply(group("x")));
        assert_eq!((store.invalid_count(), names(&store).len()), (0, 1));
        store.take(Event::Apply(broken("y")));
        store.take(Event::Init);
        store.take(Event::InitDone);
        assert_eq!((store.invalid_count(), names(&store).len()), (0, 0));
    }
}
