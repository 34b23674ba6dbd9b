//! What the registry knows, as definitions: one table in code. Whoever adds a field here adds a migration too; a test
//! compares the definitions with the tables.

use crate::schema::FieldKind::{Date, Flag, Id, Integer, List, Object, Real, Ref, Text, Time, Word};
use crate::schema::{Field, FieldKind, FleetOf, PersonOf, Resource};
use drover_access::Permission;
use drover_model::Kind;

/// Every resource; a record may refer only to those before its own, or to its own, except drivers and vehicles.
pub static RESOURCES: [&Resource; 12] = [
    &ORGANISATIONS,
    &FLEETS,
    &DEPOTS,
    &VEHICLES,
    &DRIVERS,
    &ASSIGNMENTS,
    &STATIONS,
    &CUSTOMERS,
    &ROUTES,
    &DELIVERIES,
    &MAINTENANCE,
    &DEVICES,
];

/// The resource of that name.
pub fn resource(name: &str) -> Option<&'static Resource> {
    RESOURCES.into_iter().find(|resource| resource.name == name)
}

const NAME: FieldKind = Text { max: 200 };
const TEXT: FieldKind = Text { max: 200 };
const LONG_TEXT: FieldKind = Text { max: 2000 };
const LATITUDE: FieldKind = Real { min: -90.0, max: 90.0 };
const LONGITUDE: FieldKind = Real { min: -180.0, max: 180.0 };
const ATTRIBUTES: Field =
    Field::new("attributes", Object { max_bytes: 8192 }, "Anything else, as a JSON object; Drover keeps it.");
const FLEET: Field = Field::new("fleet_id", Ref("fleets"), "The fleet it belongs to.").indexed();

/// Who owns everything.
pub static ORGANISATIONS: Resource = Resource {
    name: "organisations",
    singular: "organisation",
    table: "organisations",
    id_prefix: "o",
    fields: &[Field::new("name", NAME, "Its name.").required(), ATTRIBUTES],
    asset: None,
    fleet: FleetOf::Organisation,
    person: PersonOf::Nobody,
    read: Permission::FleetRead,
    write: Permission::FleetWrite,
    doc: "Who owns fleets, stations and users. An installation has one, if it needs no more.",
};

/// What access is scoped to.
pub static FLEETS: Resource = Resource {
    name: "fleets",
    singular: "fleet",
    table: "fleets",
    id_prefix: "f",
    fields: &[
        Field::new("name", NAME, "Its name.").required(),
        Field::new("organisation_id", Ref("organisations"), "The organisation it belongs to.").indexed(),
        Field::new("region", TEXT, "Where it works."),
        Field::new("status", Word(&["active", "closed"]), "Whether it is in use.").default("active"),
        ATTRIBUTES,
    ],
    asset: None,
    fleet: FleetOf::SelfId,
    person: PersonOf::Nobody,
    read: Permission::FleetRead,
    write: Permission::FleetWrite,
    doc: "Vehicles, drivers and stations that are run together; what somebody reaches is named in fleets.",
};

/// Where vehicles start from.
pub static DEPOTS: Resource = Resource {
    name: "depots",
    singular: "depot",
    table: "depots",
    id_prefix: "dep",
    fields: &[
        Field::new("name", NAME, "Its name.").required(),
        Field::new("latitude", LATITUDE, "Degrees north.").required(),
        Field::new("longitude", LONGITUDE, "Degrees east.").required(),
        Field::new("address", Text { max: 500 }, "Postal address."),
        Field::new("region", TEXT, "Region it serves."),
        Field::new("status", Word(&["active", "closed"]), "Whether it is in use.").default("active"),
        FLEET,
        ATTRIBUTES,
    ],
    asset: None,
    fleet: FleetOf::OwnField,
    person: PersonOf::Nobody,
    read: Permission::FleetRead,
    write: Permission::FleetWrite,
    doc: "A place where vehicles start from and return to.",
};

/// Vehicles; ids are those of telemetry.
pub static VEHICLES: Resource = Resource {
    name: "vehicles",
    singular: "vehicle",
    table: "vehicles",
    id_prefix: "v",
    fields: &[
        Field::new("registration_number", Text { max: 32 }, "What is written on its plate.")
            .required()
            .unique_in_fleet(),
        Field::new("vin", Text { max: 32 }, "Vehicle identification number.").unique_in_fleet(),
        Field::new("make", TEXT, "Who made it."),
        Field::new("model", TEXT, "Its model."),
        Field::new(
            "class",
            Word(&["car", "van", "truck", "bus", "motorcycle", "scooter", "bicycle", "trailer", "other"]),
            "What sort of vehicle it is.",
        ),
        Field::new("status", Word(&["active", "idle", "maintenance", "retired"]), "Whether it can be used.")
            .default("active")
            .indexed(),
        FLEET,
        Field::new("depot_id", Ref("depots"), "Where it starts from.").indexed(),
        Field::new("capacity_kg", Real { min: 0.0, max: 100_000.0 }, "What it may carry, kg."),
        Field::new("max_speed_kmh", Real { min: 1.0, max: 500.0 }, "Its top speed, km/h."),
        Field::new("odometer_km", Real { min: 0.0, max: 10_000_000.0 }, "What it has run, km."),
        ATTRIBUTES,
    ],
    asset: Some(Kind::Vehicle),
    fleet: FleetOf::OwnField,
    person: PersonOf::Nobody,
    read: Permission::FleetRead,
    write: Permission::FleetWrite,
    doc: "A car, van, bus, truck, scooter, bicycle. Its id is the one its reports carry.",
};

/// Drivers; ids are those of telemetry.
pub static DRIVERS: Resource = Resource {
    name: "drivers",
    singular: "driver",
    table: "drivers",
    id_prefix: "d",
    fields: &[
        Field::new("name", NAME, "The person's name.").required().sealed(),
        Field::new("phone", Text { max: 32 }, "Telephone number.").sealed_indexed(),
        Field::new("email", Text { max: 254 }, "E-mail address.").sealed_indexed(),
        Field::new("license_number", Text { max: 64 }, "Number of the driving licence.").sealed_indexed(),
        Field::new("status", Word(&["active", "off_duty", "suspended", "left"]), "Whether he can be sent.")
            .default("active")
            .indexed(),
        FLEET,
        Field::new("vehicle_id", Ref("vehicles"), "What he drives now: the vehicle of his current assignment.")
            .read_only()
            .indexed(),
        Field::new("rating", Real { min: 0.0, max: 5.0 }, "How customers rate him, 0 to 5."),
        ATTRIBUTES.sealed(),
    ],
    asset: Some(Kind::Driver),
    fleet: FleetOf::OwnField,
    person: PersonOf::Itself,
    read: Permission::FleetRead,
    write: Permission::FleetWrite,
    doc: "A person who drives, rides or walks for the fleet. His id is the one his reports carry.",
};

/// Who drives what, and when.
pub static ASSIGNMENTS: Resource = Resource {
    name: "assignments",
    singular: "assignment",
    table: "assignments",
    id_prefix: "as",
    fields: &[
        Field::new("driver_id", Ref("drivers"), "Who drives.").required().indexed(),
        Field::new("vehicle_id", Ref("vehicles"), "What is driven.").required().indexed(),
        Field::new("starts_at", Time, "From when.").required().indexed(),
        Field::new("ends_at", Time, "Until when; without, until further notice.").indexed(),
        Field::new("note", LONG_TEXT, "A note.").untold(),
    ],
    asset: None,
    fleet: FleetOf::Via { field: "driver_id", resource: "drivers" },
    person: PersonOf::Nobody,
    read: Permission::OrdersRead,
    write: Permission::OrdersWrite,
    doc: "A driver has a vehicle for a time. Two of one driver or one vehicle cannot overlap.",
};

/// Stations; ids are those of telemetry.
pub static STATIONS: Resource = Resource {
    name: "stations",
    singular: "station",
    table: "stations",
    id_prefix: "s",
    fields: &[
        Field::new("name", NAME, "Its name.").required(),
        Field::new("latitude", LATITUDE, "Degrees north.").required(),
        Field::new("longitude", LONGITUDE, "Degrees east.").required(),
        Field::new("region", TEXT, "Region it serves.").indexed(),
        Field::new("capacity", Integer { min: 0, max: 100_000 }, "How many batteries or vehicles it holds."),
        Field::new("low_stock_threshold", Integer { min: 0, max: 100_000 }, "At or below it, its stock is low."),
        Field::new("status", Word(&["operational", "degraded", "maintenance", "closed"]), "Whether it works.")
            .default("operational")
            .indexed(),
        FLEET,
        ATTRIBUTES,
    ],
    asset: Some(Kind::Station),
    fleet: FleetOf::OwnField,
    person: PersonOf::Nobody,
    read: Permission::StationsRead,
    write: Permission::StationsWrite,
    doc: "A place with equipment, such as a battery-swap station. Its id is the one its reports carry.",
};

/// Customers.
pub static CUSTOMERS: Resource = Resource {
    name: "customers",
    singular: "customer",
    table: "customers",
    id_prefix: "c",
    fields: &[
        Field::new("name", NAME, "The person's or the company's name.").required().sealed(),
        Field::new("email", Text { max: 254 }, "E-mail address.").sealed_indexed(),
        Field::new("phone", Text { max: 32 }, "Telephone number.").sealed_indexed(),
        Field::new("address", Text { max: 500 }, "Postal address.").sealed(),
        FLEET,
        Field::new("status", Word(&["active", "blocked"]), "Whether orders are taken.").default("active"),
        ATTRIBUTES.sealed(),
    ],
    asset: None,
    fleet: FleetOf::OwnField,
    person: PersonOf::Itself,
    read: Permission::CustomersRead,
    write: Permission::CustomersWrite,
    doc: "Who waits for deliveries. Names, addresses and numbers are sealed in the table.",
};

/// A delivery's statuses, from the first to the ends.
pub const DELIVERY_STATUSES: &[&str] = &[
    "created",
    "assigned",
    "picked_up",
    "out_for_delivery",
    "arrived",
    "delivered",
    "failed",
    "returned",
    "cancelled",
];

/// Statuses of a delivery after which nothing is left to do at its stop, as long as it has them.
pub(crate) const OUTCOMES: &[&str] = &["delivered", "failed", "returned", "cancelled"];

/// The fields of one stop of a route.
pub(crate) const STOP: &[Field] = &[
    Field::new("sequence", Integer { min: 0, max: 10_000 }, "Its place in the route."),
    // One that names a delivery may be without a place: its customer was erased.
    Field::new("latitude", LATITUDE, "Degrees north.").required().untold(),
    Field::new("longitude", LONGITUDE, "Degrees east.").required().untold(),
    Field::new("name", TEXT, "What is there.").untold(),
    Field::new("kind", Word(&["pickup", "dropoff", "depot", "break", "other"]), "What is done there."),
    Field::new("delivery_id", Ref("deliveries"), "The delivery that it is for."),
    Field::new("station_id", Ref("stations"), "The station that it is."),
    Field::new("arrive_at", Time, "When the vehicle should be there."),
    Field::new("service_min", Integer { min: 0, max: 1440 }, "How long it stays, minutes."),
    Field::new("done", Flag, "Whether it was served, or nothing is left to do there; with an outcome it is."),
    Field::new("outcome", Word(OUTCOMES), "What became of its delivery; Drover sets it, whatever is sent.").read_only(),
];

/// Routes with their stops.
pub static ROUTES: Resource = Resource {
    name: "routes",
    singular: "route",
    table: "routes",
    id_prefix: "r",
    fields: &[
        Field::new("name", NAME, "Its name.").untold(),
        Field::new("vehicle_id", Ref("vehicles"), "What drives it.").indexed(),
        Field::new("driver_id", Ref("drivers"), "Who drives it.").indexed(),
        FLEET,
        Field::new("status", Word(&["planned", "active", "completed", "cancelled"]), "How far it is.")
            .default("planned")
            .indexed(),
        Field::new("date", Date, "The day it is driven.").required().indexed(),
        Field::new("stops", List { max_items: 500, item: STOP }, "Where it goes, in order."),
        ATTRIBUTES.untold(),
    ],
    asset: None,
    fleet: FleetOf::OwnField,
    person: PersonOf::Nobody,
    read: Permission::OrdersRead,
    write: Permission::OrdersWrite,
    doc: "Stops in their order, driven by one vehicle and one driver on one day.",
};

/// Deliveries: an order on its way.
pub static DELIVERIES: Resource = Resource {
    name: "deliveries",
    singular: "delivery",
    table: "deliveries",
    id_prefix: "del",
    fields: &[
        Field::new("order_id", Id, "The order's number in the shop.").unique_in_fleet(),
        Field::new("tracking_number", Text { max: 64 }, "What a customer follows it by; cannot be guessed.")
            .unique()
            .read_only(),
        Field::new("customer_id", Ref("customers"), "Who waits for it.").indexed(),
        Field::new("driver_id", Ref("drivers"), "Who brings it.").indexed(),
        Field::new("vehicle_id", Ref("vehicles"), "What it is brought with.").indexed(),
        Field::new("route_id", Ref("routes"), "The route that it is on.").indexed(),
        FLEET,
        Field::new("status", Word(DELIVERY_STATUSES), "How far it is; moves by transitions only.")
            .default("created")
            .read_only()
            .indexed(),
        Field::new("pickup_address", Text { max: 500 }, "Where it is fetched.").sealed(),
        Field::new("pickup_latitude", LATITUDE, "Degrees north.").untold(),
        Field::new("pickup_longitude", LONGITUDE, "Degrees east.").untold(),
        Field::new("dropoff_address", Text { max: 500 }, "Where it goes.").sealed(),
        Field::new("dropoff_latitude", LATITUDE, "Degrees north.").untold(),
        Field::new("dropoff_longitude", LONGITUDE, "Degrees east.").untold(),
        Field::new("instructions", LONG_TEXT, "What the driver should know.").sealed(),
        Field::new("window_start", Time, "Not before."),
        Field::new("window_end", Time, "Not after.").indexed(),
        Field::new("weight_kg", Real { min: 0.0, max: 100_000.0 }, "Its weight, kg."),
        Field::new("delivered_at", Time, "When it was delivered.").read_only(),
        ATTRIBUTES.sealed(),
    ],
    asset: None,
    fleet: FleetOf::OwnField,
    person: PersonOf::Customer,
    read: Permission::OrdersRead,
    write: Permission::OrdersWrite,
    doc: "What is brought to a customer: its status, its history, who brings it.",
};

/// What was done to vehicles.
pub static MAINTENANCE: Resource = Resource {
    name: "maintenance",
    singular: "maintenance record",
    table: "maintenance_records",
    id_prefix: "m",
    fields: &[
        Field::new("vehicle_id", Ref("vehicles"), "The vehicle.").required().indexed(),
        Field::new("date", Date, "The day.").required().indexed(),
        Field::new("kind", Word(&["inspection", "service", "repair", "tyres", "cleaning", "other"]), "What was done.")
            .required(),
        Field::new("odometer_km", Real { min: 0.0, max: 10_000_000.0 }, "What it had run, km."),
        Field::new("cost", Real { min: 0.0, max: 1e9 }, "What it cost."),
        Field::new("note", LONG_TEXT, "A note.").untold(),
    ],
    asset: None,
    fleet: FleetOf::Via { field: "vehicle_id", resource: "vehicles" },
    person: PersonOf::Nobody,
    read: Permission::FleetRead,
    write: Permission::FleetWrite,
    doc: "What was done to a vehicle, or will be.",
};

/// What is mounted or carried, and reports.
pub static DEVICES: Resource = Resource {
    name: "devices",
    singular: "device",
    table: "devices",
    id_prefix: "dev",
    fields: &[
        Field::new("asset_kind", Word(&["driver", "vehicle", "station", "rider", "other"]), "What it reports for.")
            .required(),
        Field::new("asset_id", Id, "The id of what it reports for.").required().indexed(),
        Field::new("name", NAME, "Its name.").untold(),
        Field::new("model", TEXT, "Its model."),
        Field::new("serial", Text { max: 100 }, "Its serial number.").unique_in_fleet(),
        Field::new("status", Word(&["active", "lost", "retired"]), "Whether it is in use.").default("active"),
        FLEET,
        ATTRIBUTES.untold(),
    ],
    asset: None,
    fleet: FleetOf::OwnField,
    person: PersonOf::Nobody,
    read: Permission::FleetRead,
    write: Permission::FleetWrite,
    doc: "A tracker, phone or station controller, and the asset that it reports for.",
};

#[cfg(test)]
mod tests {
    use super::*;
    use drover_access::{Needs, route};

    #[test]
    fn definitions_and_the_table_of_routes_ask_for_the_same() {
        for resource in RESOURCES {
            let path = format!("/api/v1/{}", resource.name);
            let needs = |method: &str| route(method, &path).map(|row| row.needs);
            assert_eq!(needs("GET"), Some(Needs::May(resource.read)), "GET {path}");
            assert_eq!(needs("POST"), Some(Needs::May(resource.write)), "POST {path}");
        }
    }
}
