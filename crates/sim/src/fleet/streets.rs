//! The street network: a directed graph of points a few metres to a few hundred metres apart, read from the shipped
//! `assets/porto-streets.bin.gz` (made by `examples/porto_streets.rs`, © OpenStreetMap contributors, ODbL 1.0).
//!
//! Format, gzip of: `STREETS1`; number of nodes, then latitude and longitude of each in 1e-7 degrees as differences
//! to the node before; number of roads, then of each: speed in km/h (u8), one-way (u8), number of nodes, node numbers
//! as differences to the number before. Numbers are zigzag varints.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::ground::Place;
use crate::random::Random;

const PORTO: &[u8] = include_bytes!("../../assets/porto-streets.bin.gz");
const MAGIC: &[u8] = b"STREETS1";

/// A point of the network.
pub type Node = u32;

/// A stretch of street in one direction.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// Where it leads.
    pub to: Node,
    /// Metres.
    pub length_m: f64,
    /// Usual speed, km/h.
    pub speed_kmh: f64,
}

/// Drivable streets; every node can be reached from every other.
pub struct Streets {
    places: Vec<Place>,
    /// Edges of node n are `edges[first[n]..first[n + 1]]`.
    first: Vec<usize>,
    edges: Vec<Edge>,
}

impl Streets {
    /// Central Porto.
    pub fn porto() -> Streets {
        let mut bytes = Vec::new();
        GzDecoder::new(PORTO).read_to_end(&mut bytes).expect("the shipped file is whole gzip");
        Streets::decode(&bytes).expect("the shipped file is in the format above")
    }

    fn decode(bytes: &[u8]) -> Option<Streets> {
        let mut input = Input(bytes.strip_prefix(MAGIC)?);
        let mut position = (0, 0);
        let mut places = Vec::new();
        for _ in 0..input.number()? {
            position = (position.0 + input.number()?, position.1 + input.number()?);
            places.push(Place { latitude: position.0 as f64 / 1e7, longitude: position.1 as f64 / 1e7 });
        }
        let mut arcs = Vec::new();
        let mut node = 0;
        for _ in 0..input.number()? {
            let (speed_kmh, one_way) = (f64::from(input.byte()?), input.byte()? == 1);
            let mut before = None;
            for _ in 0..input.number()? {
                node += input.number()?;
                let here = Node::try_from(node).ok().filter(|&here| (here as usize) < places.len())?;
                if let Some(before) = before.replace(here) {
                    arcs.push((before, here, speed_kmh));
                    arcs.extend((!one_way).then_some((here, before, speed_kmh)));
                }
            }
        }
        Some(Streets::new(places, arcs))
    }

    fn new(places: Vec<Place>, mut arcs: Vec<(Node, Node, f64)>) -> Streets {
        // Stable, so that the graph is the same on every machine.
        arcs.sort_by_key(|(from, _, _)| *from);
        let mut first = vec![0; places.len() + 1];
        for (from, _, _) in &arcs {
            first[*from as usize + 1] += 1;
        }
        for node in 0..places.len() {
            first[node + 1] += first[node];
        }
        let length = |from: Node, to: Node| places[from as usize].distance_m(places[to as usize]);
        let edge = |&(from, to, speed_kmh): &(Node, Node, f64)| Edge { to, length_m: length(from, to), speed_kmh };
        let edges = arcs.iter().map(edge).collect();
        Streets { places, first, edges }
    }

    /// Number of nodes; they are numbered from 0.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// True for a network without nodes.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Where a node is.
    pub fn place(&self, node: Node) -> Place {
        self.places[node as usize]
    }

    /// The ways on from a node.
    pub fn edges(&self, node: Node) -> &[Edge] {
        &self.edges[self.first[node as usize]..self.first[node as usize + 1]]
    }

    /// The edge between two neighbours, which must be such; the fastest if there are several.
    pub fn edge(&self, from: Node, to: Node) -> Edge {
        let ways = self.edges(from).iter().filter(|edge| edge.to == to);
        *ways.max_by(|a, b| a.speed_kmh.total_cmp(&b.speed_kmh)).expect("the nodes are neighbours on a route")
    }

    /// All stretches with their two ends.
    pub fn stretches(&self) -> impl Iterator<Item = (Place, Place)> {
        let ends = move |from: Node| self.edges(from).iter().map(move |edge| (self.place(from), self.place(edge.to)));
        (0..self.places.len() as Node).flat_map(ends)
    }

    pub(super) fn any_node(&self, random: &mut Random) -> Node {
        random.below(self.places.len()) as Node
    }

    /// So many nodes that lie well apart: each the farthest from those before, among some drawn.
    pub(super) fn spread(&self, count: usize, random: &mut Random) -> Vec<Node> {
        let mut chosen: Vec<Node> = Vec::with_capacity(count);
        while chosen.len() < count {
            let drawn: Vec<Node> = (0..40).map(|_| self.any_node(random)).collect();
            let apart = |node: Node| {
                let distances = chosen.iter().map(|&other| self.place(node).distance_m(self.place(other)));
                distances.fold(f64::INFINITY, f64::min)
            };
            let farthest = drawn.into_iter().max_by(|&a, &b| apart(a).total_cmp(&apart(b)));
            chosen.extend(farthest);
        }
        chosen
    }
}

struct Input<'b>(&'b [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// A zigzag varint.
    fn number(&mut self) -> Option<i64> {
        let mut bits = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            bits |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn porto_has_streets_of_plausible_length_and_speed() {
        let streets = Streets::porto();
        assert!(streets.len() > 20_000, "{}", streets.len());
        let all = || (0..streets.len() as Node).flat_map(|node| streets.edges(node));
        let kilometres = all().map(|edge| edge.length_m).sum::<f64>() / 1000.0;
        assert!((500.0..4000.0).contains(&kilometres), "{kilometres}");
        assert!(all().all(|edge| (10.0..=120.0).contains(&edge.speed_kmh) && edge.length_m < 3000.0));
        assert!((0..streets.len() as Node).all(|node| !streets.edges(node).is_empty()));
    }

    #[test]
    fn spread_places_lie_well_apart() {
        let streets = Streets::porto();
        let sites = streets.spread(12, &mut Random::new(3));
        for (number, &site) in sites.iter().enumerate() {
            for &other in &sites[..number] {
                assert!(streets.place(site).distance_m(streets.place(other)) > 500.0);
            }
        }
    }
}
