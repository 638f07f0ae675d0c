//! [`AccessReview`]: the API server's own answer, by `SubjectAccessReview`.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use crate::{
    authentication::User,
    authorization::{Attributes, Reviewer, Verdict},
};

/// How long the API server's answer is awaited.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the API server; needs the cluster role `system:auth-delegator`.
pub struct AccessReview {
    reviews: Api<SubjectAccessReview>,
}

impl AccessReview {
    /// Returns a reviewer that asks through a client.
    pub fn new(client: Client) -> Self {
        Self { reviews: Api::all(client) }
    }
}

impl Reviewer for AccessReview {
    fn review<'a>(
        &'a self,
        user: &'a User,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Verdict, String>> {
        async move {
            let review =
                SubjectAccessReview { spec: spec(user, attributes), ..SubjectAccessReview::default() };
            let params = PostParams::default();
            let answer = tokio::time::timeout(PATIENCE, self.reviews.create(&params, &review))
                .await
                .map_err(|_| format!("SubjectAccessReview: no answer within {} s", PATIENCE.as_secs()))?
                .map_err(|error| format!("SubjectAccessReview: {error}"))?;
            let status = answer.status.unwrap_or_default();
            if status.allowed {
                return Ok(Verdict::Allowed);
            }
            Ok(Verdict::Denied(status.reason.unwrap_or_default()))
        }
        .boxed()
    }
}

fn spec(user: &User, attributes: &Attributes) -> SubjectAccessReviewSpec {
    let mut spec = SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        uid: user.uid.clone(),
        groups: Some(user.groups.clone()),
        extra: Some(user.extra.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    match attributes {
        Attributes::Path(path) => {
            spec.non_resource_attributes =
                Some(NonResourceAttributes { path: Some(path.clone()), verb: Some("get".to_owned()) });
        }
        Attributes::Resource { verb, group, version, namespace, resource, subresource, name } => {
            let some = |text: &String| (!text.is_empty()).then(|| text.clone());
            spec.resource_attributes = Some(ResourceAttributes {
                verb: Some((*verb).to_owned()),
                group: some(group),
                version: some(version),
                namespace: some(namespace),
                resource: some(resource),
                subresource: some(subresource),
                name: some(name),
                ..ResourceAttributes::default()
            });
        }
    }
    spec
}
