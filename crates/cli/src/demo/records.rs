//! The company of the demo, as records: two fleets with depots, vehicles, couriers and what they ride, stations,
//! customers, and orders that wait or have come to an end. What is there already stays as it is.

use anyhow::Context;
use drover_access::Caller;
use drover_registry::{Error, Registry, Transition, resource};
use drover_sim::fleet::Fleet;
use drover_sim::report::Kind;
use serde_json::{Value, json};

/// The two fleets; half of everything belongs to each.
pub const FLEETS: [&str; 2] = ["boavista", "campanha"];
/// Whom the demo's customer, driver and own vehicle are.
pub const CUSTOMER: &str = "customer-01";
pub const DRIVER: &str = "courier-01";
pub const OWN_VEHICLE: &str = "van-7";

/// Their depots: id, name, latitude, longitude.
const DEPOTS: [(&str, &str, f64, f64); 2] =
    [("depot-boavista", "Boavista depot", 41.1601, -8.6439), ("depot-campanha", "Campanhã depot", 41.1496, -8.5857)];
const CUSTOMERS: usize = 24;
const GIVEN: [&str; 12] =
    ["Ana", "Rui", "Inês", "Tiago", "Marta", "Nuno", "Sofia", "Hugo", "Clara", "Diogo", "Rita", "Vasco"];
const FAMILY: [&str; 8] = ["Silva", "Costa", "Ferreira", "Lopes", "Ramos", "Pinto", "Moreira", "Teixeira"];
/// Orders for another day.
const WAITING: usize = 6;
/// Orders that are over: what became of each.
const OVER: [(&str, &[&str]); 5] = [
    ("over-1", &["assigned", "picked_up", "out_for_delivery", "arrived", "delivered"]),
    ("over-2", &["assigned", "picked_up", "out_for_delivery", "delivered"]),
    ("over-3", &["assigned", "picked_up", "out_for_delivery", "failed"]),
    ("over-4", &["assigned", "picked_up", "returned"]),
    ("over-5", &["cancelled"]),
];

/// The fleet of the member of that number, of so many.
pub fn fleet_of(number: usize, of: usize) -> &'static str {
    FLEETS[usize::from(number * 2 > of)]
}

/// The id of a customer of a fleet, one after the other.
pub fn customer(fleet: &str, number: usize) -> String {
    let each = CUSTOMERS / FLEETS.len();
    let before = if fleet == FLEETS[0] { 0 } else { each };
    format!("customer-{:02}", before + number % each + 1)
}

/// Everything that is not on its way. On `Ok` it is there.
pub async fn make(registry: &Registry, caller: &Caller, fleet: &Fleet) -> anyhow::Result<()> {
    for (name, records) in [
        ("organisations", vec![json!({"id": "porto-express", "name": "Porto Express"})]),
        ("fleets", fleets()),
        ("depots", depots()),
        ("vehicles", vehicles(fleet)),
        ("drivers", drivers(fleet)),
        ("assignments", assignments(fleet)),
        ("stations", stations(fleet)),
        ("customers", (0..CUSTOMERS).map(person).collect()),
        ("deliveries", (1..=WAITING).map(waiting).collect()),
    ] {
        for record in records {
            make_one(registry, caller, name, record).await?;
        }
    }
    for (number, (id, way)) in OVER.into_iter().enumerate() {
        bring_to_an_end(registry, caller, number, id, way).await?;
    }
    Ok(())
}

/// Makes a record; false if there is one of that id.
pub async fn make_one(registry: &Registry, caller: &Caller, name: &str, record: Value) -> anyhow::Result<bool> {
    let resource = resource(name).with_context(|| format!("no resource {name}"))?;
    let Value::Object(fields) = record else { anyhow::bail!("a record of {name} is no object") };
    match registry.create(caller, resource, fields).await {
        Ok(_) => Ok(true),
        Err(Error::Conflict { code: "already_exists", field: Some(field), .. }) if field == "id" => Ok(false),
        Err(error) => Err(error).with_context(|| format!("a record of {name}")),
    }
}

async fn bring_to_an_end(
    registry: &Registry,
    caller: &Caller,
    number: usize,
    id: &str,
    way: &[&str],
) -> anyhow::Result<()> {
    let record = json!({
        "id": id, "order_id": format!("order-{id}"), "fleet_id": FLEETS[0], "customer_id": customer(FLEETS[0], number),
        "weight_kg": 1.5, "dropoff_latitude": 41.1579, "dropoff_longitude": -8.6291,
    });
    if !make_one(registry, caller, "deliveries", record).await? {
        return Ok(());
    }
    for status in way {
        let driver_id = (*status == "assigned").then(|| DRIVER.to_owned());
        let step = Transition { to: (*status).to_owned(), driver_id, ..Transition::default() };
        registry.transition(caller, id, &step, None).await.with_context(|| format!("{id} to {status}"))?;
    }
    Ok(())
}

fn fleets() -> Vec<Value> {
    let names = ["Boavista", "Campanhã"];
    let fleet = |(id, name)| json!({"id": id, "name": name, "organisation_id": "porto-express", "region": "Porto"});
    FLEETS.into_iter().zip(names).map(fleet).collect()
}

fn depots() -> Vec<Value> {
    let depot = |((id, name, latitude, longitude), fleet)| {
        json!({
            "id": id, "name": name, "latitude": latitude, "longitude": longitude, "region": "Porto", "fleet_id": fleet,
        })
    };
    DEPOTS.into_iter().zip(FLEETS).map(depot).collect()
}

/// The ids of a kind, in their order.
fn members(fleet: &Fleet, kind: Kind) -> Vec<&str> {
    fleet.assets().filter(|(member, _)| *member == kind).map(|(_, id)| id).collect()
}

/// The vans, a scooter for each courier, and one that is nobody's yet.
fn vehicles(fleet: &Fleet) -> Vec<Value> {
    let (vans, riders) = (members(fleet, Kind::Vehicle), members(fleet, Kind::Driver));
    let van = |(at, id): (usize, &&str)| vehicle(id, "van", at + 1, vans.len());
    let scooter = |at: usize| vehicle(&scooter(at), "scooter", at, riders.len());
    let own = vehicle(OWN_VEHICLE, "van", 0, vans.len());
    vans.iter().enumerate().map(van).chain((1..=riders.len()).map(scooter)).chain([own]).collect()
}

fn vehicle(id: &str, class: &str, number: usize, of: usize) -> Value {
    let (make, capacity_kg) = if class == "van" { ("Renault", 650.0) } else { ("Segway", 25.0) };
    let fleet = fleet_of(number, of);
    json!({
        "id": id, "registration_number": id.to_uppercase(), "class": class, "make": make, "capacity_kg": capacity_kg,
        "fleet_id": fleet, "depot_id": format!("depot-{fleet}"),
    })
}

/// What the courier of that number rides.
pub fn scooter(number: usize) -> String {
    format!("scooter-{number:02}")
}

/// Somebody's name and how to reach him; of nobody who lives.
fn name_and_address(number: usize, role: &str) -> (String, String, String) {
    let (given, family) = (GIVEN[number % GIVEN.len()], FAMILY[number * 5 % FAMILY.len()]);
    (format!("{given} {family}"), format!("{role}{}@porto.example", number + 1), format!("+351 220 000 {number:03}"))
}

fn drivers(fleet: &Fleet) -> Vec<Value> {
    let riders = members(fleet, Kind::Driver);
    let driver = |(at, id): (usize, &&str)| {
        let (name, email, phone) = name_and_address(at, "courier");
        let fleet = fleet_of(at + 1, riders.len());
        json!({"id": id, "name": name, "email": email, "phone": phone, "fleet_id": fleet})
    };
    riders.iter().enumerate().map(driver).collect()
}

fn assignments(fleet: &Fleet) -> Vec<Value> {
    let rides = |(at, id): (usize, &&str)| {
        json!({
            "id": format!("rides-{}", at + 1), "driver_id": id, "vehicle_id": scooter(at + 1),
            "starts_at": "2026-01-01T06:00:00Z",
        })
    };
    members(fleet, Kind::Driver).iter().enumerate().map(rides).collect()
}

fn stations(fleet: &Fleet) -> Vec<Value> {
    let of = fleet.stations().count();
    let station = |(at, (id, place)): (usize, (&str, drover_sim::ground::Place))| {
        json!({
            "id": id, "name": format!("Swap station {}", at + 1), "region": "Porto",
            "latitude": place.latitude, "longitude": place.longitude,
            "capacity": 20, "low_stock_threshold": 4, "fleet_id": fleet_of(at + 1, of),
        })
    };
    fleet.stations().enumerate().map(station).collect()
}

fn person(at: usize) -> Value {
    // Other names than those of the couriers.
    let (name, email, phone) = name_and_address(at + 40, "customer");
    let fleet = fleet_of(at + 1, CUSTOMERS);
    json!({"id": customer(fleet, at), "name": name, "email": email, "phone": phone, "fleet_id": fleet})
}

fn waiting(number: usize) -> Value {
    let fleet = fleet_of(number, WAITING);
    json!({
        "id": format!("waiting-{number}"), "order_id": format!("order-waiting-{number}"), "fleet_id": fleet,
        "customer_id": customer(fleet, number), "weight_kg": 2.0 + number as f64,
        "dropoff_latitude": 41.14 + number as f64 / 250.0, "dropoff_longitude": -8.64 + number as f64 / 150.0,
    })
}
