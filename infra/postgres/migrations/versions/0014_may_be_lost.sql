-- The transaction of a statement that reads this does not wait for the disk: what it writes may be lost in a crash of Postgres,
-- and is then written or told once more.
CREATE FUNCTION eyeline_may_be_lost() RETURNS boolean LANGUAGE sql VOLATILE
RETURN set_config('synchronous_commit', 'off', true) = 'off';
