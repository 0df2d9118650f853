-- Figures of the whole service for the admin page: counts and times, nobody in particular. Probes (language qaa,
-- matching/languages.py) are in none of them.

-- name: now
SELECT eyeline_now();

-- name: waiting_by_language
SELECT index_languages[1] AS language, count(*) AS count,
       greatest(extract(epoch FROM eyeline_now() - min(created_at)), 0)::float8 AS oldest_wait_s
FROM requests WHERE state = 'waiting' AND languages <> '{qaa}'
GROUP BY 1 ORDER BY 3 DESC, 1;

-- name: counts
SELECT (SELECT count(*) FROM offers WHERE outcome IS NULL AND expires_at > eyeline_now() AND language <> 'qaa') AS offers_open,
       (SELECT count(*) FROM calls WHERE state = 'connecting' AND language <> 'qaa') AS calls_connecting,
       (SELECT count(*) FROM calls WHERE state IN ('connected', 'reconnecting') AND language <> 'qaa') AS calls_live;

-- name: answer_time
-- From tap to the first accept. Ids are times too (UUIDv7), so the key finds the last hour without an index of its own.
SELECT count(*) AS count,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY answered_s)::float8 AS p50_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY answered_s)::float8 AS p95_s
FROM (SELECT extract(epoch FROM c.created_at - r.created_at) AS answered_s
      FROM calls c JOIN requests r ON r.id = c.request_id
      WHERE c.id >= eyeline_uuid_at(clock_timestamp() - interval '1 hour')
        AND c.created_at >= eyeline_now() - interval '1 hour' AND c.epoch = 1 AND c.language <> 'qaa') answered;
