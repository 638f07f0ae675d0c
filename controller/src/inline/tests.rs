//! What becomes of the adopted object as the text comes, changes and goes.

use serde_json::json;

use super::*;

fn group(roles: impl Into<Value>) -> RoleBasedGroup {
    serde_json::from_value(json!({
        "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup",
        "metadata": {"name": "demo", "namespace": "serving", "uid": "group-uid"}, "spec": {"roles": roles.into()}
    }))
    .expect("a group")
}

fn text() -> Value {
    json!({"maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}]})
}

/// The object that the API server would keep of a plan's body.
fn stored(plan: &Plan) -> RoleBasedGroupAutoscaler {
    let Plan::Write(adoption) = plan else { panic!("nothing to write: {plan:?}") };
    let mut body = adoption.body().clone();
    body["metadata"]["uid"] = json!("object-uid");
    body["metadata"]["resourceVersion"] = json!("7");
    for role in body["spec"]["roles"].as_array_mut().expect("roles") {
        if role.get("behavior").is_none() {
            role["behavior"] = json!({});
        }
    }
    serde_json::from_value(body).expect("an autoscaler")
}

#[test]
fn text_becomes_an_object_of_the_group() {
    let group = group(json!([{"name": "router"}, {"name": "decode", "autoscaling": text()}]));
    let Plan::Write(adoption) = plan(&group, None) else { panic!("must write") };
    insta::assert_json_snapshot!(adoption.body(), @r#"
    {
      "apiVersion": "rbg-autoscaler.dev/v1alpha1",
      "kind": "RoleBasedGroupAutoscaler",
      "metadata": {
        "annotations": {
          "rbg-autoscaler.dev/inline-hash": "3eecdcc3c831c783"
        },
        "labels": {
          "rbg-autoscaler.dev/origin": "inline"
        },
        "name": "demo-inline",
        "namespace": "serving",
        "ownerReferences": [
          {
            "apiVersion": "workloads.x-k8s.io/v1alpha2",
            "controller": true,
            "kind": "RoleBasedGroup",
            "name": "demo",
            "uid": "group-uid"
          }
        ]
      },
      "spec": {
        "groupRef": {
          "name": "demo"
        },
        "roles": [
          {
            "maxReplicas": 8,
            "metrics": [
              {
                "name": "queue_length",
                "target": "10"
              }
            ],
            "name": "decode"
          }
        ]
      }
    }
    "#);
    assert!(!adoption.restores);
}

#[test]
fn the_hash_is_of_the_text_and_not_of_its_order() {
    let hash = |roles| InlinePolicy::of(&group(roles)).expect("valid").expect("text").hash().to_owned();
    let one = hash(json!([{"name": "a", "autoscaling": {"maxReplicas": 8, "minReplicas": 1}}]));
    assert_eq!(
        one,
        hash(json!([{"name": "a", "replicas": 3, "autoscaling": {"minReplicas": 1, "maxReplicas": 8}}]))
    );
    assert_ne!(one, hash(json!([{"name": "a", "autoscaling": {"minReplicas": 1, "maxReplicas": 9}}])));
    assert_ne!(one, hash(json!([{"name": "b", "autoscaling": {"minReplicas": 1, "maxReplicas": 8}}])));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn plans() {
    struct Case {
        name: &'static str,
        group: RoleBasedGroup,
        existing: Option<RoleBasedGroupAutoscaler>,
        want: &'static str,
    }
    let with_text = || group(json!([{"name": "decode", "autoscaling": text()}]));
    let adopted = stored(&plan(&with_text(), None));
    let edited = |edit: fn(&mut RoleBasedGroupAutoscaler)| {
        let mut object = adopted.clone();
        edit(&mut object);
        Some(object)
    };
    let cases = [
        Case { name: "neither", group: group(json!([{"name": "a"}])), existing: None, want: "settled" },
        Case {
            name: "text is null",
            group: group(json!([{"name": "a", "autoscaling": null}])),
            existing: None,
            want: "settled",
        },
        Case { name: "new text", group: with_text(), existing: None, want: "write" },
        Case {
            name: "adopted already, defaults filled in",
            group: with_text(),
            existing: edited(|_| ()),
            want: "settled",
        },
        Case {
            name: "other text",
            group: group(json!([{"name": "decode", "autoscaling": {"maxReplicas": 9}}])),
            existing: edited(|_| ()),
            want: "write",
        },
        Case {
            name: "hand edits are overwritten",
            group: with_text(),
            existing: edited(|object| object.spec.roles[0].max_replicas = 99),
            want: "restore",
        },
        Case {
            name: "the group was made anew",
            group: with_text(),
            existing: edited(|object| object.metadata.owner_references = None),
            want: "write",
        },
        Case {
            name: "a hand-written object has the name",
            group: with_text(),
            existing: edited(|object| object.metadata.labels = None),
            want: "invalid",
        },
        Case {
            name: "text gone, no scaling adapter: on purpose",
            group: group(json!([{"name": "decode"}])),
            existing: edited(|_| ()),
            want: "remove",
        },
        Case {
            name: "text gone, some role has a scaling adapter: stripped",
            group: group(json!([{"name": "decode"}, {"name": "router", "scalingAdapter": {"enable": true}}])),
            existing: edited(|_| ()),
            want: "gone",
        },
        Case {
            name: "text gone, a set rewrites the group",
            group: {
                let mut group = group(json!([{"name": "decode"}]));
                let owner = json!({"apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroupSet", "name": "s", "uid": "u"});
                group.metadata.owner_references =
                    Some(vec![serde_json::from_value(owner).expect("an owner")]);
                group
            },
            existing: edited(|_| ()),
            want: "gone",
        },
        Case {
            name: "no text and a hand-written object of that name",
            group: group(json!([{"name": "decode"}])),
            existing: edited(|object| object.metadata.labels = None),
            want: "settled",
        },
        Case {
            name: "no fields",
            group: group(json!([{"name": "a", "autoscaling": true}])),
            existing: None,
            want: "invalid",
        },
        Case {
            name: "a name of its own",
            group: group(json!([{"name": "a", "autoscaling": {"name": "b", "maxReplicas": 1}}])),
            existing: None,
            want: "invalid",
        },
    ];
    for Case { name, group, existing, want } in cases {
        let told = match plan(&group, existing.as_ref()) {
            Plan::Settled => "settled",
            Plan::Gone => "gone",
            Plan::Write(adoption) if adoption.restores => "restore",
            Plan::Write(_) => "write",
            Plan::Remove { .. } => "remove",
            Plan::Invalid(_) => "invalid",
        };
        assert_eq!(told, want, "{name}");
    }
}

#[test]
fn a_role_without_text_was_removed_while_another_still_has_it() {
    let both = group(json!([{"name": "a", "autoscaling": text()}, {"name": "b", "autoscaling": text()}]));
    let adopted = stored(&plan(&both, None));
    let one = group(json!([{"name": "a"}, {"name": "b", "autoscaling": text()}]));
    let rewritten = stored(&plan(&one, Some(&adopted)));
    assert_eq!(rewritten.spec.roles.len(), 1);
    assert_eq!(rewritten.spec.roles[0].name, "b");
    assert_eq!(rewritten.metadata.resource_version.as_deref(), Some("7"), "the PUT is conditional");
}
