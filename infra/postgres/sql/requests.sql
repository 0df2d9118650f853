-- Statements about requests and offers. Whoever changes any of it holds the request's row lock.

-- name: clock
SELECT eyeline_now() AS now

-- name: free_old_key
UPDATE requests SET idempotency_key = NULL
WHERE requester_id = $1 AND idempotency_key = $2 AND created_at < eyeline_now() - interval '24 hours'

-- name: by_key
SELECT * FROM requests WHERE requester_id = $1 AND idempotency_key = $2

-- name: insert
INSERT INTO requests (requester_id, session_id, languages, index_languages, topic, mode, idempotency_key, body_hash,
                      created_at, waiting_since, deadline, next_look_at)
-- Looked at at once by the node that opened it, and should that node die, soon by any.
SELECT $1, $2, $3, $4, $5, $6, $7, $8, n.now, n.now, n.now + $9::interval, n.now + interval '0.5 seconds'
FROM (SELECT eyeline_now() AS now) n
ON CONFLICT DO NOTHING
RETURNING *

-- name: get
SELECT * FROM requests WHERE id = $1

-- name: current
SELECT * FROM requests WHERE requester_id = $1 AND state <> 'ended'

-- name: lock
SELECT * FROM requests WHERE id = $1 FOR UPDATE

-- name: facts
SELECT eyeline_now() AS now, (SELECT status = 'suspended' FROM users WHERE id = $1) AS requester_suspended,
       (SELECT max(seen_at) FROM sessions WHERE user_id = $1 AND ended_at IS NULL) AS requester_seen_at

-- name: offers_of_case
SELECT o.*, o.outcome IS NULL
            AND EXISTS (SELECT FROM users u WHERE u.id = o.person_id AND u.status = 'suspended') AS barred
FROM offers o WHERE o.request_id = $1 AND (o.epoch = $2 OR o.outcome IS NULL)

-- name: write
UPDATE requests
SET state = $2, outcome = $3, epoch = $4, returns = $5, waiting_since = $6, deadline = $7, call_id = $8, version = $9,
    hungry = $10, next_look_at = $11, ended_at = $12
WHERE id = $1

-- name: end_offers
UPDATE offers o
SET outcome = e.outcome, reason = e.reason, session_id = e.session_id, ended_at = $6
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::uuid[]) AS e (person_id, outcome, reason, session_id)
WHERE o.request_id = $1 AND o.person_id = e.person_id AND o.outcome IS NULL

-- name: lock_busy
SELECT person_id FROM busy WHERE request_id = $1 OR person_id = ANY ($2::uuid[]) ORDER BY person_id FOR UPDATE

-- name: free_offered
DELETE FROM busy WHERE request_id = $1 AND what = 'offer' AND person_id = ANY ($2::uuid[])

-- name: take_for_call
INSERT INTO busy (person_id, until, request_id, what)
SELECT u.id, 'infinity', $1, 'call' FROM users u WHERE u.id = ANY ($2::uuid[]) AND u.status <> 'suspended' ORDER BY u.id
ON CONFLICT (person_id) DO UPDATE SET until = excluded.until, request_id = excluded.request_id, what = excluded.what
WHERE busy.until < eyeline_now() OR busy.request_id = excluded.request_id
RETURNING person_id

-- name: leave_alone
UPDATE users u SET not_before = $2
FROM (SELECT id FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE) AS rest WHERE u.id = rest.id

-- name: insert_call
INSERT INTO calls (request_id, epoch, mode, language, requester_id, requester_session, volunteer_id, volunteer_session,
                   created_at, connect_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING id

-- name: hours
SELECT user_id, weekly, time_zone FROM availability JOIN users ON id = user_id WHERE user_id = ANY ($1::uuid[])

-- name: wave
-- $10: those of the people whose hours it is. $12: whether devices unseen for a month are left in peace.
-- A hot person's devices ring when their open app does not answer.
WITH candidates AS (
    SELECT u.id AS person_id, t.tier
    FROM users u CROSS JOIN LATERAL (SELECT eyeline_tier(u.id, $9) AS tier) t
         LEFT JOIN availability a ON a.user_id = u.id
    WHERE u.id = ANY ($2::uuid[]) AND u.status = 'active' AND u.role = 'volunteer' AND u.id <> $3
      AND NOT coalesce(a.paused_until > eyeline_now(), a.paused, false)
      AND (t.tier = 'hot' OR u.id = ANY ($10::uuid[]) AND (t.tier = 'cold' OR t.tier = 'idle' AND NOT $12))
      AND NOT EXISTS (SELECT FROM avoided_pairs p WHERE p.low = least(u.id, $3) AND p.high = greatest(u.id, $3))
      AND NOT EXISTS (SELECT FROM offers o WHERE o.request_id = $1 AND o.person_id = u.id AND o.outcome IS NULL)
    ORDER BY u.id
), taken AS (
    INSERT INTO busy (person_id, until, request_id, what)
    SELECT person_id, $8, $1, 'offer' FROM candidates ORDER BY person_id
    ON CONFLICT (person_id) DO UPDATE SET until = excluded.until, request_id = excluded.request_id, what = excluded.what
    WHERE busy.until < eyeline_now()
    RETURNING person_id
)
INSERT INTO offers (request_id, person_id, epoch, wave, language, offered_at, expires_at, tier, urgent, ring_due_at)
SELECT $1, person_id, $4, $5, $6, $7, $8, tier, $12,
       CASE WHEN EXISTS (SELECT FROM push_values p WHERE p.user_id = person_id AND p.kind IN ('fcm', 'webpush'))
            THEN CASE WHEN tier = 'hot' THEN $7::timestamptz + $11::interval ELSE $7::timestamptz END END
FROM taken JOIN candidates USING (person_id)
RETURNING person_id

-- name: count_wave
UPDATE requests
SET wave = wave + 1, asked = asked + $2, version = version + 1, hungry = $3,
    next_look_at = least(next_look_at, eyeline_now() + interval '1 second')
WHERE id = $1

-- name: due
-- The array is made once, so that no plan claims more than was asked for; and the clock in it is read once, since no
-- index can be searched by a volatile function.
UPDATE requests
SET next_look_at = eyeline_now() + CASE WHEN state = 'in_call' THEN interval '3 seconds' ELSE interval '1 second' END
WHERE id = ANY (ARRAY (SELECT id FROM requests WHERE next_look_at <= (SELECT eyeline_now())
                       ORDER BY next_look_at LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING id

-- name: look_now
-- One that is locked is being decided on, which is a look's work; and a frozen node must not hold up all the others.
UPDATE requests SET next_look_at = eyeline_now()
WHERE id = ANY (ARRAY (SELECT id FROM requests WHERE state = 'waiting' FOR NO KEY UPDATE SKIP LOCKED))

-- name: exclusions
SELECT CASE WHEN p.low = r.requester_id THEN p.high ELSE p.low END AS person_id
FROM requests r JOIN avoided_pairs p ON r.requester_id IN (p.low, p.high)
WHERE r.id = $1
UNION
SELECT person_id FROM offers WHERE request_id = $1 AND (outcome IS NULL OR outcome IN ('declined', 'won'))

-- name: let_expire
SELECT DISTINCT person_id FROM offers WHERE request_id = $1 AND outcome = 'expired'

-- name: older_hungry
-- One whose look is due may have become hungry just now: looks are due when time alone makes more people wanted.
SELECT r.id FROM requests r
WHERE r.state = 'waiting' AND (r.hungry OR r.next_look_at <= (SELECT eyeline_now())) AND (r.created_at, r.id) < ($1, $2) AND $3 = ANY (r.index_languages)
  AND EXISTS (SELECT FROM sessions s WHERE s.user_id = r.requester_id AND s.ended_at IS NULL
              AND s.seen_at > eyeline_now() - $4::interval)
ORDER BY r.created_at, r.id LIMIT $5

-- name: oldest_waiting_for
SELECT r.id FROM users u JOIN requests r ON r.index_languages && u.index_languages
WHERE u.id = $1 AND r.state = 'waiting' AND (r.hungry OR r.next_look_at <= eyeline_now()) AND r.deadline > eyeline_now()
  AND EXISTS (SELECT FROM sessions s WHERE s.user_id = r.requester_id AND s.ended_at IS NULL
              AND s.seen_at > eyeline_now() - $2::interval)
  AND NOT EXISTS (SELECT FROM avoided_pairs p
                  WHERE p.low = least($1, r.requester_id) AND p.high = greatest($1, r.requester_id))
  AND NOT EXISTS (SELECT FROM offers o WHERE o.request_id = r.id AND o.person_id = $1
                  AND (o.outcome IS NULL OR o.outcome IN ('declined', 'won')))
ORDER BY r.created_at, r.id LIMIT 1

-- name: draw_ready
-- From those who are ready, who are few, and not from all volunteers.
SELECT u.id
FROM (SELECT DISTINCT user_id FROM sessions
      WHERE ready AND ended_at IS NULL AND seen_at > eyeline_now() - $4::interval) AS hot
     JOIN users u ON u.id = hot.user_id
     LEFT JOIN availability a ON a.user_id = u.id LEFT JOIN busy b ON b.person_id = u.id
WHERE u.role = 'volunteer' AND u.status = 'active' AND NOT u.id = ANY ($2::uuid[])
  AND coalesce(u.not_before <= eyeline_now(), true) AND coalesce(b.until < eyeline_now(), true)
  AND NOT coalesce(a.paused_until > eyeline_now(), a.paused, false)
  AND $1 = ANY (u.index_languages)
ORDER BY u.last_asked_at NULLS FIRST, random() LIMIT $3

-- name: draw_closed
-- Who has the app closed, while the index is away: whose turn it is, among the first so many; hours are judged by whoever
-- asks.
SELECT u.id, u.time_zone, a.weekly
FROM (SELECT * FROM users WHERE role = 'volunteer' AND status = 'active' AND $1 = ANY (index_languages)
      AND NOT id = ANY ($2::uuid[]) AND coalesce(not_before <= eyeline_now(), true)
      ORDER BY last_asked_at NULLS FIRST, id LIMIT $3) u
     JOIN availability a ON a.user_id = u.id LEFT JOIN busy b ON b.person_id = u.id
WHERE coalesce(b.until < eyeline_now(), true) AND NOT coalesce(a.paused_until > eyeline_now(), a.paused, false)
  AND eyeline_tier(u.id, $4) = 'cold'

-- name: offer_for
SELECT * FROM offers WHERE request_id = $1 AND person_id = $2 AND epoch = $3 ORDER BY wave DESC LIMIT 1

-- name: open_offers
SELECT o.*, r.topic, r.mode, r.created_at AS waiting_since FROM offers o JOIN requests r ON r.id = o.request_id
WHERE o.person_id = $1 AND o.outcome IS NULL AND o.expires_at > eyeline_now()
ORDER BY o.offered_at

-- name: note_delivered
-- Whose open app has it needs no push. A cold person's was sent at once.
UPDATE offers o SET delivered_at = eyeline_now(), ring_due_at = CASE WHEN tier <> 'hot' THEN ring_due_at END
FROM unnest($2::uuid[], $3::integer[]) AS d (request_id, epoch)
WHERE o.person_id = $1 AND o.request_id = d.request_id AND o.epoch = d.epoch AND o.delivered_at IS NULL

-- name: note_progress
UPDATE requests SET progress_note = $2, progress_asked = $3, progress_at = $4 WHERE id = $1

-- name: avoid
INSERT INTO avoided_pairs (low, high, by) VALUES (least($1::uuid, $2::uuid), greatest($1::uuid, $2::uuid), $1)
ON CONFLICT DO NOTHING

-- name: untold_offers
SELECT o.*, r.topic, r.mode, r.created_at AS waiting_since,
       ARRAY (SELECT s.id FROM sessions s WHERE s.user_id = o.person_id AND s.ended_at IS NULL
              AND s.seen_at > eyeline_now() - interval '5 minutes') AS sessions
FROM offers o JOIN requests r ON r.id = o.request_id
WHERE o.request_id = $1 AND ((o.outcome IS NULL AND o.told_at IS NULL) OR (o.outcome IS NOT NULL AND o.end_told_at IS NULL))

-- name: untold_request
SELECT r.*, eyeline_now() AS now,
       ARRAY (SELECT s.id FROM sessions s WHERE s.user_id = r.requester_id AND s.ended_at IS NULL
              AND s.seen_at > eyeline_now() - interval '5 minutes') AS sessions,
       EXISTS (SELECT FROM calls c WHERE c.request_id = r.id AND c.told_version < c.version) AS of_calls,
       EXISTS (SELECT FROM offers o WHERE o.request_id = r.id AND o.end_told_at IS NULL
               AND (o.told_at IS NULL OR o.outcome IS NOT NULL)) AS of_offers,
       EXISTS (SELECT FROM offers o WHERE o.request_id = r.id
               AND (o.outcome IS NULL AND o.ring_due_at <= eyeline_now()
                    OR o.outcome IS NOT NULL AND o.rung <> '{}' AND o.quieted_at IS NULL)) AS of_wakes
FROM requests r WHERE r.id = $1

-- name: lock_free
SELECT id FROM requests WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED

-- name: mark_offers
UPDATE offers o
SET told_at = coalesce(o.told_at, eyeline_now()),
    end_told_at = CASE WHEN m.over THEN coalesce(o.end_told_at, eyeline_now()) ELSE o.end_told_at END
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::integer[], $5::boolean[]) AS m (request_id, person_id, epoch, wave, over)
WHERE o.request_id = m.request_id AND o.person_id = m.person_id AND o.epoch = m.epoch AND o.wave = m.wave

-- name: mark_asked
UPDATE users u SET last_asked_at = eyeline_now()
FROM (SELECT id FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE) AS asked WHERE u.id = asked.id

-- name: mark_calls
UPDATE calls c SET told_version = greatest(c.told_version, m.version)
FROM unnest($1::uuid[], $2::bigint[]) AS m (id, version) WHERE c.id = m.id

-- name: mark_requests
UPDATE requests r SET told_version = greatest(r.told_version, m.version)
FROM unnest($1::uuid[], $2::bigint[]) AS m (id, version) WHERE r.id = m.id

-- name: rest_when_told
UPDATE requests r SET next_look_at = NULL
WHERE r.id = ANY ($1::uuid[]) AND r.state = 'ended' AND r.told_version >= r.version
  AND NOT EXISTS (SELECT FROM calls c WHERE c.request_id = r.id AND c.told_version < c.version)
  AND NOT EXISTS (SELECT FROM offers o WHERE o.request_id = r.id
                  AND (o.end_told_at IS NULL OR o.rung <> '{}' AND o.quieted_at IS NULL))
