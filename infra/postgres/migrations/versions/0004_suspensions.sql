-- One suspension of one person; lifted, or in force. `follows`: their device or push value is that of somebody suspended.
CREATE TABLE suspensions (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    by         uuid REFERENCES users ON DELETE SET NULL,  -- NULL: the command line, or one that follows
    reason     text CHECK (char_length(reason) BETWEEN 1 AND 500),
    follows    uuid REFERENCES suspensions ON DELETE SET NULL,
    was        text NOT NULL CHECK (was IN ('active', 'held')),  -- what lifting it goes back to
    created_at timestamptz NOT NULL DEFAULT eyeline_now(),
    lifted_at  timestamptz
);
CREATE UNIQUE INDEX suspensions_in_force ON suspensions (user_id) WHERE lifted_at IS NULL;
CREATE INDEX suspensions_following ON suspensions (follows) WHERE lifted_at IS NULL;

-- What a suspended person used, by SHA-256: whoever comes with it is suspended too. Gone with the suspension.
CREATE TABLE bans (
    what          text NOT NULL CHECK (what IN ('device', 'fcm', 'webpush', 'apns_voip')),
    hash          bytea NOT NULL CHECK (octet_length(hash) = 32),
    suspension_id uuid NOT NULL REFERENCES suspensions ON DELETE CASCADE,
    PRIMARY KEY (what, hash, suspension_id)
);
CREATE INDEX bans_of ON bans (suspension_id);
