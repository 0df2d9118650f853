-- Volunteers as the index lists them, and how sessions are seen.

-- name: page
-- Who comes next.
SELECT id FROM users
WHERE role = 'volunteer' AND status = 'active' AND index_languages <> '{}'
  AND id > coalesce($1::uuid, '00000000-0000-0000-0000-000000000000')
ORDER BY id LIMIT $2

-- name: of
-- Of these people those who can be asked and speak what is wanted, and when that was. Moments are Unix seconds: for a whole
-- rebuild, making dates of them costs more than finding them. The tier is that of eyeline_tier, without a call for each; but
-- whose push values were all refused for a while waits until the first may be tried again.
WITH moment AS MATERIALIZED (
    SELECT eyeline_now() AS now
), wanted AS MATERIALIZED (
    SELECT id, index_languages, time_zone, last_asked_at, not_before, week_full_until, connected_at, hot_until
    FROM users
    WHERE id = ANY ($1::uuid[]) AND role = 'volunteer' AND status = 'active' AND index_languages <> '{}'
      AND ($4::text[] IS NULL OR index_languages && $4) AND NOT index_languages && $5
), listed AS (
    SELECT u.*, a.*, b.until AS busy_until, now,
           CASE WHEN there.ready OR there.open AND u.hot_until > now THEN 'hot'
                WHEN there.open OR coalesce(phones.woken_at, phones.seen_at) > now - interval '30 days' THEN 'cold'
                WHEN phones.seen_at IS NOT NULL THEN 'idle' END AS tier,
           CASE WHEN there.ready IS NOT TRUE AND there.open IS NOT TRUE AND phones.woken_at IS NULL
                THEN phones.refused_until END AS refused_until
    FROM moment CROSS JOIN wanted u
         LEFT JOIN LATERAL (
             SELECT bool_or(s.ready) AS ready, bool_or(s.owner_epoch > 0) AS open FROM sessions s
             WHERE s.user_id = u.id AND s.ended_at IS NULL AND s.seen_at > now - $2::interval) there ON true
         LEFT JOIN LATERAL (
             SELECT max(d.seen_at) AS seen_at, max(d.seen_at) FILTER (WHERE (p.quarantined_until > now) IS NOT TRUE) AS woken_at,
                    min(p.quarantined_until) FILTER (WHERE p.quarantined_until > now) AS refused_until
             FROM push_values p JOIN devices d USING (user_id, device_id)
             WHERE p.user_id = u.id AND p.kind IN ('fcm', 'webpush')) phones ON true
         -- OFFSET 0: by the index, whatever the planner thinks of the number of people.
         LEFT JOIN LATERAL (
             SELECT weekly::text, paused, paused_until FROM availability WHERE user_id = u.id OFFSET 0) a ON true
         LEFT JOIN LATERAL (SELECT until FROM busy WHERE person_id = u.id AND until > now OFFSET 0) b ON true
)
SELECT id, array_to_string(index_languages, ',') AS languages, tier, time_zone, weekly, connected_at IS NULL AS newcomer,
       extract(epoch FROM last_asked_at)::float8 AS last_asked_at,
       CASE WHEN paused AND paused_until IS NULL THEN 'infinity'
            -- Rung often enough this week: who says they are ready is asked all the same. A call has no end yet; should the
            -- word of it be lost, they still come back some time and are looked at again.
            ELSE coalesce(extract(epoch FROM greatest(paused_until, not_before, refused_until, CASE WHEN tier <> 'hot' THEN week_full_until END,
                 CASE WHEN busy_until = 'infinity' THEN now + $3 ELSE busy_until END)), 0)::float8 END AS not_before,
       extract(epoch FROM now)::float8 AS now
FROM listed WHERE tier IS NOT NULL

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

-- name: set_ready
UPDATE sessions s SET ready = $2, seen_at = eyeline_now() FROM users u
WHERE s.id = $1 AND u.id = s.user_id AND s.ended_at IS NULL AND s.owner_epoch <= $3 AND (NOT $2 OR u.role = 'volunteer')

-- name: attach
-- Lost, it is as if the socket had come unnoticed: absence is then judged by sightings. A device that connects is a device
-- in use; that is written once an hour.
WITH attached AS (
    UPDATE sessions SET seen_at = eyeline_now(), owner_epoch = greatest(owner_epoch, $2)
    WHERE id = $1 AND ended_at IS NULL AND (SELECT eyeline_may_be_lost())
    RETURNING user_id, device_id
)
UPDATE devices d SET seen_at = eyeline_now() FROM attached s
WHERE d.user_id = s.user_id AND d.device_id = s.device_id AND d.seen_at < eyeline_now() - interval '1 hour'

-- name: detach
UPDATE sessions SET ready = false WHERE id = $1 AND owner_epoch <= $2

-- name: seen
-- Losing it costs nothing.
UPDATE sessions SET seen_at = eyeline_now()
WHERE id = ANY ($1::uuid[]) AND ended_at IS NULL AND (SELECT eyeline_may_be_lost())

-- name: seen_though_over
SELECT s.id, u.status = 'suspended' AS suspended FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = ANY ($1::uuid[]) AND s.ended_at IS NOT NULL

-- name: watch
SELECT eyeline_watch() WHERE eyeline_may_be_lost()

-- name: forget_silent
-- Nobody while, or right after, nothing could be written: then everybody looks silent.
UPDATE sessions SET ready = false
WHERE id = ANY (ARRAY (SELECT id FROM sessions WHERE ready AND ended_at IS NULL
                       AND seen_at < eyeline_now() - $1::interval LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED))
      AND coalesce((SELECT eyeline_watched_since()) < eyeline_now() - $1::interval, true)
RETURNING id, user_id

-- name: keep_partitions
SELECT eyeline_keep_offer_partitions(7, 35)

-- name: to_relist
-- Whose change is so old that a node that lives has listed them, unless it could not.
SELECT person_id, since FROM relistings WHERE since < eyeline_now() - $1::interval ORDER BY since LIMIT $2

-- name: relisted
-- Unless they were changed once more.
DELETE FROM relistings WHERE person_id = $1 AND since = $2
