-- Statements about practice calls. Whoever changes one holds its row lock, taken before any other.

-- name: forget_old
-- Those long over, and those who waited and went away.
DELETE FROM practice_calls
WHERE state = 'ended' AND ended_at < (SELECT eyeline_now() - interval '1 day')
   OR state = 'waiting' AND wanted_at < eyeline_now() - interval '1 minute'

-- name: is_taken
-- Rung or in a call, or asking for help.
SELECT EXISTS (SELECT FROM busy b WHERE b.person_id = $1 AND b.until > eyeline_now() AND b.what <> 'practice')
    OR EXISTS (SELECT FROM requests r WHERE r.requester_id = $1 AND r.state <> 'ended')

-- name: waiting
SELECT count(*) FROM practice_calls WHERE state = 'waiting'

-- name: ask
-- Asked again, also on another device, the place is kept.
INSERT INTO practice_calls (person_id, session_id, side, language) VALUES ($1, $2, $3, $4)
ON CONFLICT (person_id) WHERE state <> 'ended' DO UPDATE
SET session_id = excluded.session_id, wanted_at = excluded.wanted_at
WHERE practice_calls.state = 'waiting'

-- name: place
SELECT count(*) FROM practice_calls p JOIN practice_calls mine ON mine.person_id = $1 AND mine.state = 'waiting'
WHERE p.state = 'waiting' AND (p.asked_at, p.id) <= (mine.asked_at, mine.id)

-- name: leave
DELETE FROM practice_calls WHERE person_id = $1 AND state = 'waiting'

-- name: next_waiting
-- Who is there and said lately that they wait, and is not taken by anything that goes before.
SELECT p.id, p.person_id FROM practice_calls p JOIN sessions s ON s.id = p.session_id
WHERE p.state = 'waiting' AND s.ended_at IS NULL
  AND p.wanted_at > eyeline_now() - interval '30 seconds'
  AND greatest(s.seen_at, p.wanted_at) > eyeline_now() - interval '15 seconds'
  AND NOT EXISTS (SELECT FROM busy b WHERE b.person_id = p.person_id AND b.until > eyeline_now())
  AND NOT EXISTS (SELECT FROM requests r WHERE r.requester_id = p.person_id AND r.state <> 'ended')
ORDER BY p.asked_at, p.id LIMIT 1 FOR UPDATE OF p SKIP LOCKED

-- name: take
INSERT INTO busy (person_id, until, request_id, what)
SELECT u.id, 'infinity', $2, 'practice' FROM users u WHERE u.id = $1 AND u.status <> 'suspended'
ON CONFLICT (person_id) DO UPDATE SET until = excluded.until, request_id = excluded.request_id, what = excluded.what
WHERE busy.until < eyeline_now()
RETURNING person_id

-- name: lock_person
-- Whoever asks for help just now is waited for.
SELECT FROM users WHERE id = $1 FOR UPDATE

-- name: asks
SELECT EXISTS (SELECT FROM requests r WHERE r.requester_id = $1 AND r.state <> 'ended')

-- name: begin
UPDATE practice_calls
SET state = 'connecting', began_at = n.now, ends_at = n.now + $2::interval, connect_by = n.now + $3::interval,
    phone_until = n.now + $4::interval, next_look_at = n.now + interval '1 second'
FROM (SELECT eyeline_now() AS now) n
WHERE id = $1

-- name: lock
SELECT FROM practice_calls WHERE id = $1 AND state <> 'waiting' FOR UPDATE

-- name: get
SELECT p.*, s.seen_at, s.owner_epoch, u.status = 'suspended' AS suspended, eyeline_now() AS now,
       eyeline_watched_since() AS watched_since
FROM practice_calls p JOIN sessions s ON s.id = p.session_id JOIN users u ON u.id = p.person_id
WHERE p.id = $1 AND p.state <> 'waiting'

-- name: live_of_person
SELECT p.*, s.seen_at, s.owner_epoch, u.status = 'suspended' AS suspended, eyeline_now() AS now,
       eyeline_watched_since() AS watched_since
FROM practice_calls p JOIN sessions s ON s.id = p.session_id JOIN users u ON u.id = p.person_id
WHERE p.person_id = $1 AND p.state NOT IN ('waiting', 'ended')

-- name: write
UPDATE practice_calls
SET attempt = $2, state = $3, session_id = $4, media = $5, away_since = $6, phone_media = $7, connect_by = $8,
    connected_at = $9, reconnecting_since = $10, ended_at = $11, end_reason = $12, ended_by = $13, version = $14
WHERE id = $1

-- name: free
DELETE FROM busy WHERE person_id = $1 AND request_id = $2 AND what = 'practice'

-- name: renew
UPDATE practice_calls SET phone_until = eyeline_now() + $2::interval WHERE id = ANY ($1::uuid[]) AND state <> 'ended'

-- name: due
UPDATE practice_calls SET next_look_at = eyeline_now() + interval '1 second'
WHERE id = ANY (ARRAY (SELECT id FROM practice_calls WHERE next_look_at <= (SELECT eyeline_now())
                       ORDER BY next_look_at LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING id

-- name: mark_told
UPDATE practice_calls
SET told_version = greatest(told_version, $2),
    next_look_at = CASE WHEN state = 'ended' AND $2 >= version THEN NULL ELSE next_look_at END
WHERE id = $1
