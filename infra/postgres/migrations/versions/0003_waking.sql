-- A push value keeps its id as long as its device keeps the value, so that a ring can be withdrawn where it was sent.
ALTER TABLE push_values
    ADD COLUMN id uuid NOT NULL DEFAULT uuidv7() UNIQUE,
    ADD COLUMN quarantined_until timestamptz,  -- the provider refused us for it
    ADD COLUMN not_before        timestamptz;  -- the provider wants to be left alone

-- How a person can be asked: hot (said ready, and is there), cold (has the app open, or a device that can be woken),
-- idle (only devices unseen for a month), or not at all: NULL.
CREATE FUNCTION eyeline_tier(person uuid, fresh interval) RETURNS text
LANGUAGE sql VOLATILE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN there.ready THEN 'hot'
        WHEN there.open OR woken.seen_at > eyeline_now() - interval '30 days' THEN 'cold'
        WHEN woken.seen_at IS NOT NULL THEN 'idle'
    END
    FROM (SELECT bool_or(s.ready) AS ready, bool_or(s.owner_epoch > 0) AS open FROM sessions s
          WHERE s.user_id = person AND s.ended_at IS NULL AND s.seen_at > eyeline_now() - fresh) AS there,
         (SELECT max(d.seen_at) AS seen_at FROM push_values p JOIN devices d USING (user_id, device_id)
          WHERE p.user_id = person AND p.kind IN ('fcm', 'webpush')
            AND coalesce(p.quarantined_until <= eyeline_now(), true)) AS woken;
END;

-- What becomes of an offer outside the socket. Rings first: due, in somebody's hands until, tried so often, and the push
-- values that took one or may have. When the offer is over each of those is told so, quietly.
ALTER TABLE offers
    ADD COLUMN tier               text NOT NULL DEFAULT 'hot' CHECK (tier IN ('hot', 'cold', 'idle')),
    ADD COLUMN urgent             boolean NOT NULL DEFAULT true,  -- devices unseen for a month are left in peace
    ADD COLUMN ring_due_at        timestamptz,
    ADD COLUMN ring_claimed_until timestamptz,
    ADD COLUMN ring_tries         smallint NOT NULL DEFAULT 0,
    ADD COLUMN ring_failed_at     timestamptz,  -- no device took it, so far
    ADD COLUMN push_again         uuid[],       -- push values to try once more; NULL: all there are
    ADD COLUMN rung               uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN quiet_due_at       timestamptz,
    ADD COLUMN quiet_tries        smallint NOT NULL DEFAULT 0,
    ADD COLUMN quieted_at         timestamptz;

-- For draws while the index is away: whose turn it is, among all.
CREATE INDEX users_turns ON users (last_asked_at NULLS FIRST, id) WHERE role = 'volunteer' AND status = 'active';
