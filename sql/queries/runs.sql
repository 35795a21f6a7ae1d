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

-- RunFinishIfDone gives the run its final state once none of its jobs is open:
-- failed if any failed, else cancelled if any was cancelled, else succeeded.
-- No row is answered while a job is open or when the run was final already.
-- name: RunFinishIfDone :one
UPDATE runs
SET state = CASE
        WHEN EXISTS (SELECT 1 FROM jobs f WHERE f.run_id = runs.id AND f.state = 'failed') THEN 'failed'
        WHEN EXISTS (SELECT 1 FROM jobs c WHERE c.run_id = runs.id AND c.state = 'cancelled') THEN 'cancelled'
        ELSE 'succeeded' END,
    reason_code = @reason_code, reason_text = @reason_text, finished_at = @finished_at
WHERE runs.id = @id AND runs.state = 'running'
  AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.run_id = runs.id
                  AND o.state IN ('waiting', 'queued', 'starting', 'running'))
RETURNING state;

-- RunNextDeadlines answers the runs whose timeout ends first.
-- name: RunNextDeadlines :many
SELECT id, CAST(deadline_at AS INTEGER) AS deadline_at FROM runs
WHERE state = 'running' AND deadline_at IS NOT NULL ORDER BY deadline_at LIMIT @max_rows;
