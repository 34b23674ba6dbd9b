-- A customer waits for many deliveries and a route has many: neither is unique.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_customer_id_key;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_route_id_key;

-- The history of a delivery stays, and where it happened may be emptied for somebody who is erased; what is sealed may be
-- emptied or sealed anew.
CREATE INDEX delivery_events_person ON delivery_events (person);
DROP TRIGGER delivery_events_stay ON delivery_events;
CREATE TRIGGER delivery_events_stay BEFORE DELETE OR TRUNCATE ON delivery_events
    FOR EACH STATEMENT EXECUTE FUNCTION delivery_events_kept();
CREATE TRIGGER delivery_events_stay_as_they_are BEFORE UPDATE ON delivery_events FOR EACH ROW
WHEN (NEW.seq IS DISTINCT FROM OLD.seq
    OR NEW.id IS DISTINCT FROM OLD.id
    OR NEW.delivery_id IS DISTINCT FROM OLD.delivery_id
    OR NEW.event_type IS DISTINCT FROM OLD.event_type
    OR NEW.time IS DISTINCT FROM OLD.time
    OR NEW.person IS DISTINCT FROM OLD.person
    OR NEW.actor IS DISTINCT FROM OLD.actor
    OR (NEW.latitude IS NOT NULL AND NEW.latitude IS DISTINCT FROM OLD.latitude)
    OR (NEW.longitude IS NOT NULL AND NEW.longitude IS DISTINCT FROM OLD.longitude)
    OR (NEW.data IS NOT NULL AND (OLD.data IS NULL OR NEW.data NOT LIKE 'v1.%')))
    EXECUTE FUNCTION delivery_events_kept();
