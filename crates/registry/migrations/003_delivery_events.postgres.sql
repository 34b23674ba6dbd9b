-- The history of each delivery. What was kept with an event is sealed for the person that it was about.

CREATE TABLE delivery_events (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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

CREATE FUNCTION delivery_events_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the history of a delivery is kept';
END
$$;
CREATE TRIGGER delivery_events_stay BEFORE DELETE OR UPDATE OR TRUNCATE ON delivery_events
    FOR EACH STATEMENT EXECUTE FUNCTION delivery_events_kept();
