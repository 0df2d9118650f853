-- What the volunteer sees, as soon as a picture came.
ALTER TABLE calls
    ADD COLUMN picture       text CHECK (picture IN ('ok', 'frozen', 'dark', 'paused')),
    ADD COLUMN picture_since timestamptz,
    ADD CHECK ((picture IS NULL) = (picture_since IS NULL));

-- The last report of each side's connection in calls that go on. Each holds all since that connection was begun, so one
-- that is lost is made good by the next: no write-ahead log.
CREATE UNLOGGED TABLE call_reports (
    call_id uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    side    text NOT NULL CHECK (side IN ('requester', 'volunteer')),
    attempt integer NOT NULL,
    report  jsonb NOT NULL,
    PRIMARY KEY (call_id, side, attempt)
);

-- How a call went, written in the transaction that ends it: by side, as signaling/quality.py sums it up; null for a side
-- that never reported. Nothing about persons.
CREATE TABLE call_quality (
    call_id   uuid PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    requester jsonb,
    volunteer jsonb
);
