-- Business records. Times are milliseconds since 1970 UTC; personal fields are sealed text, <field>_blind finds equal ones.

CREATE TABLE organisations (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    name TEXT NOT NULL,
    attributes TEXT
);

CREATE TABLE fleets (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    name TEXT NOT NULL,
    organisation_id TEXT REFERENCES organisations (id),
    region TEXT,
    status TEXT,
    attributes TEXT
);
CREATE INDEX fleets_organisation_id ON fleets (organisation_id);

CREATE TABLE depots (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    name TEXT NOT NULL,
    latitude DOUBLE PRECISION NOT NULL,
    longitude DOUBLE PRECISION NOT NULL,
    address TEXT,
    region TEXT,
    status TEXT,
    fleet_id TEXT REFERENCES fleets (id),
    attributes TEXT
);
CREATE INDEX depots_fleet_id ON depots (fleet_id);

CREATE TABLE vehicles (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    registration_number TEXT NOT NULL UNIQUE,
    vin TEXT UNIQUE,
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
CREATE INDEX vehicles_status ON vehicles (status);
CREATE INDEX vehicles_fleet_id ON vehicles (fleet_id);
CREATE INDEX vehicles_depot_id ON vehicles (depot_id);

CREATE TABLE drivers (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    erased BIGINT NOT NULL DEFAULT 0,
    name TEXT,
    phone TEXT,
    phone_blind TEXT,
    email TEXT,
    email_blind TEXT,
    license_number TEXT,
    license_number_blind TEXT,
    status TEXT,
    fleet_id TEXT REFERENCES fleets (id),
    vehicle_id TEXT REFERENCES vehicles (id),
    rating DOUBLE PRECISION,
    attributes TEXT
);
CREATE INDEX drivers_phone_blind ON drivers (phone_blind);
CREATE INDEX drivers_email_blind ON drivers (email_blind);
CREATE INDEX drivers_license_number_blind ON drivers (license_number_blind);
CREATE INDEX drivers_status ON drivers (status);
CREATE INDEX drivers_fleet_id ON drivers (fleet_id);
CREATE INDEX drivers_vehicle_id ON drivers (vehicle_id);

CREATE TABLE assignments (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    driver_id TEXT NOT NULL REFERENCES drivers (id),
    vehicle_id TEXT NOT NULL REFERENCES vehicles (id),
    starts_at BIGINT NOT NULL,
    ends_at BIGINT,
    note TEXT
);
CREATE INDEX assignments_driver_id ON assignments (driver_id);
CREATE INDEX assignments_vehicle_id ON assignments (vehicle_id);
CREATE INDEX assignments_starts_at ON assignments (starts_at);
CREATE INDEX assignments_ends_at ON assignments (ends_at);

CREATE TABLE stations (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    name TEXT NOT NULL,
    latitude DOUBLE PRECISION NOT NULL,
    longitude DOUBLE PRECISION NOT NULL,
    region TEXT,
    capacity BIGINT,
    low_stock_threshold BIGINT,
    status TEXT,
    fleet_id TEXT REFERENCES fleets (id),
    attributes TEXT
);
CREATE INDEX stations_region ON stations (region);
CREATE INDEX stations_status ON stations (status);
CREATE INDEX stations_fleet_id ON stations (fleet_id);

CREATE TABLE customers (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    erased BIGINT NOT NULL DEFAULT 0,
    name TEXT,
    email TEXT,
    email_blind TEXT,
    phone TEXT,
    phone_blind TEXT,
    address TEXT,
    fleet_id TEXT REFERENCES fleets (id),
    status TEXT,
    attributes TEXT
);
CREATE INDEX customers_email_blind ON customers (email_blind);
CREATE INDEX customers_phone_blind ON customers (phone_blind);
CREATE INDEX customers_fleet_id ON customers (fleet_id);

CREATE TABLE routes (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    name TEXT,
    vehicle_id TEXT REFERENCES vehicles (id),
    driver_id TEXT REFERENCES drivers (id),
    fleet_id TEXT REFERENCES fleets (id),
    status TEXT,
    date TEXT NOT NULL,
    stops TEXT,
    attributes TEXT
);
CREATE INDEX routes_vehicle_id ON routes (vehicle_id);
CREATE INDEX routes_driver_id ON routes (driver_id);
CREATE INDEX routes_fleet_id ON routes (fleet_id);
CREATE INDEX routes_status ON routes (status);
CREATE INDEX routes_date ON routes (date);

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    erased BIGINT NOT NULL DEFAULT 0,
    order_id TEXT UNIQUE,
    tracking_number TEXT NOT NULL UNIQUE,
    customer_id TEXT UNIQUE REFERENCES customers (id),
    driver_id TEXT REFERENCES drivers (id),
    vehicle_id TEXT REFERENCES vehicles (id),
    route_id TEXT UNIQUE REFERENCES routes (id),
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
CREATE INDEX deliveries_customer_id ON deliveries (customer_id);
CREATE INDEX deliveries_driver_id ON deliveries (driver_id);
CREATE INDEX deliveries_vehicle_id ON deliveries (vehicle_id);
CREATE INDEX deliveries_route_id ON deliveries (route_id);
CREATE INDEX deliveries_fleet_id ON deliveries (fleet_id);
CREATE INDEX deliveries_status ON deliveries (status);
CREATE INDEX deliveries_window_end ON deliveries (window_end);

CREATE TABLE maintenance_records (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    vehicle_id TEXT NOT NULL REFERENCES vehicles (id),
    date TEXT NOT NULL,
    kind TEXT NOT NULL,
    odometer_km DOUBLE PRECISION,
    cost DOUBLE PRECISION,
    note TEXT
);
CREATE INDEX maintenance_records_vehicle_id ON maintenance_records (vehicle_id);
CREATE INDEX maintenance_records_date ON maintenance_records (date);

CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    asset_kind TEXT NOT NULL,
    asset_id TEXT NOT NULL,
    name TEXT,
    model TEXT,
    serial TEXT UNIQUE,
    status TEXT,
    fleet_id TEXT REFERENCES fleets (id),
    attributes TEXT
);
CREATE INDEX devices_asset_id ON devices (asset_id);
CREATE INDEX devices_fleet_id ON devices (fleet_id);
