//! Makes crates/sim/assets/porto-streets.bin.gz, the street network on which the demo fleet drives, from an OpenStreetMap extract:
//! `cd tools/porto-streets && cargo run --release -- porto.osm.pbf ../../crates/sim/assets/porto-streets.bin.gz`.
//! Kept are the drivable roads of central Porto that a vehicle can both reach and leave (the largest strongly connected
//! part), so that a fleet never meets a dead end. The format is described in `fleet::streets`, which reads it.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use osmpbf::{Element, ElementReader, Way};

/// About 10 km by 8 km: Porto north of the Douro with Matosinhos' edge, and Gaia's waterfront.
const SOUTH: f64 = 41.125;
const NORTH: f64 = 41.197;
const WEST: f64 = -8.690;
const EAST: f64 = -8.570;
/// The format's name and version.
const MAGIC: &[u8; 8] = b"STREETS1";

/// A run of nodes with one speed; one-way along the run if `one_way`.
struct Road {
    speed_kmh: u8,
    one_way: bool,
    nodes: Vec<i64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: porto_streets EXTRACT.osm.pbf OUTPUT.bin.gz";
    let extract = arguments.next().ok_or(usage)?;
    let output = arguments.next().ok_or(usage)?;
    let (places, roads) = read(&extract)?;
    let roads: Vec<Road> = roads.iter().flat_map(|road| pieces(road, |node| places.contains_key(&node))).collect();
    let kept = largest_strong_part(&roads);
    let roads: Vec<Road> = roads.iter().flat_map(|road| pieces(road, |node| kept.contains_key(&node))).collect();
    let encoded = encode(&roads, &places);
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&encoded)?;
    let packed = packed.finish()?;
    std::fs::write(&output, &packed)?;
    println!("{} roads, {} nodes, {} bytes, {} packed", roads.len(), kept.len(), encoded.len(), packed.len());
    Ok(())
}

type Places = HashMap<i64, (i32, i32)>;

fn read(path: &str) -> Result<(Places, Vec<Road>), Box<dyn Error>> {
    let (mut places, mut roads) = (Places::new(), Vec::new());
    ElementReader::from_path(path)?.for_each(|element| match element {
        Element::Node(node) => keep(&mut places, node.id(), node.lat(), node.lon()),
        Element::DenseNode(node) => keep(&mut places, node.id(), node.lat(), node.lon()),
        Element::Way(way) => roads.extend(road(&way)),
        Element::Relation(_) => {}
    })?;
    Ok((places, roads))
}

fn keep(places: &mut Places, id: i64, latitude: f64, longitude: f64) {
    if (SOUTH..=NORTH).contains(&latitude) && (WEST..=EAST).contains(&longitude) {
        places.insert(id, ((latitude * 1e7).round() as i32, (longitude * 1e7).round() as i32));
    }
}

/// The way as a road, if vehicles may use it. Reversed one-ways are turned round.
fn road(way: &Way) -> Option<Road> {
    let tags: HashMap<&str, &str> = way.tags().collect();
    let tag = |name| tags.get(name).copied().unwrap_or("");
    let class = tag("highway");
    if ["no", "private"].contains(&tag("access")) || ["no", "private"].contains(&tag("motor_vehicle")) {
        return None;
    }
    let speed_kmh =
        tag("maxspeed").parse().ok().filter(|speed| (10..=120).contains(speed)).or(class_speed_kmh(class))?;
    class_speed_kmh(class)?;
    let one_way = match tag("oneway") {
        "no" | "0" | "false" => false,
        "" => tag("junction") == "roundabout" || class == "motorway",
        _ => true,
    };
    let mut nodes: Vec<i64> = way.refs().collect();
    if tag("oneway") == "-1" {
        nodes.reverse();
    }
    Some(Road { speed_kmh, one_way, nodes })
}

/// What traffic in town really moves at, rather than what the law allows.
fn class_speed_kmh(class: &str) -> Option<u8> {
    Some(match class {
        "motorway" => 85,
        "trunk" => 70,
        "motorway_link" | "trunk_link" => 50,
        "primary" | "primary_link" => 45,
        "secondary" | "secondary_link" => 42,
        "tertiary" | "tertiary_link" => 38,
        "unclassified" | "residential" => 30,
        "living_street" => 15,
        _ => return None,
    })
}

/// The runs of at least two neighbouring nodes that pass the filter.
fn pieces(road: &Road, passes: impl Fn(i64) -> bool) -> Vec<Road> {
    let runs = road.nodes.split(|node| !passes(*node)).filter(|run| run.len() > 1);
    runs.map(|run| Road { nodes: run.to_vec(), ..*road }).collect()
}

/// The nodes that can all reach each other, in the largest such group.
fn largest_strong_part(roads: &[Road]) -> HashMap<i64, ()> {
    let (mut onward, mut back) = (HashMap::<i64, Vec<i64>>::new(), HashMap::<i64, Vec<i64>>::new());
    for road in roads {
        for pair in road.nodes.windows(2) {
            for (from, to) in
                [(pair[0], pair[1]), (pair[1], pair[0])].into_iter().take(if road.one_way { 1 } else { 2 })
            {
                onward.entry(from).or_default().push(to);
                back.entry(to).or_default().push(from);
            }
        }
    }
    // The node in the middle of a big network is in its largest part; trying a few guards against an odd pick.
    let tries = roads.iter().step_by(roads.len() / 20 + 1).map(|road| road.nodes[0]);
    let part = |start| {
        let (there, home) = (reached(start, &onward), reached(start, &back));
        there.into_iter().filter(|(node, ())| home.contains_key(node)).collect::<HashMap<_, _>>()
    };
    tries.map(part).max_by_key(HashMap::len).unwrap_or_default()
}

fn reached(start: i64, edges: &HashMap<i64, Vec<i64>>) -> HashMap<i64, ()> {
    let (mut seen, mut open) = (HashMap::from([(start, ())]), vec![start]);
    while let Some(node) = open.pop() {
        for &next in edges.get(&node).into_iter().flatten() {
            if seen.insert(next, ()).is_none() {
                open.push(next);
            }
        }
    }
    seen
}

/// Nodes are numbered in the order in which the roads first name them, so most numbers are one more than the last.
fn encode(roads: &[Road], places: &Places) -> Vec<u8> {
    let (mut numbers, mut order) = (HashMap::new(), Vec::new());
    for &node in roads.iter().flat_map(|road| &road.nodes) {
        numbers.entry(node).or_insert_with(|| {
            order.push(node);
            order.len() as i64 - 1
        });
    }
    let mut out = MAGIC.to_vec();
    put(&mut out, order.len() as i64);
    let mut last = (0, 0);
    for node in &order {
        let (latitude, longitude) = places[node];
        put(&mut out, i64::from(latitude) - last.0);
        put(&mut out, i64::from(longitude) - last.1);
        last = (i64::from(latitude), i64::from(longitude));
    }
    put(&mut out, roads.len() as i64);
    let mut last = 0;
    for road in roads {
        out.extend([road.speed_kmh, u8::from(road.one_way)]);
        put(&mut out, road.nodes.len() as i64);
        for node in &road.nodes {
            put(&mut out, numbers[node] - last);
            last = numbers[node];
        }
    }
    out
}

/// A signed number as a zigzag varint.
fn put(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
