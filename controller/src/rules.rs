//! [`RulesFile`]: the user's own signals, from the file that the adapter reads as well; followed while the program runs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rbg_autoscaler::metrics::{Signal, collector::Collector, plain::PlainRules};
use tracing::{error, info};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A file with rules of the form `{name, query, per: pod}`.
#[derive(Debug)]
pub struct RulesFile {
    path: PathBuf,
    built_in: Vec<Arc<Signal>>,
    /// What was read last, usable or not; `None` before the first look.
    tried: Option<Result<String, String>>,
}

impl RulesFile {
    /// Returns a file that has not been read yet; its signals stand beside the built-in ones.
    pub fn new(path: PathBuf, built_in: Vec<Arc<Signal>>) -> Self {
        Self { path, built_in, tried: None }
    }

    /// Reads the file if it has changed, and returns all signals then. A file that cannot be used changes nothing; a bad rule is left
    /// out alone.
    pub fn changed(&mut self) -> Option<Vec<Arc<Signal>>> {
        let read = std::fs::read_to_string(&self.path).map_err(|error| error.to_string());
        if self.tried.as_ref() == Some(&read) {
            return None;
        }
        let file = self.path.display();
        let rules = read
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|text| PlainRules::read(text).map_err(|error| error.to_string()));
        let signals = match rules {
            Ok(rules) => {
                for (rule, why) in &rules.left_out {
                    error!(%file, rule, why, "rule left out");
                }
                info!(%file, signals = rules.signals.len(), left_out = rules.left_out.len(), of_the_adapter = rules.others, "rules read");
                let own = rules.signals.into_iter().map(Arc::new);
                Some(self.built_in.iter().cloned().chain(own).collect())
            }
            Err(error) => {
                error!(%file, error, "signals kept as they were: the file of rules cannot be used");
                None
            }
        };
        self.tried = Some(read);
        signals
    }

    /// Keeps the collector's signals as the file says, until dropped.
    pub async fn follow(mut self, collector: Collector) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(signals) = self.changed() {
                collector.set_signals(signals);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rbg_autoscaler::metrics::catalog;

    use super::*;

    #[test]
    fn the_file_is_read_when_it_changes() {
        let folder = std::env::temp_dir().join(format!("rbga-rules-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("rules.yaml");
        let built_in = catalog::built_in(catalog::RATE_WINDOW);
        let count = built_in.len();
        let mut file = RulesFile::new(path.clone(), built_in);
        assert!(file.changed().is_none(), "no file yet");
        std::fs::write(&path, "rules: [{name: own, query: x}, {name: bad}, {name: worse, query: ''}]")
            .expect("written");
        let signals = file.changed().expect("changed");
        assert_eq!((signals.len(), signals[count].name.as_str()), (count + 1, "own"));
        assert!(file.changed().is_none(), "nothing new");
        std::fs::write(&path, "rules: [").expect("written");
        assert!(file.changed().is_none(), "not usable");
        std::fs::write(&path, "rules: []").expect("written");
        assert_eq!(file.changed().map(|signals| signals.len()), Some(count));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
