//! Quickest ways through the streets: A* on driving time, with the straight line at top speed as its lower bound.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::streets::{Node, Streets};

/// No street is faster, km/h; keeps the bound below the truth.
const TOP_SPEED_KMH: f64 = 120.0;

/// The nodes of the quickest way, both ends included. Just the start if it is the goal.
pub(super) fn quickest(streets: &Streets, start: Node, goal: Node) -> Vec<Node> {
    let left_us = |node: Node| travel_us(streets.place(node).distance_m(streets.place(goal)), TOP_SPEED_KMH);
    // Whole microseconds and node numbers order ties, so that the way is the same on every run.
    let mut open = BinaryHeap::from([Reverse((left_us(start), start))]);
    let mut reached = HashMap::from([(start, (0_u64, start))]);
    while let Some(Reverse((estimate, node))) = open.pop() {
        if node == goal {
            return way_back(&reached, start, goal);
        }
        let so_far = reached[&node].0;
        if estimate > so_far + left_us(node) {
            continue;
        }
        for edge in streets.edges(node) {
            let time = so_far + travel_us(edge.length_m, edge.speed_kmh);
            if reached.get(&edge.to).is_none_or(|(known, _)| time < *known) {
                reached.insert(edge.to, (time, node));
                open.push(Reverse((time + left_us(edge.to), edge.to)));
            }
        }
    }
    unreachable!("every node of the network can be reached from every other")
}

/// Microseconds for a stretch; rounded down, so that the bound never exceeds the sum of its parts by rounding.
fn travel_us(length_m: f64, speed_kmh: f64) -> u64 {
    (length_m / speed_kmh * 3.6e6) as u64
}

fn way_back(reached: &HashMap<Node, (u64, Node)>, start: Node, goal: Node) -> Vec<Node> {
    let mut way = vec![goal];
    let mut node = goal;
    while node != start {
        node = reached[&node].1;
        way.push(node);
    }
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The brute-force twin: plain Dijkstra over everything, times only.
    fn all_times(streets: &Streets, start: Node) -> Vec<u64> {
        let mut times = vec![u64::MAX; streets.len()];
        times[start as usize] = 0;
        let mut open = BinaryHeap::from([Reverse((0, start))]);
        while let Some(Reverse((time, node))) = open.pop() {
            if time > times[node as usize] {
                continue;
            }
            for edge in streets.edges(node) {
                let next = time + travel_us(edge.length_m, edge.speed_kmh);
                if next < times[edge.to as usize] {
                    times[edge.to as usize] = next;
                    open.push(Reverse((next, edge.to)));
                }
            }
        }
        times
    }

    #[test]
    fn the_quickest_way_is_as_quick_as_plain_dijkstra_says() {
        let streets = Streets::porto();
        let mut random = Random::new(5);
        let start = streets.any_node(&mut random);
        let times = all_times(&streets, start);
        for _ in 0..20 {
            let goal = streets.any_node(&mut random);
            let way = quickest(&streets, start, goal);
            let stretch = |pair: &[Node]| {
                let edge = streets.edge(pair[0], pair[1]);
                travel_us(edge.length_m, edge.speed_kmh)
            };
            let time: u64 = way.windows(2).map(stretch).sum();
            // Rounding each stretch down may mislead the bound by a microsecond each.
            assert!(time.abs_diff(times[goal as usize]) <= way.len() as u64, "{time} {}", times[goal as usize]);
        }
    }
}
