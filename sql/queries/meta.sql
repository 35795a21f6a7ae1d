-- MetaGet reads one of the home's own facts.
-- name: MetaGet :one
SELECT value FROM meta WHERE key = @key;

-- MetaSet writes one of the home's own facts.
-- name: MetaSet :exec
INSERT INTO meta (key, value) VALUES (@key, @value) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
