//! `OpenAPI` documents: short ones, because kube-apiserver merges them and logs an error every minute where there are none.

use serde_json::{Value, json};

/// Returns the document behind a path, if it is one of those of `OpenAPI` and the group versions given are served.
pub fn document(segments: &[String], served: &[String]) -> Option<Value> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let info = json!({"title": "rbg-metrics-adapter", "version": "v1"});
    match *segments.as_slice() {
        ["openapi", "v2"] => Some(json!({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}})),
        ["openapi", "v3"] => {
            let paths: serde_json::Map<_, _> = served
                .iter()
                .map(|version| {
                    let url = format!("/openapi/v3/apis/{version}");
                    (format!("apis/{version}"), json!({"serverRelativeURL": url}))
                })
                .collect();
            Some(json!({"paths": paths}))
        }
        ["openapi", "v3", "apis", group, version] => {
            let is_served = served.iter().any(|known| *known == format!("{group}/{version}"));
            is_served.then(
                || json!({"openapi": "3.0.0", "info": info, "paths": {}, "components": {"schemas": {}}}),
            )
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::target::Target;

    #[test]
    fn lists_what_is_served() {
        let served = ["custom.metrics.k8s.io/v1beta1".to_owned()];
        let of = |path: &str| document(Target::parse(path).expect("parses").segments(), &served);
        assert_eq!(
            of("/openapi/v3"),
            Some(json!({"paths": {"apis/custom.metrics.k8s.io/v1beta1":
                {"serverRelativeURL": "/openapi/v3/apis/custom.metrics.k8s.io/v1beta1"}}}))
        );
        assert!(of("/openapi/v2").is_some());
        assert!(of("/openapi/v3/apis/custom.metrics.k8s.io/v1beta1").is_some());
        assert_eq!(of("/openapi/v3/apis/custom.metrics.k8s.io/v1"), None);
        assert_eq!(of("/openapi"), None);
    }
}
