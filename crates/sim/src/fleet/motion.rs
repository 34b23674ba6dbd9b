//! Driving along a route: up to the street's speed with a driver's acceleration, down in time for turns and for the
//! end.

use super::streets::{Node, Streets};
use crate::ground::{Place, turn_deg};

/// Metres per second, per second.
const ACCELERATION: f64 = 1.4;
const BRAKING: f64 = 2.0;
/// Slower than this nobody rolls towards a stop; without it the last centimetre would take for ever. Metres per second.
const CREEP: f64 = 0.7;
const KMH: f64 = 1.0 / 3.6;

/// A drive from the start of a route to its end.
pub(super) struct Drive {
    route: Vec<Node>,
    /// Highest speed at each node of the route from which all that follows can still be done, metres per second.
    node_speeds: Vec<f64>,
    /// How a driver takes speed limits, about 1.
    style: f64,
    leg: usize,
    along_m: f64,
    speed: f64,
}

impl Drive {
    /// Standing at the first node. A route of one node has arrived.
    pub(super) fn new(route: Vec<Node>, style: f64, streets: &Streets) -> Drive {
        let mut node_speeds: Vec<f64> = (0..route.len()).map(|at| turn_speed(&route, at, streets)).collect();
        for at in (0..route.len().saturating_sub(1)).rev() {
            let edge = streets.edge(route[at], route[at + 1]);
            let in_time = (node_speeds[at + 1].powi(2) + 2.0 * BRAKING * edge.length_m).sqrt();
            node_speeds[at] = node_speeds[at].min(in_time).min(edge.speed_kmh * KMH * style);
        }
        Drive { route, node_speeds, style, leg: 0, along_m: 0.0, speed: 0.0 }
    }

    pub(super) fn has_arrived(&self) -> bool {
        self.leg + 1 >= self.route.len()
    }

    pub(super) fn speed_kmh(&self) -> f64 {
        if self.has_arrived() { 0.0 } else { self.speed / KMH }
    }

    /// The last node reached.
    pub(super) fn node(&self) -> Node {
        self.route[self.leg]
    }

    /// Where the route ends.
    pub(super) fn goal(&self) -> Node {
        self.route[self.route.len() - 1]
    }

    /// Moves on and gives the metres driven.
    pub(super) fn advance(&mut self, seconds: f64, streets: &Streets) -> f64 {
        if self.has_arrived() {
            return 0.0;
        }
        let edge = streets.edge(self.route[self.leg], self.route[self.leg + 1]);
        let left_m = edge.length_m - self.along_m;
        let in_time = (self.node_speeds[self.leg + 1].powi(2) + 2.0 * BRAKING * left_m).sqrt();
        let limit = edge.speed_kmh * KMH * self.style;
        self.speed = (self.speed + ACCELERATION * seconds).min(limit).min(in_time).max(CREEP);
        let driven_m = self.speed * seconds;
        self.along_m += driven_m;
        self.pass_nodes(streets);
        driven_m
    }

    fn pass_nodes(&mut self, streets: &Streets) {
        while !self.has_arrived() {
            let length_m = streets.edge(self.route[self.leg], self.route[self.leg + 1]).length_m;
            if self.along_m < length_m {
                return;
            }
            self.along_m -= length_m;
            self.leg += 1;
        }
        (self.along_m, self.speed) = (0.0, 0.0);
    }

    /// Where it is and which way it looks; at the end, the way it came.
    pub(super) fn pose(&self, streets: &Streets) -> (Place, Option<f64>) {
        if self.has_arrived() {
            let place = streets.place(self.node());
            let came = self.leg.checked_sub(1).map(|before| streets.place(self.route[before]).bearing_deg(place));
            return (place, came);
        }
        let (from, to) = (streets.place(self.route[self.leg]), streets.place(self.route[self.leg + 1]));
        let part = self.along_m / streets.edge(self.route[self.leg], self.route[self.leg + 1]).length_m.max(0.01);
        (from.towards(to, part.min(1.0)), Some(from.bearing_deg(to)))
    }
}

/// How fast the bend at a node can be taken, metres per second; the end is a stop.
fn turn_speed(route: &[Node], at: usize, streets: &Streets) -> f64 {
    let (Some(&next), Some(&before)) = (route.get(at + 1), at.checked_sub(1).and_then(|before| route.get(before)))
    else {
        return 0.0;
    };
    let here = streets.place(route[at]);
    let kmh = match turn_deg(streets.place(before).bearing_deg(here), here.bearing_deg(streets.place(next))) {
        ..20.0 => 120.0,
        ..45.0 => 32.0,
        ..100.0 => 16.0,
        _ => 6.0,
    };
    kmh * KMH
}
