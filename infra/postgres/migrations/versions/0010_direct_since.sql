-- Who joined while a group was relayed has not agreed to be known by their address, whatever its owner switches later. Of
-- groups that are direct by now nobody knows since when: all their members so far are taken to have joined before.
ALTER TABLE groups ADD COLUMN direct_since timestamptz;
UPDATE groups SET direct_since = eyeline_now() WHERE direct;
