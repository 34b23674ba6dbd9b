-- Plates, serial numbers and numbers of orders are unique within a fleet: what another fleet has is not told by a refusal, and
-- two fleets may both have an order 1001. (SQLite has no other way than new tables. What refers to a
-- vehicle waits meanwhile: its rows are back before the commit.)
PRAGMA defer_foreign_keys = ON;

CREATE TABLE vehicles_before AS SELECT * FROM vehicles;
DROP TABLE vehicles;
CREATE TABLE vehicles (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    registration_number TEXT NOT NULL,
    vin TEXT,
    make TEXT,
    model TEXT,
    class TEXT,
    status TEXT,
    fleet_id TEXT REFERENCES fleets (id),
    depot_id TEXT REFERENCES depots (id),
    capacity_kg DOUBLE PRECISION,
    max_speed_kmh DOUBLE PRECISION,
    odometer_km DOUBLE PRECISION,
    attributes TEXT
);
INSERT INTO vehicles SELECT * FROM vehicles_before;
DROP TABLE vehicles_before;
CREATE INDEX vehicles_status ON vehicles (status);
CREATE INDEX vehicles_fleet_id ON vehicles (fleet_id);
CREATE INDEX vehicles_depot_id ON vehicles (depot_id);

CREATE TABLE devices_before AS SELECT * FROM devices;
DROP TABLE devices;
CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    asset_kind TEXT NOT NULL,
    asset_id TEXT NOT NULL,
    name TEXT,
    model TEXT,
    serial TEXT,
    status TEXT,
    fleet_id TEXT REFERENCES fleets (id),
    attributes TEXT
);
INSERT INTO devices SELECT * FROM devices_before;
DROP TABLE devices_before;
CREATE INDEX devices_asset_id ON devices (asset_id);
CREATE INDEX devices_fleet_id ON devices (fleet_id);

CREATE TABLE deliveries_before AS SELECT * FROM deliveries;
DROP TABLE deliveries;
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    erased BIGINT NOT NULL DEFAULT 0,
    order_id TEXT,
    tracking_number TEXT NOT NULL UNIQUE,
    customer_id TEXT REFERENCES customers (id),
    driver_id TEXT REFERENCES drivers (id),
    vehicle_id TEXT REFERENCES vehicles (id),
    route_id TEXT REFERENCES routes (id),
    fleet_id TEXT REFERENCES fleets (id),
    status TEXT NOT NULL,
    pickup_address TEXT,
    pickup_latitude DOUBLE PRECISION,
    pickup_longitude DOUBLE PRECISION,
    dropoff_address TEXT,
    dropoff_latitude DOUBLE PRECISION,
    dropoff_longitude DOUBLE PRECISION,
    instructions TEXT,
    window_start BIGINT,
    window_end BIGINT,
    weight_kg DOUBLE PRECISION,
    delivered_at BIGINT,
    attributes TEXT
);
INSERT INTO deliveries SELECT * FROM deliveries_before;
DROP TABLE deliveries_before;
CREATE INDEX deliveries_customer_id ON deliveries (customer_id);
CREATE INDEX deliveries_driver_id ON deliveries (driver_id);
CREATE INDEX deliveries_vehicle_id ON deliveries (vehicle_id);
CREATE INDEX deliveries_route_id ON deliveries (route_id);
CREATE INDEX deliveries_fleet_id ON deliveries (fleet_id);
CREATE INDEX deliveries_status ON deliveries (status);
CREATE INDEX deliveries_window_end ON deliveries (window_end);

CREATE UNIQUE INDEX vehicles_registration_number_in_fleet ON vehicles (registration_number, (COALESCE(fleet_id, '')));
CREATE UNIQUE INDEX vehicles_vin_in_fleet ON vehicles (vin, (COALESCE(fleet_id, '')));
CREATE UNIQUE INDEX deliveries_order_id_in_fleet ON deliveries (order_id, (COALESCE(fleet_id, '')));
CREATE UNIQUE INDEX devices_serial_in_fleet ON devices (serial, (COALESCE(fleet_id, '')));

-- Fleets that an asset was in before it left for another, or before its record was removed: its past is theirs. Empty text is
-- no fleet.
CREATE TABLE former_fleets (
    kind TEXT NOT NULL,
    asset_id TEXT NOT NULL,
    fleet_id TEXT NOT NULL,
    PRIMARY KEY (kind, asset_id, fleet_id)
);
INSERT INTO former_fleets (kind, asset_id, fleet_id)
SELECT DISTINCT CASE resource WHEN 'vehicles' THEN 'vehicle' WHEN 'drivers' THEN 'driver' ELSE 'station' END, id,
    COALESCE(fleet_id, '')
FROM outbox WHERE op = 'remove' AND resource IN ('vehicles', 'drivers', 'stations');
