//! What a request becomes: the queries that are sent for it, or the error that is its answer.

use crate::{
    check::{
        input::{Input, Wanted},
        report::{Outcome, RequestReport},
    },
    request::{
        CustomRequest, GroupResource, MetricRequest, ObjectName, RequestError, ResourceRequest,
        ResourceTarget,
    },
    rules::{
        id::RuleId,
        query::Escaping,
        resources::ObjectKind,
        rulebook::{Plan, Rulebook},
        usage::UsageOf,
    },
};

/// Plans one request.
pub(super) fn answer(book: &Rulebook, input: &Input, path: &str) -> RequestReport {
    let outcome = MetricRequest::parse(path).and_then(|request| match request {
        MetricRequest::Custom(request) => custom(book, input, &request),
        MetricRequest::External(request) => book.external(&request, Escaping::UPSTREAM).map(planned),
        MetricRequest::Resource(request) => usage(book, input, &request),
    });
    let outcome = outcome.unwrap_or_else(|error| Outcome::Failed { error: error.into() });
    RequestReport { path: path.to_owned(), outcome }
}

fn planned(plan: Plan) -> Outcome {
    let batch = plan.batch.map(|batch| batch.query);
    Outcome::Planned { rule: plan.rule, queries: vec![plan.query], batch }
}

fn custom(book: &Rulebook, input: &Input, request: &CustomRequest) -> Result<Outcome, RequestError> {
    let names = match &request.name {
        ObjectName::One(name) => vec![name.as_str()],
        ObjectName::All => match book.kind(&request.resource).map(ObjectKind::group_resource) {
            None => Vec::new(),
            Some(kind) => {
                let namespace = request.namespace.as_deref();
                let wanted = Wanted { kind: &kind, namespace, selector: &request.label_selector };
                input.objects(book, wanted).into_iter().map(|(_, name)| name).collect()
            }
        },
    };
    book.custom(request, &names, Escaping::UPSTREAM).map(planned)
}

/// A list of pods is asked for namespace by namespace.
fn usage(book: &Rulebook, input: &Input, request: &ResourceRequest) -> Result<Outcome, RequestError> {
    if book.rules().usage.is_none() {
        return Err(RequestError::no_such_path());
    }
    let (kind, namespace) = match &request.target {
        ResourceTarget::Nodes => ("nodes", None),
        ResourceTarget::Pods(namespace) => ("pods", namespace.as_deref()),
    };
    let listed = match &request.name {
        ObjectName::One(name) => vec![(namespace, name.as_str())],
        ObjectName::All => {
            let kind = GroupResource::new("", kind);
            let mut listed =
                input.objects(book, Wanted { kind: &kind, namespace, selector: &request.label_selector });
            listed.retain(|(_, name)| request.field_name.as_deref().is_none_or(|wanted| wanted == *name));
            listed
        }
    };
    let mut groups: Vec<(Option<&str>, Vec<&str>)> = Vec::new();
    for (namespace, name) in listed {
        let namespace = namespace.filter(|_| kind == "pods");
        match groups.iter_mut().find(|(known, _)| *known == namespace) {
            Some((_, names)) => names.push(name),
            None => groups.push((namespace, vec![name])),
        }
    }
    let mut queries = Vec::new();
    for (namespace, names) in groups {
        let of = if kind == "pods" { UsageOf::Pods(namespace.unwrap_or_default()) } else { UsageOf::Nodes };
        queries.extend(book.usage(of, &names, Escaping::UPSTREAM)?.map(|usage| usage.query));
    }
    Ok(Outcome::Planned { rule: RuleId::Usage, queries, batch: None })
}
