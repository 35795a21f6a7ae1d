-- EventInsert appends one fact; its number is given by the database and never
-- given again.
-- name: EventInsert :exec
INSERT INTO events (at, kind, run_id, job_id, attempt, from_state, to_state, reason_code, reason_text)
VALUES (@at, @kind, @run_id, sqlc.narg(job_id), sqlc.narg(attempt), sqlc.narg(from_state), @to_state,
        @reason_code, @reason_text);

-- EventListAfter reads on from a number, oldest first.
-- name: EventListAfter :many
SELECT * FROM events WHERE number > @after ORDER BY number LIMIT @max_rows;
