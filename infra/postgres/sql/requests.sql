-- Statements about requests and offers. Whoever changes any of it holds the request's row lock.

-- name: clock
SELECT eyeline_now() AS now

-- name: free_old_key
UPDATE requests SET idempotency_key = NULL
WHERE requester_id = $1 AND idempotency_key = $2 AND created_at < eyeline_now() - interval '24 hours'

-- name: by_fresh_key
SELECT * FROM requests
WHERE requester_id = $1 AND idempotency_key = $2 AND created_at >= eyeline_now() - interval '24 hours'

-- name: by_key
SELECT * FROM requests WHERE requester_id = $1 AND idempotency_key = $2

-- name: insert
-- $10 group, $11 desk, $12 when anybody may be asked. $13: the call whose volunteer is asked first, if it ended within two
-- minutes, $14 for how long.
INSERT INTO requests (requester_id, session_id, languages, index_languages, topic, mode, idempotency_key, body_hash,
                      created_at, waiting_since, deadline, next_look_at, group_id, desk_id, public_at,
                      first_person, first_until)
-- Looked at at once by the node that opened it, and should that node die, soon by any.
SELECT $1, $2, $3, $4, $5, $6, $7, $8, n.now, n.now, n.now + $9::interval, n.now + interval '0.5 seconds', $10, $11,
       n.now + $12::interval, c.volunteer_id, CASE WHEN c.id IS NOT NULL THEN n.now + $14::interval END
FROM (SELECT eyeline_now() AS now) n
     LEFT JOIN calls c ON c.id = $13 AND c.requester_id = $1 AND c.ended_at > n.now - interval '2 minutes'
ON CONFLICT DO NOTHING
RETURNING *

-- name: no_more_callbacks
-- Whoever asks again need not be told any more that somebody is free.
DELETE FROM callbacks c USING requests r WHERE r.requester_id = $1 AND c.request_id = r.id AND c.fired_at IS NULL

-- name: no_practice
-- Whoever asks for help or gives it waits for no practice call any more. After the commit: a practice call that begins
-- locks its row before the person, who is locked here already.
DELETE FROM practice_calls WHERE person_id = $1 AND state = 'waiting'

-- name: get
SELECT * FROM requests WHERE id = $1

-- name: current
SELECT * FROM requests WHERE requester_id = $1 AND state <> 'ended'

-- name: lock
SELECT * FROM requests WHERE id = $1 FOR UPDATE

-- name: offers_and_facts
-- The offers of an epoch ($2) and those still open, a row each, or one row without an offer; with every one of them the
-- clock and how the requester ($3) is.
SELECT o.*, o.outcome IS NULL
            AND EXISTS (SELECT FROM users u WHERE u.id = o.person_id AND u.status = 'suspended') AS barred,
       q.*
FROM (SELECT eyeline_now() AS now, eyeline_watched_since() AS watched_since, u.status = 'suspended' AS requester_suspended,
             u.time_zone,
             (SELECT max(seen_at) FROM sessions WHERE user_id = $3 AND ended_at IS NULL) AS requester_seen_at
      FROM users u WHERE u.id = $3) q
     LEFT JOIN offers o ON o.request_id = $1 AND (o.epoch = $2 OR o.outcome IS NULL)

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

-- name: lock_people
SELECT id, ignored, week_began, week_rings, time_zone FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE

-- name: leave_alone
UPDATE users u SET not_before = r.until, ignored = r.ignored
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[]) AS r (id, until, ignored) WHERE u.id = r.id

-- name: not_ignored
UPDATE users SET ignored = 0 WHERE id = $1 AND ignored > 0

-- name: rung_this_week
UPDATE users u SET week_began = r.began, week_rings = r.rings, week_full_until = r.full_until
FROM unnest($1::uuid[], $2::timestamptz[], $3::integer[], $4::timestamptz[]) AS r (id, began, rings, full_until)
WHERE u.id = r.id

-- name: insert_call
-- $11: the group as whose member the volunteer was asked, and not as anybody. Who joined before it was direct stays relayed.
INSERT INTO calls (request_id, epoch, mode, language, requester_id, requester_session, volunteer_id, volunteer_session,
                   created_at, connect_by, direct)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
        EXISTS (SELECT FROM groups g JOIN memberships m ON m.group_id = g.id
                WHERE g.id = $11 AND g.direct AND m.user_id = $7 AND m.joined_at >= g.direct_since))
RETURNING id

-- name: hours
SELECT u.id AS user_id, a.weekly, u.time_zone FROM users u LEFT JOIN availability a ON a.user_id = u.id
WHERE u.id = ANY ($1::uuid[])

-- name: wave
-- $10: those of the people whose hours it is. $12: whether devices unseen for a month are left in peace. $13: the hour on
-- each one's wall.
-- A hot person's devices ring when their open app does not answer.
WITH candidates AS (
    SELECT u.id AS person_id, t.tier
    FROM users u CROSS JOIN LATERAL (SELECT eyeline_tier(u.id, $9) AS tier) t
         LEFT JOIN availability a ON a.user_id = u.id
    WHERE u.id = ANY ($2::uuid[]) AND u.status = 'active' AND u.role = 'volunteer' AND u.id <> $3
      AND NOT coalesce(a.paused_until > eyeline_now(), a.paused, false)
      AND (t.tier = 'hot' OR u.id = ANY ($10::uuid[]) AND (t.tier = 'cold' OR t.tier = 'idle' AND NOT $12)
                             AND coalesce(u.week_full_until <= eyeline_now(), true))
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
INSERT INTO offers (request_id, person_id, epoch, wave, language, offered_at, expires_at, tier, urgent, ring_due_at,
                    local_hour)
SELECT $1, person_id, $4, $5, $6, $7, $8, tier, $12,
       CASE WHEN EXISTS (SELECT FROM push_values p WHERE p.user_id = person_id AND p.kind IN ('fcm', 'webpush'))
            THEN CASE WHEN tier = 'hot' THEN $7::timestamptz + $11::interval ELSE $7::timestamptz END END,
       ($13::smallint[])[array_position($2::uuid[], person_id)]
FROM taken JOIN candidates USING (person_id)
RETURNING person_id, tier

-- name: count_wave
UPDATE requests
SET wave = wave + 1, asked = asked + $2, version = version + 1, hungry = $3,
    next_look_at = least(next_look_at, eyeline_now() + interval '1 second')
WHERE id = $1

-- name: due
-- The array is made once, so that no plan claims more than was asked for; and the clock in it is read once, since no
-- index can be searched by a volatile function. A claim that is lost is only a look made twice.
UPDATE requests
SET next_look_at = eyeline_now() + CASE WHEN state = 'in_call' THEN interval '3 seconds' ELSE interval '1 second' END
WHERE id = ANY (ARRAY (SELECT id FROM requests
                       WHERE next_look_at <= (SELECT eyeline_now()) AND (SELECT eyeline_may_be_lost())
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
WHERE r.state = 'waiting' AND (r.hungry OR r.next_look_at <= (SELECT eyeline_now())) AND (r.created_at, r.id) < ($1, $2)
  AND $3 = ANY (r.index_languages)
  AND (num_nulls(r.group_id, r.desk_id) = 2 OR r.public_at <= (SELECT eyeline_now()))
  AND EXISTS (SELECT FROM sessions s WHERE s.user_id = r.requester_id AND s.ended_at IS NULL
              AND s.seen_at > eyeline_now() - $4::interval)
ORDER BY r.created_at, r.id LIMIT $5

-- name: older_at_desk
SELECT r.id FROM requests r
WHERE r.state = 'waiting' AND (r.hungry OR r.next_look_at <= (SELECT eyeline_now())) AND (r.created_at, r.id) < ($1, $2)
  AND r.desk_id = $3
  AND EXISTS (SELECT FROM sessions s WHERE s.user_id = r.requester_id AND s.ended_at IS NULL
              AND s.seen_at > eyeline_now() - $4::interval)
ORDER BY r.created_at, r.id LIMIT $5

-- name: oldest_waiting_for
-- Of those for anybody, in their languages, and of those for a group or desk they belong to.
SELECT r.id FROM users u CROSS JOIN requests r
WHERE u.id = $1 AND r.state = 'waiting' AND (r.hungry OR r.next_look_at <= eyeline_now()) AND r.deadline > eyeline_now()
  AND r.requester_id <> u.id
  AND (r.index_languages && u.index_languages
       AND (num_nulls(r.group_id, r.desk_id) = 2 OR r.public_at <= eyeline_now())
       OR EXISTS (SELECT FROM memberships m WHERE m.user_id = u.id AND m.group_id = r.group_id)
       OR r.index_languages && u.index_languages
          AND EXISTS (SELECT FROM memberships m WHERE m.user_id = u.id AND m.desk_id = r.desk_id))
  AND EXISTS (SELECT FROM sessions s WHERE s.user_id = r.requester_id AND s.ended_at IS NULL
              AND s.seen_at > eyeline_now() - $2::interval)
  AND NOT EXISTS (SELECT FROM avoided_pairs p
                  WHERE p.low = least($1, r.requester_id) AND p.high = greatest($1, r.requester_id))
  AND NOT EXISTS (SELECT FROM offers o WHERE o.request_id = r.id AND o.person_id = $1
                  AND (o.outcome IS NULL OR o.outcome IN ('declined', 'won')))
ORDER BY r.created_at, r.id LIMIT 1

-- name: draw_ready
-- From those who are ready, or kept hot, who are few, and not from all volunteers: the array is made once.
SELECT u.id
FROM users u LEFT JOIN availability a ON a.user_id = u.id LEFT JOIN busy b ON b.person_id = u.id
WHERE u.id = ANY (ARRAY (
        SELECT user_id FROM sessions
        WHERE ready AND ended_at IS NULL AND seen_at > eyeline_now() - $4::interval
        UNION
        SELECT l.id FROM users l
        WHERE l.hot_until > (SELECT eyeline_now())
          AND EXISTS (SELECT FROM sessions s WHERE s.user_id = l.id AND s.ended_at IS NULL AND s.owner_epoch > 0
                      AND s.seen_at > eyeline_now() - $4::interval)))
  AND u.role = 'volunteer' AND u.status = 'active' AND NOT u.id = ANY ($2::uuid[])
  AND coalesce(u.not_before <= eyeline_now(), true) AND coalesce(b.until < eyeline_now(), true)
  AND NOT coalesce(a.paused_until > eyeline_now(), a.paused, false)
  AND $1 = ANY (u.index_languages)
ORDER BY u.last_asked_at NULLS FIRST, random() LIMIT $3

-- name: draw_private
-- People of a group ($1), in whatever language, or of a desk ($2), in one of the request's ($3); hours are judged by whoever
-- asks.
SELECT u.id, u.index_languages, u.time_zone, a.weekly, t.tier
FROM memberships m JOIN users u ON u.id = m.user_id CROSS JOIN LATERAL (SELECT eyeline_tier(u.id, $5) AS tier) t
     LEFT JOIN availability a ON a.user_id = u.id LEFT JOIN busy b ON b.person_id = u.id
WHERE (m.group_id = $1 OR m.desk_id = $2 AND u.index_languages && $3::text[])
  AND u.role = 'volunteer' AND u.status = 'active' AND NOT u.id = ANY ($4::uuid[]) AND t.tier IS NOT NULL
  AND coalesce(b.until < eyeline_now(), true) AND coalesce(u.not_before <= eyeline_now(), true)
  AND NOT coalesce(a.paused_until > eyeline_now(), a.paused, false)
  AND (t.tier = 'hot' OR coalesce(u.week_full_until <= eyeline_now(), true))
ORDER BY t.tier <> 'hot', u.last_asked_at NULLS FIRST, u.id

-- name: spoken
SELECT index_languages FROM users WHERE id = $1

-- name: draw_standby
SELECT u.id, u.index_languages FROM offers o JOIN users u ON u.id = o.person_id
WHERE o.request_id = $1 AND o.standby_until > eyeline_now()
ORDER BY o.standby_until, u.id

-- name: stand_by
-- Only while whoever was faster may still fail: in the call that came of this very epoch, before it connects.
UPDATE offers o SET standby_until = eyeline_now() + $4::interval
FROM requests r
WHERE o.request_id = $1 AND o.person_id = $2 AND o.epoch = $3 AND o.outcome = 'lost' AND r.id = o.request_id
  AND r.state = 'connecting' AND r.epoch = o.epoch
RETURNING o.standby_until

-- name: keep_hot
-- Not for ever by saying yes too late again and again to one request.
UPDATE users u SET hot_until = eyeline_now() + $4::interval, ignored = 0
FROM offers o
WHERE u.id = $2 AND o.request_id = $1 AND o.person_id = u.id AND o.epoch = $3 AND o.outcome = 'lost'
  AND o.ended_at > eyeline_now() - $4::interval

-- name: set_callback
INSERT INTO callbacks AS c (request_id, expires_at) VALUES ($1, eyeline_now() + $2::interval)
ON CONFLICT (request_id) DO UPDATE
SET created_at = eyeline_now(), expires_at = excluded.expires_at, fired_at = NULL, until = NULL, told_at = NULL,
    push_due_at = NULL, push_claimed_until = NULL, push_tries = 0, push_again = NULL
WHERE c.fired_at IS NOT NULL

-- name: drop_callback
DELETE FROM callbacks WHERE request_id = $1

-- name: languages_to_call_back
SELECT DISTINCT unnest(r.index_languages) AS language FROM callbacks c JOIN requests r ON r.id = c.request_id
WHERE c.fired_at IS NULL AND c.expires_at > eyeline_now() AND r.state = 'ended'

-- name: any_callbacks
SELECT EXISTS (SELECT FROM callbacks WHERE fired_at IS NULL)

-- name: free_for_callback
-- The ended request ($1: person, $2: freshness) whose requester waited longest for just such a person; its row is locked.
SELECT r.id
FROM users u LEFT JOIN busy b ON b.person_id = u.id LEFT JOIN availability a ON a.user_id = u.id
     CROSS JOIN callbacks c JOIN requests r ON r.id = c.request_id JOIN users q ON q.id = r.requester_id
WHERE u.id = $1 AND u.role = 'volunteer' AND u.status = 'active' AND coalesce(b.until < eyeline_now(), true)
  AND coalesce(u.not_before <= eyeline_now(), true) AND coalesce(u.called_back_until <= eyeline_now(), true)
  AND NOT coalesce(a.paused_until > eyeline_now(), a.paused, false) AND eyeline_tier(u.id, $2) = 'hot'
  AND c.fired_at IS NULL AND c.expires_at > eyeline_now()
  AND r.state = 'ended' AND q.status = 'active' AND q.id <> u.id AND r.index_languages && u.index_languages
  AND (num_nulls(r.group_id, r.desk_id) = 2 OR r.public_at IS NOT NULL
       OR EXISTS (SELECT FROM memberships m WHERE m.user_id = u.id AND (m.group_id = r.group_id OR m.desk_id = r.desk_id)))
  AND NOT EXISTS (SELECT FROM avoided_pairs p WHERE p.low = least(u.id, q.id) AND p.high = greatest(u.id, q.id))
  AND NOT EXISTS (SELECT FROM offers o WHERE o.request_id = r.id AND o.person_id = u.id AND o.outcome IN ('declined', 'won'))
ORDER BY c.created_at, c.request_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED

-- name: reserve_for_callback
-- Of two who free the same person at once, one.
UPDATE users SET called_back_until = eyeline_now() + $2::interval
WHERE id = $1 AND coalesce(called_back_until <= eyeline_now(), true)
RETURNING id

-- name: fire_callback
WITH fired AS (
    UPDATE callbacks SET fired_at = eyeline_now(), until = eyeline_now() + $2::interval, push_due_at = eyeline_now()
    WHERE request_id = $1 AND fired_at IS NULL RETURNING request_id
)
UPDATE requests SET next_look_at = eyeline_now() WHERE id IN (SELECT request_id FROM fired) RETURNING id

-- name: draw_closed
-- Who has the app closed, while the index is away: whose turn it is, among the first so many; hours are judged by whoever
-- asks. Planned for its values: whether few or many speak the language decides.
SELECT u.id, u.time_zone, a.weekly
FROM (SELECT * FROM users WHERE role = 'volunteer' AND status = 'active' AND $1 = ANY (index_languages)
      AND NOT id = ANY ($2::uuid[]) AND coalesce(not_before <= eyeline_now(), true)
      ORDER BY last_asked_at NULLS FIRST, id LIMIT $3) u
     JOIN availability a ON a.user_id = u.id LEFT JOIN busy b ON b.person_id = u.id
WHERE coalesce(b.until < eyeline_now(), true) AND NOT coalesce(a.paused_until > eyeline_now(), a.paused, false)
  AND eyeline_tier(u.id, $4) = 'cold' AND coalesce(u.week_full_until <= eyeline_now(), true)
ORDER BY u.last_asked_at NULLS FIRST, u.id

-- name: offer_for
SELECT * FROM offers WHERE request_id = $1 AND person_id = $2 AND epoch = $3 ORDER BY wave DESC LIMIT 1

-- name: open_offers
SELECT o.*, r.topic, r.mode, r.created_at AS waiting_since FROM offers o JOIN requests r ON r.id = o.request_id
WHERE o.person_id = $1 AND o.outcome IS NULL AND o.expires_at > eyeline_now()
ORDER BY o.offered_at

-- name: note_delivered
-- Whose open app has it needs no push. A cold person's was sent at once. What is lost is a push too many.
UPDATE offers o SET delivered_at = eyeline_now(), ring_due_at = CASE WHEN tier <> 'hot' THEN ring_due_at END
FROM unnest($2::uuid[], $3::integer[]) AS d (request_id, epoch)
WHERE o.person_id = $1 AND o.request_id = d.request_id AND o.epoch = d.epoch AND o.delivered_at IS NULL
  AND (SELECT eyeline_may_be_lost())

-- name: note_progress
-- What is lost is told twice.
UPDATE requests SET progress_note = $2, progress_asked = $3, progress_at = $4 WHERE id = $1 AND (SELECT eyeline_may_be_lost())

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
                    OR o.outcome IS NOT NULL AND o.rung <> '{}' AND o.quieted_at IS NULL))
       OR EXISTS (SELECT FROM callbacks c WHERE c.request_id = r.id AND c.push_due_at <= eyeline_now()) AS of_wakes,
       (SELECT c.until FROM callbacks c WHERE c.request_id = r.id AND c.told_at IS NULL AND c.until > eyeline_now())
           AS free_until
FROM requests r WHERE r.id = $1

-- name: lock_free
-- In order to mark, in the same transaction, what was told of them: a mark that is lost is a message told twice.
SELECT id FROM requests WHERE id = ANY ($1::uuid[]) AND (SELECT eyeline_may_be_lost())
ORDER BY id FOR NO KEY UPDATE SKIP LOCKED

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

-- name: mark_free
UPDATE callbacks SET told_at = eyeline_now() WHERE request_id = ANY ($1::uuid[]) AND fired_at IS NOT NULL AND told_at IS NULL

-- name: rest_when_told
UPDATE requests r SET next_look_at = NULL
WHERE r.id = ANY ($1::uuid[]) AND r.state = 'ended' AND r.told_version >= r.version
  AND NOT EXISTS (SELECT FROM calls c WHERE c.request_id = r.id AND c.told_version < c.version)
  AND NOT EXISTS (SELECT FROM offers o WHERE o.request_id = r.id
                  AND (o.end_told_at IS NULL OR o.rung <> '{}' AND o.quieted_at IS NULL))
  AND NOT EXISTS (SELECT FROM callbacks c WHERE c.request_id = r.id AND c.until > eyeline_now()
                  AND (c.told_at IS NULL OR c.push_due_at IS NOT NULL))
