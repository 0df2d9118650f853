-- How often people answer, counted from requests that ended.

-- name: lock_done
-- One node counts at a time; the others have nothing to do.
SELECT upto, eyeline_now() AS now FROM answer_tallies_done FOR UPDATE SKIP LOCKED

-- name: next_done
-- At most about $3 requests further: whatever ended at the same moment is counted together.
SELECT coalesce((SELECT ended_at FROM requests WHERE state = 'ended' AND ended_at > $1 AND ended_at <= $2
                 ORDER BY ended_at OFFSET $3 LIMIT 1), $2) AS upto

-- name: offers_between
-- But of probes (matching/languages.py). OFFSET 0: by the index, however long the planner thinks the time is.
SELECT o.* FROM requests r CROSS JOIN LATERAL (SELECT * FROM offers WHERE request_id = r.id OFFSET 0) o
WHERE r.state = 'ended' AND r.ended_at > $1 AND r.ended_at <= $2 AND o.outcome IS NOT NULL AND o.language <> 'qaa'

-- name: add
INSERT INTO answer_tallies AS t (tier, language, hour, answers, exposure, counted_at)
SELECT n.tier, n.language, n.hour, n.answers, n.exposure, $6
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::float8[], $5::float8[]) AS n (tier, language, hour, answers, exposure)
ON CONFLICT (tier, language, hour) DO UPDATE
SET answers = t.answers * 0.5 ^ (extract(epoch FROM excluded.counted_at - t.counted_at) / extract(epoch FROM $7::interval))
              + excluded.answers,
    exposure = t.exposure * 0.5 ^ (extract(epoch FROM excluded.counted_at - t.counted_at) / extract(epoch FROM $7::interval))
               + excluded.exposure,
    counted_at = excluded.counted_at

-- name: done
UPDATE answer_tallies_done SET upto = $1

-- name: load
SELECT tier, language, hour, answers * left_of.part AS answers, exposure * left_of.part AS exposure
FROM answer_tallies,
     LATERAL (SELECT 0.5 ^ (extract(epoch FROM eyeline_now() - counted_at) / extract(epoch FROM $1::interval))::float8 AS part)
         AS left_of
