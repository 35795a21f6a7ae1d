-- RunInsert stores a run that has just been submitted.
-- name: RunInsert :execlastid
INSERT INTO runs (uid, name, context, tags, key, fingerprint, state, reason_code, reason_text, timeout_ms, created_at)
VALUES (@uid, @name, @context, @tags, sqlc.narg(key), sqlc.narg(fingerprint), 'running', @reason_code, @reason_text,
        sqlc.narg(timeout_ms), @created_at);

-- RunGet reads one run.
-- name: RunGet :one
SELECT * FROM runs WHERE id = @id;

-- RunGetByKey finds the run an idempotency key already stands for.
-- name: RunGetByKey :one
SELECT * FROM runs WHERE context = @context AND key = CAST(@key AS TEXT);

-- RunListBefore pages through all runs, newest first.
-- name: RunListBefore :many
SELECT * FROM runs WHERE id < @before ORDER BY id DESC LIMIT @max_rows;

-- RunSetStarted notes the first start of any of the run's jobs, from which its
-- timeout counts. It changes nothing the second time.
-- name: RunSetStarted :execrows
UPDATE runs SET started_at = @started_at, deadline_at = @started_at + timeout_ms
WHERE id = @id AND started_at IS NULL;

-- RunHasOpenJobs answers 1 while any of the run's jobs is not final.
-- name: RunHasOpenJobs :one
SELECT CAST(EXISTS (
    SELECT 1 FROM jobs WHERE run_id = @run_id AND state IN ('waiting', 'queued', 'starting', 'running')
) AS INTEGER) AS open;

-- RunSetFinal gives the run its final state, once, and its start where that was
-- not noted before.
-- name: RunSetFinal :execrows
UPDATE runs SET state = @state, reason_code = @reason_code, reason_text = @reason_text, finished_at = @finished_at,
    started_at = coalesce(started_at, sqlc.narg(started_at))
WHERE id = @id AND state = 'running';

-- RunDeadlinesFrom answers the runs whose timeout ends at the given time or
-- later, the first of them first.
-- name: RunDeadlinesFrom :many
SELECT id, CAST(deadline_at AS INTEGER) AS deadline_at FROM runs
WHERE state = 'running' AND deadline_at IS NOT NULL AND deadline_at >= CAST(@from_at AS INTEGER)
ORDER BY runs.deadline_at LIMIT @max_rows;
