//! [`InlinePolicy`]: the policy that roles of a group carry inline, and what must become of the object adopted from it.
//!
//! Upstream's controllers drop the inline text whenever they rewrite a group, so the text is adopted: an object of our
//! own holds it, and scaling works from that. Pure: `adopt` does the talking.

mod adopt;

use std::fmt::Write as _;

use kube::{Resource, ResourceExt};
use rbg_autoscaler::api::{
    autoscaler::{RoleBasedGroupAutoscaler, RoleBasedGroupAutoscalerSpec},
    rbg::{Role, RoleBasedGroup},
};
use serde_json::{Map, Value, json};

pub use self::adopt::{AdoptError, Adoption, adopt};

/// Label of an adopted object.
pub const ORIGIN_LABEL: &str = "rbg-autoscaler.dev/origin";
/// The label's value on an adopted object.
pub const ORIGIN_INLINE: &str = "inline";
/// Annotation of an adopted object: the hash of the text that it was made from.
pub const HASH_ANNOTATION: &str = "rbg-autoscaler.dev/inline-hash";

/// Returns the name of the object adopted from a group's inline text.
pub fn adopted_name(group: &str) -> String {
    format!("{group}-inline")
}

/// Returns whether an object was adopted from inline text, rather than written by hand.
pub fn is_adopted(autoscaler: &RoleBasedGroupAutoscaler) -> bool {
    autoscaler.labels().get(ORIGIN_LABEL).is_some_and(|origin| origin == ORIGIN_INLINE)
}

/// The inline text of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlinePolicy {
    roles: Vec<Value>,
    hash: String,
}

/// Why a group's inline text cannot even be offered to the API server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InlineError {
    /// The field holds something else than fields.
    #[error("spec.roles[name={role}].autoscaling is no object; write fields such as maxReplicas below it")]
    NotAnObject {
        /// The role.
        role: String,
    },
    /// The text has a name of its own.
    #[error(
        "spec.roles[name={role}].autoscaling.name: leave it out; the text belongs to the role that carries it"
    )]
    Named {
        /// The role.
        role: String,
    },
}

impl InlinePolicy {
    /// Returns the inline text of a group, or `None` when no role carries any.
    pub fn of(group: &RoleBasedGroup) -> Result<Option<Self>, InlineError> {
        let mut roles = Vec::new();
        for role in &group.spec.roles {
            let Some(text) = role.autoscaling.as_ref().filter(|text| !text.is_null()) else { continue };
            let Value::Object(fields) = text else {
                return Err(InlineError::NotAnObject { role: role.name.clone() });
            };
            if fields.contains_key("name") {
                return Err(InlineError::Named { role: role.name.clone() });
            }
            let mut named = Map::from_iter([("name".to_owned(), json!(role.name))]);
            named.extend(fields.clone());
            roles.push(Value::Object(named));
        }
        if roles.is_empty() {
            return Ok(None);
        }
        let hash = hash_of(&roles);
        Ok(Some(Self { roles, hash }))
    }

    /// Returns the hash of the text; the same text has the same hash in every release.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    fn spec(&self, group: &RoleBasedGroup) -> Value {
        json!({"groupRef": {"name": group.name_any()}, "roles": self.roles})
    }
}

/// FNV-1a, 64 bits, over the text as JSON: stable, and good enough to tell two texts of one group apart.
fn hash_of(roles: &[Value]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in roles.iter().flat_map(|role| canonical(role).into_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// JSON with the keys of every object in order, whatever the map keeps.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<_> = fields.keys().collect();
            keys.sort();
            let mut text = String::from("{");
            for key in keys {
                let _ = write!(text, "{}:{},", json!(key), canonical(&fields[key]));
            }
            text + "}"
        }
        Value::Array(items) => {
            items.iter().fold(String::from("["), |text, item| text + &canonical(item) + ",") + "]"
        }
        scalar => scalar.to_string(),
    }
}

/// What must become of the adopted object.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing: text and object agree, or there is neither.
    Settled,
    /// The text is gone, but only its loss can be seen, not whether it was meant: the object stays.
    Gone,
    /// Write this object.
    Write(Box<Adoption>),
    /// The text was removed on purpose: delete the object, if it is still this one.
    Remove {
        /// The object's name.
        name: String,
        /// The observed object.
        uid: String,
        /// The observed version.
        resource_version: String,
    },
    /// The text cannot be adopted; the last good object stays.
    Invalid(String),
}

/// Returns what must become of the object adopted from a group, given the object of that name if there is one.
pub fn plan(group: &RoleBasedGroup, existing: Option<&RoleBasedGroupAutoscaler>) -> Plan {
    let inline = match InlinePolicy::of(group) {
        Ok(inline) => inline,
        Err(error) => return Plan::Invalid(error.to_string()),
    };
    let Some(inline) = inline else { return without_text(group, existing) };
    let Some(existing) = existing else {
        return Plan::Write(Box::new(Adoption::new(group, &inline, None, false)));
    };
    if !is_adopted(existing) {
        let name = existing.name_any();
        return Plan::Invalid(format!(
            "a {} named {name} exists that was not made from inline text; rename or delete it",
            RoleBasedGroupAutoscaler::kind(&())
        ));
    }
    let same_text = existing.annotations().get(HASH_ANNOTATION).is_some_and(|hash| hash == inline.hash());
    let same_owner =
        existing.owner_references().iter().any(|owner| Some(&owner.uid) == group.metadata.uid.as_ref());
    let untouched = is_made_of(&existing.spec, &inline.spec(group));
    if same_text && same_owner && untouched {
        return Plan::Settled;
    }
    Plan::Write(Box::new(Adoption::new(group, &inline, Some(existing), same_text && !untouched)))
}

fn without_text(group: &RoleBasedGroup, existing: Option<&RoleBasedGroupAutoscaler>) -> Plan {
    let Some(existing) = existing.filter(|existing| is_adopted(existing)) else { return Plan::Settled };
    let may_be_stripped = group.is_of_a_set() || group.spec.roles.iter().any(Role::has_scaling_adapter);
    if may_be_stripped {
        return Plan::Gone;
    }
    Plan::Remove {
        name: existing.name_any(),
        uid: existing.uid().unwrap_or_default(),
        resource_version: existing.resource_version().unwrap_or_default(),
    }
}

/// Whether a spec is what the API server makes of that text, defaults filled in.
fn is_made_of(spec: &RoleBasedGroupAutoscalerSpec, text: &Value) -> bool {
    let Ok(mut made) = serde_json::from_value::<RoleBasedGroupAutoscalerSpec>(text.clone()) else {
        return false;
    };
    let mut spec = spec.clone();
    for spec in [&mut made, &mut spec] {
        spec.mode.get_or_insert_default();
        for role in &mut spec.roles {
            role.behavior.get_or_insert_default();
        }
    }
    made == spec
}

#[cfg(test)]
mod tests;
