//! The metrics of a gateway: the endpoint picker of the Gateway API inference extension, with flow control on.
//!
//! It runs no model. Its queue holds what no replica takes yet, so it is what can be asked while all replicas sleep.

use super::{
    Reading,
    page::{Labels, Page, float},
};

/// Bytes of a request's body per prompt token, about.
const BYTES_PER_TOKEN: f64 = 4.0;

pub(super) fn metrics(reading: &Reading) -> String {
    let model: Labels<'_> = &[("model_name", reading.model_name), ("target_model_name", reading.model_name)];
    let flow: Labels<'_> =
        &[("fairness_id", "default-flow"), ("inference_pool", "engines"), ("priority", "0")];
    let mut page = Page::default();
    page.gauge(
        "inference_extension_flow_control_queue_size",
        "Requests held by flow control.",
        flow,
        reading.queue_length,
    );
    page.gauge(
        "inference_extension_flow_control_queue_bytes",
        "Bytes of the requests held by flow control.",
        flow,
        reading.pending_tokens * BYTES_PER_TOKEN,
    );
    page.gauge(
        "inference_objective_running_requests",
        "Requests that were sent to a replica and are not answered yet.",
        model,
        reading.running_requests,
    );
    page.counter(
        "inference_objective_request",
        "Requests that arrived.",
        model,
        float(reading.statistics.finished),
        None,
    );
    page.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{exposition::Dialect, statistics::Statistics};

    #[test]
    fn prints_what_flow_control_holds() {
        let mut statistics = Statistics::new(Dialect::Gateway.buckets());
        statistics.finished = 9;
        let reading = Reading {
            model_name: "m",
            queue_length: 3.0,
            running_requests: 2.0,
            kv_cache_usage: 0.0,
            kv_capacity: 0,
            pending_tokens: 100.0,
            generation_throughput: 0.0,
            created: 0.0,
            statistics,
        };
        let page = metrics(&reading);
        let flow = r#"{fairness_id="default-flow",inference_pool="engines",priority="0"}"#;
        for line in [
            format!("inference_extension_flow_control_queue_size{flow} 3.0"),
            format!("inference_extension_flow_control_queue_bytes{flow} 400.0"),
            r#"inference_objective_running_requests{model_name="m",target_model_name="m"} 2.0"#.to_owned(),
            r#"inference_objective_request_total{model_name="m",target_model_name="m"} 9.0"#.to_owned(),
        ] {
            assert!(page.lines().any(|other| other == line), "{line} is missing in {page}");
        }
    }
}
