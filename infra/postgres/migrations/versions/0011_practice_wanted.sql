-- When whoever waits last said that they do.
ALTER TABLE practice_calls ADD COLUMN wanted_at timestamptz NOT NULL DEFAULT eyeline_now();
