-- The history of each delivery. What was kept with an event is sealed for the person that it was about.

CREATE TABLE delivery_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    delivery_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    time BIGINT NOT NULL,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    person TEXT NOT NULL,
    data TEXT,
    actor TEXT NOT NULL
);
CREATE INDEX delivery_events_delivery_id ON delivery_events (delivery_id);

CREATE TRIGGER delivery_events_stay BEFORE DELETE ON delivery_events
BEGIN
    SELECT RAISE(ABORT, 'the history of a delivery is kept');
END;
CREATE TRIGGER delivery_events_stay_as_they_are BEFORE UPDATE ON delivery_events
BEGIN
    SELECT RAISE(ABORT, 'the history of a delivery is kept');
END;
