//! [`Accept`]: which of the forms that we can write a client takes.

/// What a client takes, from its `Accept` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Plain JSON.
    Json,
    /// Aggregated discovery in this version of apidiscovery.k8s.io.
    Aggregated(&'static str),
    /// Nothing that we can write: 406.
    Nothing,
}

impl Accept {
    /// Returns the first form a client names that we can write; aggregated discovery only counts where `aggregates` says so.
    ///
    /// Tables are not written, so a client that prefers them gets the plain JSON that it names behind them.
    pub fn of(header: Option<&str>, aggregates: bool) -> Self {
        let Some(header) = header.filter(|header| !header.trim().is_empty()) else { return Self::Json };
        for range in header.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            if !matches!(media.as_str(), "application/json" | "application/*" | "*/*") {
                continue;
            }
            let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let parameter = |wanted: &str| {
                parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
            };
            match (parameter("as"), parameter("v")) {
                (None, _) => return Self::Json,
                (Some("APIGroupDiscoveryList"), Some("v2")) if aggregates => return Self::Aggregated("v2"),
                (Some("APIGroupDiscoveryList"), Some("v2beta1")) if aggregates => {
                    return Self::Aggregated("v2beta1");
                }
                _ => {}
            }
        }
        Self::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_form_that_can_be_written() {
        const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        const BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        let both = format!("{AGGREGATED},{BETA},application/json");
        for (header, aggregates, want) in [
            (None, true, Accept::Json),
            (Some(""), false, Accept::Json),
            (Some("application/json"), true, Accept::Json),
            (Some("application/vnd.kubernetes.protobuf, */*"), false, Accept::Json),
            (Some("application/vnd.kubernetes.protobuf,application/json"), false, Accept::Json),
            (Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), false, Accept::Json),
            (Some("application/json;as=Table;v=v1;g=meta.k8s.io"), false, Accept::Nothing),
            (Some("application/yaml"), false, Accept::Nothing),
            (Some("text/html, application/json;q=0.9"), false, Accept::Json),
            (Some(AGGREGATED), true, Accept::Aggregated("v2")),
            (Some(BETA), true, Accept::Aggregated("v2beta1")),
            (Some(AGGREGATED), false, Accept::Nothing),
            (Some(both.as_str()), true, Accept::Aggregated("v2")),
            (Some(both.as_str()), false, Accept::Json),
        ] {
            assert_eq!(Accept::of(header, aggregates), want, "{header:?} {aggregates}");
        }
    }
}
