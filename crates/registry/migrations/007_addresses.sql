-- From where a change was asked for.
ALTER TABLE outbox ADD COLUMN address TEXT;
