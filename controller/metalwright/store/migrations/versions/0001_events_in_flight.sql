-- SPDX-License-Identifier: GPL-3.0-or-later
-- PostgreSQL takes an event's id before its transaction commits, so ids become visible out of order. A transaction that writes
-- events therefore says with a shared advisory lock (nobody ever waits for it) which id came last before its own; readers stop
-- there (store/events.py). Key: 0x4D57 in the upper 16 bits, the id in the lower 48. The setting is local to the transaction and
-- undone with a savepoint, as the lock is.
CREATE FUNCTION metalwright_event_in_flight() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last_id bigint;
BEGIN
    IF coalesce(current_setting('metalwright.event_in_flight', true), '') = '' THEN
        SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO last_id FROM event_id_seq;
        PERFORM pg_advisory_xact_lock_shared((x'4D57'::bigint << 48) | last_id);
        PERFORM set_config('metalwright.event_in_flight', 'yes', true);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER event_in_flight BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION metalwright_event_in_flight();
