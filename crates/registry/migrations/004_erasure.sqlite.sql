-- A customer waits for many deliveries and a route has many: neither is unique. (SQLite has no other way than a new table.)
CREATE TABLE deliveries_anew (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    erased BIGINT NOT NULL DEFAULT 0,
    order_id TEXT UNIQUE,
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
INSERT INTO deliveries_anew SELECT * FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_anew RENAME TO deliveries;
CREATE INDEX deliveries_customer_id ON deliveries (customer_id);
CREATE INDEX deliveries_driver_id ON deliveries (driver_id);
CREATE INDEX deliveries_vehicle_id ON deliveries (vehicle_id);
CREATE INDEX deliveries_route_id ON deliveries (route_id);
CREATE INDEX deliveries_fleet_id ON deliveries (fleet_id);
CREATE INDEX deliveries_status ON deliveries (status);
CREATE INDEX deliveries_window_end ON deliveries (window_end);

-- The history of a delivery stays, and where it happened may be emptied for somebody who is erased; what is sealed may be
-- emptied or sealed anew.
CREATE INDEX delivery_events_person ON delivery_events (person);
DROP TRIGGER delivery_events_stay_as_they_are;
CREATE TRIGGER delivery_events_stay_as_they_are BEFORE UPDATE ON delivery_events
WHEN NEW.seq IS NOT OLD.seq
    OR NEW.id IS NOT OLD.id
    OR NEW.delivery_id IS NOT OLD.delivery_id
    OR NEW.event_type IS NOT OLD.event_type
    OR NEW.time IS NOT OLD.time
    OR NEW.person IS NOT OLD.person
    OR NEW.actor IS NOT OLD.actor
    OR (NEW.latitude IS NOT NULL AND NEW.latitude IS NOT OLD.latitude)
    OR (NEW.longitude IS NOT NULL AND NEW.longitude IS NOT OLD.longitude)
    OR (NEW.data IS NOT NULL AND (OLD.data IS NULL OR NEW.data NOT LIKE 'v1.%'))
BEGIN
    SELECT RAISE(ABORT, 'the history of a delivery is kept');
END;
