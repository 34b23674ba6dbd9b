//! The policy of tries: how many, and the waits between them.

use drover_dead::Tries;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

#[test]
fn there_are_four_tries_and_no_more() {
    let mut tries = Tries::new(FIRST, LONGEST);
    let mut counted = vec![tries.attempts()];
    while tries.next().is_some() {
        counted.push(tries.attempts());
    }
    assert_eq!(counted, [1, 2, 3, 4]);
    assert_eq!((tries.next(), tries.attempts()), (None, 4));
}

#[test]
fn each_wait_is_between_half_and_the_whole_of_twice_the_one_before() {
    for seed in 0..1000 {
        for (n, wait) in Tries::seeded(FIRST, LONGEST, seed).enumerate() {
            let whole = FIRST * (1 << n);
            assert!(whole / 2 <= wait && wait <= whole, "{wait:?} after {n} waits");
        }
    }
}

#[test]
fn no_wait_is_longer_than_the_longest() {
    let longest = Duration::from_millis(700);
    let waits: Vec<Duration> = Tries::seeded(FIRST, longest, 1).collect();
    assert_eq!(waits.len(), 3);
    assert!(waits[1..].iter().all(|wait| longest / 2 <= *wait && *wait <= longest), "{waits:?}");
    assert_eq!(Tries::new(Duration::MAX, Duration::from_secs(1)).filter(|wait| wait.as_secs() > 1).count(), 0);
    assert_eq!(Tries::new(Duration::ZERO, LONGEST).collect::<Vec<_>>(), [Duration::ZERO; 3]);
}

#[test]
fn waits_are_spread_over_their_whole_range() {
    const PARTS: usize = 10;
    let mut parts = [0; PARTS];
    for seed in 0..1000 {
        let wait = Tries::seeded(FIRST, LONGEST, seed).next().unwrap();
        let share = (wait.as_secs_f64() / FIRST.as_secs_f64() - 0.5) * 2.0;
        parts[((share * PARTS as f64) as usize).min(PARTS - 1)] += 1;
    }
    assert!(parts.iter().all(|count| (50..=150).contains(count)), "{parts:?}");
}

#[test]
fn a_seed_gives_the_same_waits_and_without_one_they_differ() {
    let waits = |seed| Tries::seeded(FIRST, LONGEST, seed).collect::<Vec<_>>();
    assert_eq!(waits(7), waits(7));
    assert_ne!(waits(7), waits(8));
    let firsts: Vec<Duration> = (0..20).filter_map(|_| Tries::new(FIRST, LONGEST).next()).collect();
    assert!(firsts.iter().any(|wait| *wait != firsts[0]));
}
