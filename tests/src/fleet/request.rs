//! [`Request`], what becomes of it ([`Completion`]) and whether that was good enough.

use super::time::SimTime;
use std::time::Duration;

/// One request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Number of the request, unique within the fleet.
    pub id: u64,
    /// Number of the load it belongs to.
    pub load: usize,
    /// When the client sent it.
    pub sent: SimTime,
    /// Prompt length, tokens, at least 1.
    pub input_tokens: u32,
    /// Answer length, tokens, at least 1.
    pub output_tokens: u32,
}

impl Request {
    /// Returns how long its first token may take: 2 s up to 4,096 prompt tokens, 1 s more per further 4,096.
    pub fn first_token_limit(&self) -> Duration {
        Duration::from_secs(2 + u64::from(self.input_tokens.saturating_sub(1) / 4096))
    }
}

/// A finished request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The request.
    pub request: Request,
    /// When its first token came out.
    pub first_token: SimTime,
    /// When its last token came out.
    pub finished: SimTime,
}

impl Completion {
    /// Returns the time to first token as the client sees it: waiting at the gateway and lost attempts count.
    pub fn ttft(&self) -> Duration {
        self.first_token.since(self.request.sent)
    }

    /// Returns the mean time per output token after the first.
    pub fn tpot(&self) -> Duration {
        self.finished.since(self.first_token) / self.request.output_tokens.saturating_sub(1).max(1)
    }

    /// Reports whether the request met the objective.
    ///
    /// First token within 2 s up to 4,096 prompt tokens and 1 s more per further 4,096; on average at most 100 ms per token.
    pub fn meets_objective(&self) -> bool {
        let further = self.request.input_tokens.saturating_sub(1) / 4096;
        self.ttft() <= Duration::from_secs(2 + u64::from(further))
            && self.tpot() <= Duration::from_millis(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objective_grows_with_the_prompt() {
        struct Case {
            name: &'static str,
            input_tokens: u32,
            ttft: f64,
            end: f64,
            want: bool,
        }
        for case in [
            Case { name: "in time", input_tokens: 100, ttft: 2.0, end: 12.0, want: true },
            Case { name: "first token late", input_tokens: 4096, ttft: 2.1, end: 12.0, want: false },
            Case { name: "longer prompt", input_tokens: 4097, ttft: 3.0, end: 12.0, want: true },
            Case { name: "very long prompt", input_tokens: 40_000, ttft: 11.0, end: 12.0, want: true },
            Case { name: "tokens slow", input_tokens: 100, ttft: 1.0, end: 11.1, want: false },
        ] {
            let request = Request {
                id: 1,
                load: 0,
                sent: SimTime::ZERO,
                input_tokens: case.input_tokens,
                output_tokens: 101,
            };
            let completion = Completion {
                request,
                first_token: SimTime::from_seconds(case.ttft),
                finished: SimTime::from_seconds(case.end),
            };
            assert_eq!(completion.meets_objective(), case.want, "{}", case.name);
        }
    }
}
