-- Volunteers whose change may not have reached the index yet: written with the change itself, whoever makes it. A node lists them
-- at once; another lists them again some seconds later, and takes this away.
CREATE TABLE relistings (
    person_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    since     timestamptz NOT NULL
);

-- Argument: the column that says who.
CREATE FUNCTION eyeline_relist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO relistings (person_id, since)
    SELECT id, eyeline_now() FROM users WHERE id = (to_jsonb(NEW) ->> TG_ARGV[0])::uuid AND role = 'volunteer'
    ON CONFLICT (person_id) DO UPDATE SET since = excluded.since;
    RETURN NULL;
END $$;

-- Only what may make somebody easier to find: who is listed although they must not be asked is refused by the wave's transaction,
-- and then listed anew.
CREATE TRIGGER relist AFTER UPDATE OF role, status, languages, time_zone ON users
    FOR EACH ROW EXECUTE FUNCTION eyeline_relist('id');
CREATE TRIGGER relist AFTER INSERT OR UPDATE ON availability
    FOR EACH ROW EXECUTE FUNCTION eyeline_relist('user_id');
CREATE TRIGGER relist AFTER INSERT ON push_values
    FOR EACH ROW EXECUTE FUNCTION eyeline_relist('user_id');
