-- Volunteers as the index lists them, and how sessions are seen.

-- name: of
SELECT u.id, u.index_languages, u.time_zone, u.last_asked_at, u.not_before, u.week_full_until, u.connected_at,
       a.weekly::text, coalesce(a.paused, false) AS paused, a.paused_until, b.until AS busy_until,
       t.tier
FROM users u CROSS JOIN LATERAL (SELECT eyeline_tier(u.id, $2) AS tier) t LEFT JOIN availability a ON a.user_id = u.id
     LEFT JOIN busy b ON b.person_id = u.id AND b.until > eyeline_now()
WHERE u.id = ANY ($1::uuid[]) AND u.role = 'volunteer' AND u.status = 'active' AND u.index_languages <> '{}'
  AND t.tier IS NOT NULL

-- name: page
-- Of a bounded number of people those who speak what is wanted; in any case one row, with how far it came. The tier is
-- that of eyeline_tier, found for all at once.
WITH moment AS MATERIALIZED (
    SELECT eyeline_now() AS now
), these AS MATERIALIZED (
    SELECT id, index_languages, time_zone, last_asked_at, not_before, week_full_until, connected_at, hot_until
    FROM users
    WHERE role = 'volunteer' AND status = 'active' AND index_languages <> '{}' AND ($1::uuid IS NULL OR id > $1)
    ORDER BY id LIMIT $2
), wanted AS MATERIALIZED (
    SELECT * FROM these WHERE ($4::text[] IS NULL OR index_languages && $4) AND NOT index_languages && $5
), there AS (
    SELECT s.user_id AS id, bool_or(s.ready) AS ready, bool_or(s.owner_epoch > 0) AS open
    FROM moment CROSS JOIN wanted u JOIN sessions s ON s.user_id = u.id
    WHERE s.ended_at IS NULL AND s.seen_at > now - $3::interval GROUP BY 1
), woken AS (
    SELECT p.user_id AS id, max(d.seen_at) AS seen_at
    FROM moment CROSS JOIN wanted u JOIN push_values p ON p.user_id = u.id JOIN devices d USING (user_id, device_id)
    WHERE p.kind IN ('fcm', 'webpush') AND coalesce(p.quarantined_until <= now, true) GROUP BY 1
), listed AS (
    SELECT u.*, a.weekly::text, coalesce(a.paused, false) AS paused, a.paused_until, b.until AS busy_until,
           CASE WHEN there.ready OR there.open AND u.hot_until > now THEN 'hot'
                WHEN there.open OR woken.seen_at > now - interval '30 days' THEN 'cold'
                WHEN woken.seen_at IS NOT NULL THEN 'idle' END AS tier
    FROM moment CROSS JOIN wanted u LEFT JOIN there USING (id) LEFT JOIN woken USING (id)
         LEFT JOIN availability a ON a.user_id = u.id LEFT JOIN busy b ON b.person_id = u.id AND b.until > now
)
SELECT came.*, l.*
FROM (SELECT count(*) AS people, (array_agg(id ORDER BY id DESC))[1] AS last_id FROM these) came
     LEFT JOIN listed l ON l.tier IS NOT NULL
ORDER BY l.id

-- name: wanted
-- What requests wait for now, and what was asked for lately, each by how much.
SELECT w.waiting, array_agg(w.language ORDER BY w.requests DESC, w.language) AS languages
FROM (SELECT r.state = 'waiting' AS waiting, l.language, count(*) AS requests
      FROM ((SELECT state, index_languages FROM requests WHERE state = 'waiting' LIMIT $1)
            UNION ALL
            (SELECT state, index_languages FROM requests WHERE state = 'ended' ORDER BY ended_at DESC LIMIT $1)) r
           CROSS JOIN LATERAL unnest(r.index_languages) AS l (language)
      GROUP BY 1, 2) w
GROUP BY 1 ORDER BY 1 DESC

-- name: clock
SELECT eyeline_now() AS now

-- name: set_ready
UPDATE sessions s SET ready = $2, seen_at = eyeline_now() FROM users u
WHERE s.id = $1 AND u.id = s.user_id AND s.ended_at IS NULL AND s.owner_epoch <= $3 AND (NOT $2 OR u.role = 'volunteer')

-- name: attach
UPDATE sessions SET seen_at = eyeline_now(), owner_epoch = greatest(owner_epoch, $2) WHERE id = $1 AND ended_at IS NULL

-- name: device_seen
-- A device that connects is a device in use; written once an hour.
UPDATE devices d SET seen_at = eyeline_now() FROM sessions s
WHERE s.id = $1 AND d.user_id = s.user_id AND d.device_id = s.device_id AND d.seen_at < eyeline_now() - interval '1 hour'

-- name: detach
UPDATE sessions SET ready = false WHERE id = $1 AND owner_epoch <= $2

-- name: seen
UPDATE sessions SET seen_at = eyeline_now() WHERE id = ANY ($1::uuid[]) AND ended_at IS NULL

-- name: seen_though_over
SELECT s.id, u.status = 'suspended' AS suspended FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = ANY ($1::uuid[]) AND s.ended_at IS NOT NULL

-- name: forget_silent
UPDATE sessions SET ready = false
WHERE id = ANY (ARRAY (SELECT id FROM sessions WHERE ready AND ended_at IS NULL
                       AND seen_at < eyeline_now() - $1::interval LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED))
RETURNING id, user_id

-- name: keep_partitions
SELECT eyeline_keep_offer_partitions(7, 35)
