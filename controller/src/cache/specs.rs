//! [`SharedSpecs`]: specs of pods, each kept once however many pods have it.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
    sync::{Arc, Weak},
};

use k8s_openapi::api::core::v1::PodSpec;

/// Below this many kept specs nobody looks for those that no pod has any more.
const FEW: usize = 256;

/// Specs that pods have.
#[derive(Debug, Default)]
pub(super) struct SharedSpecs {
    known: HashMap<u64, Vec<Weak<PodSpec>>>,
    /// How many were left when those that no pod has any more were last forgotten.
    left: usize,
}

impl SharedSpecs {
    /// Returns the spec that equals this one, which may be a known one.
    pub(super) fn share(&mut self, spec: PodSpec) -> Arc<PodSpec> {
        self.forget();
        // A spec that cannot be written as JSON is equal to few others, which is all that this is for.
        let text = serde_json::to_vec(&spec).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        hasher.write(&text);
        let alike = self.known.entry(hasher.finish()).or_default();
        if let Some(known) = alike.iter().filter_map(Weak::upgrade).find(|known| **known == spec) {
            return known;
        }
        let spec = Arc::new(spec);
        alike.push(Arc::downgrade(&spec));
        spec
    }

    /// Forgets specs that no pod has, once there may be as many of them as others.
    fn forget(&mut self) {
        if self.known.len() < (2 * self.left).max(FEW) {
            return;
        }
        self.known.retain(|_, alike| {
            alike.retain(|spec| spec.strong_count() > 0);
            !alike.is_empty()
        });
        self.left = self.known.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(scheduler: usize) -> PodSpec {
        PodSpec { scheduler_name: Some(scheduler.to_string()), ..PodSpec::default() }
    }

    #[test]
    fn equal_specs_are_one_and_unused_ones_are_forgotten() {
        let mut specs = SharedSpecs::default();
        let first = specs.share(spec(0));
        assert!(Arc::ptr_eq(&first, &specs.share(spec(0))));
        assert!(!Arc::ptr_eq(&first, &specs.share(spec(1))));
        for number in 0..10 * FEW {
            specs.share(spec(number));
        }
        assert!(specs.known.len() <= FEW, "{}", specs.known.len());
        assert!(Arc::ptr_eq(&first, &specs.share(spec(0))), "what is used stays");
    }
}
