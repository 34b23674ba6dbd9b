-- Plates, serial numbers and numbers of orders are unique within a fleet: what another fleet has is not told by a refusal, and
-- two fleets may both have an order 1001.
ALTER TABLE vehicles DROP CONSTRAINT vehicles_registration_number_key;
ALTER TABLE vehicles DROP CONSTRAINT vehicles_vin_key;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_order_id_key;
ALTER TABLE devices DROP CONSTRAINT devices_serial_key;
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
