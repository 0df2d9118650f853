-- Statements about calls. Whoever changes one holds its request's row lock.

-- name: lock_request
-- Which request a call belongs to never changes, so it may be read before the lock.
SELECT * FROM requests WHERE id = (SELECT request_id FROM calls WHERE id = $1) FOR UPDATE

-- name: get
SELECT c.*, rs.seen_at AS requester_seen_at, rs.owner_epoch AS requester_owner_epoch,
       vs.seen_at AS volunteer_seen_at, vs.owner_epoch AS volunteer_owner_epoch,
       ru.status = 'suspended' AS requester_suspended, vu.status = 'suspended' AS volunteer_suspended, eyeline_now() AS now,
       eyeline_watched_since() AS watched_since
FROM calls c JOIN sessions rs ON rs.id = c.requester_session JOIN sessions vs ON vs.id = c.volunteer_session
     JOIN users ru ON ru.id = c.requester_id JOIN users vu ON vu.id = c.volunteer_id
WHERE c.id = $1

-- name: of_epoch
SELECT c.*, rs.seen_at AS requester_seen_at, rs.owner_epoch AS requester_owner_epoch,
       vs.seen_at AS volunteer_seen_at, vs.owner_epoch AS volunteer_owner_epoch,
       ru.status = 'suspended' AS requester_suspended, vu.status = 'suspended' AS volunteer_suspended, eyeline_now() AS now,
       eyeline_watched_since() AS watched_since
FROM calls c JOIN sessions rs ON rs.id = c.requester_session JOIN sessions vs ON vs.id = c.volunteer_session
     JOIN users ru ON ru.id = c.requester_id JOIN users vu ON vu.id = c.volunteer_id
WHERE c.request_id = $1 AND c.epoch = $2

-- name: live_of_person
SELECT c.*, rs.seen_at AS requester_seen_at, rs.owner_epoch AS requester_owner_epoch,
       vs.seen_at AS volunteer_seen_at, vs.owner_epoch AS volunteer_owner_epoch,
       ru.status = 'suspended' AS requester_suspended, vu.status = 'suspended' AS volunteer_suspended, eyeline_now() AS now,
       eyeline_watched_since() AS watched_since
FROM calls c JOIN sessions rs ON rs.id = c.requester_session JOIN sessions vs ON vs.id = c.volunteer_session
     JOIN users ru ON ru.id = c.requester_id JOIN users vu ON vu.id = c.volunteer_id
WHERE (c.requester_id = $1 OR c.volunteer_id = $1) AND c.state <> 'ended'

-- name: untold
SELECT c.*, rs.seen_at AS requester_seen_at, rs.owner_epoch AS requester_owner_epoch,
       vs.seen_at AS volunteer_seen_at, vs.owner_epoch AS volunteer_owner_epoch,
       ru.status = 'suspended' AS requester_suspended, vu.status = 'suspended' AS volunteer_suspended, eyeline_now() AS now,
       eyeline_watched_since() AS watched_since
FROM calls c JOIN sessions rs ON rs.id = c.requester_session JOIN sessions vs ON vs.id = c.volunteer_session
     JOIN users ru ON ru.id = c.requester_id JOIN users vu ON vu.id = c.volunteer_id
WHERE c.request_id = $1 AND c.told_version < c.version

-- name: write
UPDATE calls
SET attempt = $2, state = $3, requester_session = $4, requester_media = $5, requester_away_since = $6,
    volunteer_session = $7, volunteer_media = $8, volunteer_away_since = $9, connect_by = $10, connected_at = $11,
    reconnecting_since = $12, ended_at = $13, end_reason = $14, ended_by = $15, version = $16,
    picture = $17, picture_since = $18
WHERE id = $1

-- name: free_both
DELETE FROM busy WHERE request_id = $1 AND what = 'call' AND person_id = ANY ($2::uuid[])

-- name: leave_alone
UPDATE users SET not_before = $2, connected_at = coalesce(connected_at, $3) WHERE id = $1

-- name: next_look
UPDATE requests SET next_look_at = least(next_look_at, $2) WHERE id = $1 AND state <> 'ended'

-- name: reports_of
SELECT side, attempt, report FROM call_reports WHERE call_id = $1 ORDER BY side, attempt

-- name: seal
-- But of a probe (matching/languages.py).
INSERT INTO call_quality (call_id, requester, volunteer)
SELECT $1, $2::jsonb, $3::jsonb WHERE NOT EXISTS (SELECT FROM calls WHERE id = $1 AND language = 'qaa')

-- name: report
-- Of calls that go on; what a later report of the same connection says counts, also when this one is lost.
INSERT INTO call_reports (call_id, side, attempt, report)
SELECT n.call_id, n.side, n.attempt, n.report
FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::jsonb[]) AS n (call_id, side, attempt, report)
     JOIN calls c ON c.id = n.call_id
WHERE c.state <> 'ended' AND (SELECT eyeline_may_be_lost())
ORDER BY 1, 2, 3
ON CONFLICT (call_id, side, attempt) DO UPDATE SET report = excluded.report

-- name: forget_reports
DELETE FROM call_reports WHERE (call_id, side, attempt) IN (
    SELECT r.call_id, r.side, r.attempt FROM call_reports r JOIN calls c ON c.id = r.call_id
    WHERE c.state = 'ended' LIMIT 5000 FOR UPDATE OF r SKIP LOCKED)

-- name: forget_quality
DELETE FROM call_quality WHERE call_id < (SELECT eyeline_uuid_at(eyeline_now() - $1::interval))
