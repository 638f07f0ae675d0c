//! [`Scraper`]: reads the metrics of one pod, keeping only the lines that somebody wants.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, header, redirect::Policy};

use crate::metrics::{ScrapeError, direct::Wanted, innermost};

/// More of a page than this is not read.
const LARGEST_PAGE: usize = 32 * 1024 * 1024;
/// More of a page than this is not kept.
const LARGEST_REST: usize = 1024 * 1024;
/// A line longer than this is no metric.
const LONGEST_LINE: usize = 64 * 1024;
/// Both formats are read; the plain one is the shorter.
const ACCEPT: &str =
    "text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";

/// Reads metrics pages.
pub(super) struct Scraper {
    client: Client,
    wanted: Arc<Wanted>,
    timeout: Duration,
}

/// The lines of a page that somebody wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) text: String,
    pub(super) is_open_metrics: bool,
}

/// Sifts a page as it comes, so that no page is ever whole in memory.
struct Sieve<'a> {
    wanted: &'a Wanted,
    kept: Vec<u8>,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
    lines: usize,
}

impl Scraper {
    /// Returns a scraper. Pods' certificates are seldom signed by anybody, so they are not checked, as with Prometheus' usual
    /// configuration for pods. Errors: the system gives no TLS or no sockets.
    pub(super) fn new(wanted: Arc<Wanted>, timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(1)
            .tls_danger_accept_invalid_certs(true)
            .build()?;
        Ok(Self { client, wanted, timeout })
    }

    /// Reads a page.
    pub(super) async fn scrape(&self, url: &str) -> Result<Rest, ScrapeError> {
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                ScrapeError::Timeout(self.timeout)
            } else {
                ScrapeError::Unreachable(innermost(&error))
            }
        };
        let mut response =
            self.client.get(url).header(header::ACCEPT, ACCEPT).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(ScrapeError::Status(response.status().as_u16()));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_open_metrics =
            content_type.is_some_and(|kind| kind.trim_start().starts_with("application/openmetrics-text"));
        let mut sieve = Sieve { wanted: &self.wanted, kept: Vec::new(), begun: Vec::new(), lines: 0 };
        let mut size = 0;
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            size += chunk.len();
            if size > LARGEST_PAGE {
                return Err(ScrapeError::TooLarge(LARGEST_PAGE));
            }
            sieve.take(&chunk)?;
        }
        Ok(Rest { text: sieve.end()?, is_open_metrics })
    }
}

impl Sieve<'_> {
    fn take(&mut self, chunk: &[u8]) -> Result<(), ScrapeError> {
        let mut lines = chunk.split_inclusive(|byte| *byte == b'\n');
        if !self.begun.is_empty()
            && let Some(first) = lines.next()
        {
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(first);
            self.part(&line)?;
        }
        lines.try_for_each(|line| self.part(line))
    }

    /// A line, or the beginning of one.
    fn part(&mut self, line: &[u8]) -> Result<(), ScrapeError> {
        if line.ends_with(b"\n") {
            return self.line(line);
        }
        if line.len() > LONGEST_LINE {
            return Err(ScrapeError::Unreadable("a line without end"));
        }
        self.begun = line.to_vec();
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), ScrapeError> {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        self.lines += 1;
        let name = line.split(|byte| matches!(byte, b'{' | b' ' | b'\t')).next().unwrap_or_default();
        if !str::from_utf8(name).is_ok_and(|name| self.wanted.has(name)) {
            return Ok(());
        }
        self.kept.extend_from_slice(line);
        self.kept.push(b'\n');
        if self.kept.len() > LARGEST_REST {
            return Err(ScrapeError::TooLarge(LARGEST_REST));
        }
        Ok(())
    }

    fn end(mut self) -> Result<String, ScrapeError> {
        let last = std::mem::take(&mut self.begun);
        self.line(&last)?;
        if self.lines == 0 {
            return Err(ScrapeError::Unreadable("no metrics in it"));
        }
        String::from_utf8(self.kept).map_err(|_| ScrapeError::Unreadable("it is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalog;

    fn sifted(page: &str, chunk: usize) -> Result<String, ScrapeError> {
        let signals = catalog::built_in(catalog::RATE_WINDOW);
        let wanted = Wanted::new(signals.iter().map(AsRef::as_ref));
        let mut sieve = Sieve { wanted: &wanted, kept: Vec::new(), begun: Vec::new(), lines: 0 };
        page.as_bytes().chunks(chunk).try_for_each(|chunk| sieve.take(chunk))?;
        sieve.end()
    }

    #[test]
    fn only_what_is_wanted_is_kept_wherever_the_page_is_cut() {
        let page = "# HELP x y\nx 1\nvllm:num_requests_waiting{engine=\"0\"} 4\n\nvllm:other 3\r\nvllm:num_requests_running 2";
        for chunk in 1..page.len() {
            let kept = sifted(page, chunk).expect("a page");
            assert_eq!(
                kept, "vllm:num_requests_waiting{engine=\"0\"} 4\nvllm:num_requests_running 2\n",
                "{chunk}"
            );
        }
    }

    #[test]
    fn what_is_no_page_is_refused() {
        assert_eq!(sifted("", 10), Err(ScrapeError::Unreadable("no metrics in it")));
        assert_eq!(sifted(&"x".repeat(200_000), 1000), Err(ScrapeError::Unreadable("a line without end")));
        let long = "vllm:num_requests_waiting{a=\"0123456789\"} 4\n".repeat(30_000);
        assert_eq!(sifted(&long, 4096), Err(ScrapeError::TooLarge(LARGEST_REST)));
    }
}
