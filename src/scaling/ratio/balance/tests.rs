use proptest::prelude::*;

use super::*;

#[expect(clippy::unnecessary_wraps, reason = "a side of a role that takes part")]
fn side(replicas: u32, gang: u32, low: u32, high: u32) -> Option<Side> {
    Some(Side {
        replicas: Replicas::new(replicas),
        gang: GangSize::new(gang).expect("not zero"),
        low: Replicas::new(low),
        high: Replicas::new(high),
    })
}

fn ratio(first: usize, second: usize, min: Option<(u32, u32)>, max: Option<(u32, u32)>) -> Ratio {
    let bound = |(first, second)| RatioBound { first, second };
    Ratio { first, second, min: min.map(bound), max: max.map(bound) }
}

fn counts(balance: &Balance) -> Vec<u32> {
    balance.sides.iter().flatten().map(|side| side.replicas.get()).collect()
}

#[test]
fn poor_sides_are_raised_and_rich_sides_lowered() {
    struct Case {
        name: &'static str,
        sides: Vec<Option<Side>>,
        ratios: Vec<Ratio>,
        raised: &'static [u32],
        lowered: &'static [u32],
    }
    let at_most_one = ratio(0, 1, None, Some((1, 1)));
    let lockstep = ratio(0, 1, Some((1, 2)), Some((1, 2)));
    let cases = [
        Case {
            name: "decode follows prefill in whole gangs",
            sides: vec![side(22, 1, 0, 100), side(20, 4, 0, 100)],
            ratios: vec![at_most_one],
            raised: &[22, 24],
            lowered: &[22, 24],
        },
        Case {
            name: "a poor side at its maximum lowers the rich one",
            sides: vec![side(24, 1, 0, 100), side(20, 4, 0, 20)],
            ratios: vec![at_most_one],
            raised: &[24, 20],
            lowered: &[20, 20],
        },
        Case {
            name: "a rich side is not lowered below its low mark",
            sides: vec![side(24, 4, 23, 100), side(20, 4, 0, 20)],
            ratios: vec![at_most_one],
            raised: &[24, 20],
            lowered: &[24, 20],
        },
        Case {
            name: "lockstep",
            sides: vec![side(3, 1, 0, 10), side(8, 2, 0, 40)],
            ratios: vec![lockstep],
            raised: &[4, 8],
            lowered: &[4, 8],
        },
        Case {
            name: "lockstep where one side is stuck",
            sides: vec![side(3, 1, 0, 3), side(8, 2, 0, 40)],
            ratios: vec![lockstep],
            raised: &[3, 8],
            lowered: &[3, 6],
        },
        Case {
            name: "nothing to nothing satisfies",
            sides: vec![side(0, 1, 0, 10), side(0, 1, 0, 10)],
            ratios: vec![lockstep],
            raised: &[0, 0],
            lowered: &[0, 0],
        },
        Case {
            name: "one to nothing does not",
            sides: vec![side(1, 1, 0, 10), side(0, 4, 0, 10)],
            ratios: vec![ratio(0, 1, Some((1, 4)), Some((1, 1)))],
            raised: &[1, 4],
            lowered: &[1, 4],
        },
        Case {
            name: "a role that takes no part suspends its ratio",
            sides: vec![side(5, 1, 0, 10), None],
            ratios: vec![at_most_one],
            raised: &[5],
            lowered: &[5],
        },
        Case {
            name: "a chain is followed to its end and back",
            sides: vec![side(8, 1, 0, 10), side(4, 1, 0, 10), side(4, 1, 0, 5)],
            ratios: vec![ratio(0, 1, None, Some((1, 1))), ratio(1, 2, None, Some((1, 1)))],
            raised: &[8, 8, 5],
            lowered: &[5, 5, 5],
        },
        Case {
            name: "a count off the grid is not raised for nothing",
            sides: vec![side(5, 4, 0, 100), side(5, 4, 0, 100)],
            ratios: vec![at_most_one],
            raised: &[5, 5],
            lowered: &[5, 5],
        },
    ];
    for Case { name, sides, ratios, raised, lowered } in cases {
        let mut balance = Balance::new(&ratios, sides);
        assert!(balance.raise(), "{name}");
        assert_eq!(counts(&balance), raised, "{name}: raised");
        balance.lower();
        assert_eq!(counts(&balance), lowered, "{name}: lowered");
    }
}

#[test]
fn contradicting_rings_end() {
    let most = u32::MAX;
    let ring = [
        ratio(0, 1, Some((9998, 9999)), None),
        ratio(1, 2, Some((9998, 9997)), None),
        ratio(2, 0, Some((1, 1)), None),
    ];
    let mut balance =
        Balance::new(&ring, vec![side(1, 1, 0, most), side(1, 1, 0, most), side(1, 1, 0, most)]);
    assert!(!balance.raise(), "gives up");
    assert_eq!(counts(&balance), [1, 1, 1], "asks for nothing");
    let mut balance =
        Balance::new(&ring, vec![side(most, 1, 0, most), side(most, 1, 0, most), side(most, 1, 0, most)]);
    balance.lower();
    assert!(balance.side(0).is_some_and(|side| side.replicas.get() < most));
}

/// Up to three roles of at most 12 replicas, off the grid too, and up to four bounds between them.
fn small() -> impl Strategy<Value = (Vec<Option<Side>>, Vec<Ratio>)> {
    let one = (0..=12_u32, 1..=4_u32, 0..=12_u32, 0..=12_u32)
        .prop_map(|(replicas, gang, low, high)| side(replicas, gang, low, high));
    let bound = || prop::option::of((1..=3_u32, 1..=3_u32));
    let pair = (0..3_usize, 1..3_usize, bound(), bound())
        .prop_map(|(a, step, min, max)| ratio(a, (a + step) % 3, min, max));
    (prop::collection::vec(one, 3), prop::collection::vec(pair, 0..=4))
}

/// Every vector of counts a role may take on its way up (or down): where it stands, the whole gangs beyond, and the mark
/// at which it is stuck.
fn reachable(side: Side, up: bool) -> (Vec<u32>, u32) {
    let at = side.replicas.get();
    let stuck = if up {
        side.gang.floor_to_gang(side.high).get().max(at)
    } else {
        side.gang.ceil_to_gang(side.low).get().min(at)
    };
    let range = if up { at..=stuck } else { stuck..=at };
    let grid =
        range.filter(|count| *count == at || *count == stuck || count % side.gang.get() == 0).collect();
    (grid, stuck)
}

/// All vectors in which every demand is met or its side that would have to move is stuck.
fn settled(balance: &Balance, up: bool) -> Vec<Vec<u32>> {
    let mut vectors = vec![Vec::new()];
    for side in balance.sides.iter().flatten() {
        let (grid, _) = reachable(*side, up);
        vectors = vectors
            .iter()
            .flat_map(|head: &Vec<u32>| grid.iter().map(|count| [head.as_slice(), &[*count]].concat()))
            .collect();
    }
    vectors.retain(|vector| {
        balance.demands().iter().all(|demand| {
            let mover = if up { demand.poor } else { demand.rich };
            let (_, stuck) = reachable(balance.side(mover).expect("takes part"), up);
            demand.holds(Replicas::new(vector[demand.poor]), Replicas::new(vector[demand.rich]))
                || vector[mover] == stuck
        })
    });
    vectors
}

/// Checks both passes against the extreme of all settled vectors, and that a second run moves nothing.
fn assert_extreme(balance: &Balance) {
    for up in [true, false] {
        let mut balance = balance.clone();
        let settled = settled(&balance, up);
        let run = |balance: &mut Balance| if up { assert!(balance.raise()) } else { balance.lower() };
        run(&mut balance);
        let best: Vec<u32> = (0..balance.sides.len())
            .map(|role| {
                let column = settled.iter().map(|vector| vector[role]);
                if up { column.min() } else { column.max() }.expect("the stuck vector is settled")
            })
            .collect();
        assert_eq!(counts(&balance), best, "up: {up}, {balance:?}");
        run(&mut balance);
        assert_eq!(counts(&balance), best, "again, up: {up}, {balance:?}");
    }
}

#[test]
fn every_small_pair_is_balanced() {
    const BOUNDS: [Option<(u32, u32)>; 5] = [None, Some((1, 1)), Some((1, 2)), Some((2, 1)), Some((3, 2))];
    let sides = |gang: u32| {
        let marks = [(0, 6), (3, 4)];
        (0..=6).flat_map(move |count| marks.map(|(low, high)| side(count, gang, low, high)))
    };
    for (min, max) in BOUNDS.iter().flat_map(|min| BOUNDS.map(|max| (*min, max))) {
        for (first_gang, second_gang) in [(1, 1), (1, 2), (2, 1), (2, 3), (3, 3), (4, 1)] {
            for first in sides(first_gang) {
                for second in sides(second_gang) {
                    assert_extreme(&Balance::new(&[ratio(0, 1, min, max)], vec![first, second]));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn both_passes_find_the_one_extreme_answer_whatever_the_order(
        (sides, ratios) in small(), shuffle in 0..24_usize,
    ) {
        let balance = Balance::new(&ratios, sides.clone());
        assert_extreme(&balance);
        for up in [true, false] {
            let run = |balance: &mut Balance| if up { assert!(balance.raise()) } else { balance.lower() };
            let mut order: Vec<_> = ratios.clone();
            if !order.is_empty() {
                let len = order.len();
                order.rotate_left(shuffle % len);
                if shuffle % 2 == 1 {
                    order.reverse();
                }
            }
            let (mut given, mut shuffled) = (balance.clone(), Balance::new(&order, sides.clone()));
            run(&mut given);
            run(&mut shuffled);
            prop_assert_eq!(counts(&shuffled), counts(&given), "another order of pairs");
        }
    }
}
