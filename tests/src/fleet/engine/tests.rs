use proptest::prelude::*;
use std::time::Duration;

use super::*;

const BUCKETS: Buckets = Buckets {
    first_token: &[],
    inter_token: &[],
    whole: &[],
    queue: &[],
    phase: &[],
    tokens: &[],
    step: &[],
};

fn request(id: u64, sent: SimTime, input_tokens: u32, output_tokens: u32) -> Request {
    Request { id, load: 0, sent, input_tokens, output_tokens }
}

fn finish(engine: &mut Engine) -> Vec<Completion> {
    let mut finished = Vec::new();
    engine.advance(SimTime::from_nanos(u64::MAX), &mut finished);
    finished
}

#[test]
fn one_request_takes_prefill_and_one_step_per_further_token() {
    let model = Model::LLAMA_70B_TP4;
    let mut engine = Engine::new(model, &BUCKETS);
    engine.enqueue(request(1, SimTime::ZERO, 1000, 3), SimTime::ZERO).expect("fits");
    assert_eq!((engine.running(), engine.waiting(), engine.kv_tokens()), (1, 0, 0));
    let finished = finish(&mut engine);

    let step = model.step_nanos + model.sequence_nanos;
    let first_token = step + 1000 * model.prefill_nanos;
    let rest = 2 * step + (1000 + 1001) * model.kv_nanos;
    assert_eq!(finished.len(), 1);
    assert_eq!(finished[0].first_token, SimTime::from_nanos(first_token));
    assert_eq!(finished[0].finished, SimTime::from_nanos(first_token + rest));
}

#[test]
fn prompts_are_chunked_while_others_decode() {
    let model = Model::LLAMA_70B_TP4;
    let mut engine = Engine::new(model, &BUCKETS);
    engine.enqueue(request(1, SimTime::ZERO, 10, 1000), SimTime::ZERO).expect("fits");
    let mut finished = Vec::new();
    let later = SimTime::from_seconds(1.0);
    engine.advance(later, &mut finished);
    engine.enqueue(request(2, later, 512 * 3, 2), later).expect("fits");
    let first = engine.statistics().first_token.count();
    let mut now = later;
    let mut longest = Duration::ZERO;
    while engine.statistics().first_token.count() == first {
        let before = engine.statistics().generated_tokens;
        let began = now;
        while engine.statistics().generated_tokens == before {
            now = now.plus(Duration::from_millis(1));
            engine.advance(now, &mut finished);
        }
        longest = longest.max(now.since(began));
    }
    assert!(longest < Duration::from_millis(100), "a mixed step stays under 100 ms, not {longest:?}");
    assert!(now.since(later) > Duration::from_nanos(512 * 3 * model.prefill_nanos));
}

#[test]
fn first_come_first_served() {
    let mut engine = Engine::new(Model::LLAMA_70B_TP4, &BUCKETS);
    for id in 0..40 {
        engine.enqueue(request(id, SimTime::ZERO, 3000, 50), SimTime::ZERO).expect("fits");
    }
    assert!(engine.waiting() > 30, "the rest waits for prefill, {} waiting", engine.waiting());
    let mut finished = finish(&mut engine);
    finished.sort_by_key(|completion| completion.request.id);
    assert!(finished.is_sorted_by_key(|completion| completion.first_token), "ordered by first token");
}

#[test]
fn refuses_what_can_never_fit() {
    let mut engine = Engine::new(Model::LLAMA_8B, &BUCKETS);
    let too_long = request(1, SimTime::ZERO, 419_000, 2000);
    assert_eq!(engine.enqueue(too_long, SimTime::ZERO), Err(too_long));
    assert_eq!(engine.pending_work(), 0);
}

#[test]
fn abandoning_returns_every_request() {
    let mut engine = Engine::new(Model::LLAMA_70B_TP4, &BUCKETS);
    for id in 0..300 {
        engine.enqueue(request(id, SimTime::ZERO, 1000, 200), SimTime::ZERO).expect("fits");
    }
    let mut finished = Vec::new();
    engine.advance(SimTime::from_seconds(20.0), &mut finished);
    assert!(engine.running() > 0 && engine.waiting() > 0 && !finished.is_empty(), "some of each kind");
    let mut ids: Vec<u64> = engine.abandon().iter().map(|request| request.id).collect();
    ids.extend(finished.iter().map(|completion| completion.request.id));
    ids.sort_unstable();
    assert_eq!(ids, (0..300).collect::<Vec<u64>>());
    assert_eq!((engine.running(), engine.waiting(), engine.kv_tokens(), engine.pending_work()), (0, 0, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever arrives, nothing is lost, tokens are conserved and the KV cache never overflows.
    #[test]
    fn conserves_requests_and_tokens(
        arrivals in prop::collection::vec((0_u64..3_000, 1_u32..60_000, 1_u32..2_000), 1..200),
        tick_millis in 1_u64..5_000,
    ) {
        let model = Model { max_running: 32, ..Model::LLAMA_70B_TP4 };
        let mut engine = Engine::new(model, &BUCKETS);
        let mut finished = Vec::new();
        let mut now = SimTime::ZERO;
        for (id, (gap, input, output)) in arrivals.iter().enumerate() {
            now = now.plus(Duration::from_millis(*gap));
            engine.advance(now, &mut finished);
            engine.enqueue(request(u64::try_from(id).expect("small"), now, *input, *output), now).expect("fits");
        }
        while engine.running() + engine.waiting() > 0 {
            now = now.plus(Duration::from_millis(tick_millis));
            engine.advance(now, &mut finished);
            prop_assert!(engine.kv_tokens() <= model.kv_capacity);
            prop_assert!(engine.running() <= model.max_running);
        }
        let input: u64 = arrivals.iter().map(|(_, input, _)| u64::from(*input)).sum();
        let output: u64 = arrivals.iter().map(|(_, _, output)| u64::from(*output)).sum();
        let statistics = engine.statistics();
        prop_assert_eq!(finished.len(), arrivals.len());
        prop_assert_eq!(statistics.prompt_tokens, input);
        prop_assert_eq!(statistics.prefilled_tokens, input);
        prop_assert_eq!(statistics.generated_tokens, output);
        prop_assert_eq!(statistics.inter_token.count(), output - u64::try_from(arrivals.len()).expect("small"));
        prop_assert_eq!((engine.kv_tokens(), engine.pending_work()), (0, 0));
        prop_assert!(finished.is_sorted_by_key(|completion| completion.finished));
        prop_assert!(finished.iter().all(|completion| completion.request.sent < completion.first_token));
    }

    /// How often the engine is advanced changes nothing.
    #[test]
    fn ticks_do_not_matter(tick_millis in 1_u64..2_000) {
        let run = |tick: u64| {
            let mut engine = Engine::new(Model::LLAMA_8B, &BUCKETS);
            for id in 0..100 {
                let tokens = u32::try_from(id * 37 % 900 + 1).expect("small");
                engine.enqueue(request(id, SimTime::ZERO, tokens * 3, tokens), SimTime::ZERO).expect("fits");
            }
            let mut finished = Vec::new();
            let mut now = SimTime::ZERO;
            while engine.running() + engine.waiting() > 0 {
                now = now.plus(Duration::from_millis(tick));
                engine.advance(now, &mut finished);
            }
            finished
        };
        prop_assert_eq!(run(tick_millis), run(1_000_000));
    }
}
