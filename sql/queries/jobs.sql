-- JobInsert stores a job of a run that has just been submitted; its first
-- attempt is stored by the same transaction.
-- name: JobInsert :execlastid
INSERT INTO jobs (run_id, position, name, state, reason_code, reason_text, attempt, action, created_at)
VALUES (@run_id, @position, @name, @state, @reason_code, @reason_text, 1, @action, @created_at);

-- JobGet reads one job.
-- name: JobGet :one
SELECT * FROM jobs WHERE id = @id;

-- JobListByRun reads a run's jobs in graph order.
-- name: JobListByRun :many
SELECT * FROM jobs WHERE run_id = @run_id ORDER BY position LIMIT @max_rows;

-- JobListBefore pages through all jobs, newest first.
-- name: JobListBefore :many
SELECT * FROM jobs WHERE id < @before ORDER BY id DESC LIMIT @max_rows;

-- JobFirstInState answers the run's first job in graph order that is in the
-- given state: the first failed one gives the run its exit code.
-- name: JobFirstInState :one
SELECT * FROM jobs WHERE run_id = @run_id AND state = @state ORDER BY position LIMIT 1;

-- JobQueuedAfter reads the jobs that only admission holds, oldest first, each
-- with the token its next start will carry.
-- name: JobQueuedAfter :many
SELECT sqlc.embed(jobs), attempts.id AS attempt_id, attempts.token, runs.context, runs.timeout_ms, runs.deadline_at
FROM jobs
JOIN attempts ON attempts.job_id = jobs.id AND attempts.number = jobs.attempt
JOIN runs ON runs.id = jobs.run_id
WHERE jobs.state = 'queued' AND jobs.id > @after ORDER BY jobs.id LIMIT @max_rows;

-- JobActive reads the jobs that have been handed to the executor, for recovery.
-- name: JobActive :many
SELECT sqlc.embed(jobs), sqlc.embed(attempts), runs.context, runs.timeout_ms, runs.deadline_at
FROM jobs
JOIN attempts ON attempts.job_id = jobs.id AND attempts.number = jobs.attempt
JOIN runs ON runs.id = jobs.run_id
WHERE jobs.state IN ('starting', 'running') AND jobs.id > @after ORDER BY jobs.id LIMIT @max_rows;

-- JobDelayedFrom answers the jobs whose back-off ends at the given time or
-- later, the first of them first.
-- name: JobDelayedFrom :many
SELECT id, run_id, attempt, CAST(not_before_at AS INTEGER) AS not_before_at FROM jobs
WHERE state = 'waiting' AND not_before_at IS NOT NULL AND not_before_at >= CAST(@from_at AS INTEGER)
ORDER BY jobs.not_before_at LIMIT @max_rows;

-- JobCandidate reads one queued job as JobQueuedAfter does, within the
-- transaction that queued it.
-- name: JobCandidate :one
SELECT sqlc.embed(jobs), attempts.id AS attempt_id, attempts.token, runs.context, runs.timeout_ms, runs.deadline_at
FROM jobs
JOIN attempts ON attempts.job_id = jobs.id AND attempts.number = jobs.attempt
JOIN runs ON runs.id = jobs.run_id
WHERE jobs.id = @id;

-- JobSetQueued ends the wait of a job that nothing but admission holds now.
-- name: JobSetQueued :execrows
UPDATE jobs SET state = 'queued', reason_code = @reason_code, reason_text = @reason_text, not_before_at = NULL
WHERE id = @id AND attempt = @attempt AND state = 'waiting';

-- JobSetStarting notes that the start of the attempt was ordered.
-- name: JobSetStarting :execrows
UPDATE jobs SET state = 'starting', reason_code = @reason_code, reason_text = @reason_text
WHERE id = @id AND attempt = @attempt AND state = 'queued';

-- JobSetRunning notes that the attempt's process exists.
-- name: JobSetRunning :execrows
UPDATE jobs SET state = 'running', reason_code = @reason_code, reason_text = @reason_text,
    started_at = coalesce(started_at, @started_at)
WHERE id = @id AND attempt = @attempt AND state = 'starting';

-- JobSetFinal ends a job for good, if it is still where the caller saw it.
-- name: JobSetFinal :execrows
UPDATE jobs SET state = @state, reason_code = @reason_code, reason_text = @reason_text,
    started_at = coalesce(started_at, sqlc.narg(started_at)), finished_at = @finished_at,
    failures = failures + @failed, exit_code = sqlc.narg(exit_code), signal = sqlc.narg(signal), not_before_at = NULL
WHERE id = @id AND attempt = @attempt AND state = @from_state;

-- JobSetRetry sends a job back to wait for its next attempt.
-- name: JobSetRetry :execrows
UPDATE jobs SET state = 'waiting', reason_code = @reason_code, reason_text = @reason_text, attempt = attempt + 1,
    failures = failures + @failed, started_at = coalesce(started_at, sqlc.narg(started_at)),
    not_before_at = @not_before_at
WHERE id = @id AND attempt = @attempt AND state = @from_state;

-- JobRequestCancel remembers a cancellation whose process has still to end.
-- name: JobRequestCancel :execrows
UPDATE jobs SET cancel_requested_at = @at
WHERE id = @id AND state IN ('starting', 'running') AND cancel_requested_at IS NULL;

-- JobSetReason replaces the reason of a job whose state stays, such as a stop
-- that somebody survives.
-- name: JobSetReason :execrows
UPDATE jobs SET reason_code = @reason_code, reason_text = @reason_text
WHERE id = @id AND attempt = @attempt AND state = @state;

-- JobUnblockedBy answers the waiting jobs that needed the given one and of
-- whose needs every one has succeeded now.
-- name: JobUnblockedBy :many
SELECT jobs.* FROM jobs
WHERE jobs.id IN (SELECT d.job_id FROM job_dependencies d WHERE d.needs_id = @needs_id)
  AND jobs.state = 'waiting'
  AND NOT EXISTS (SELECT 1 FROM job_dependencies o JOIN jobs n ON n.id = o.needs_id
                  WHERE o.job_id = jobs.id AND n.state <> 'succeeded')
ORDER BY jobs.id;

-- JobWaitingOn answers the waiting jobs that need the given one.
-- name: JobWaitingOn :many
SELECT jobs.* FROM jobs
WHERE jobs.id IN (SELECT d.job_id FROM job_dependencies d WHERE d.needs_id = @needs_id)
  AND jobs.state = 'waiting'
ORDER BY jobs.id;

-- JobOpenByRun answers the run's jobs that are not final, in graph order.
-- name: JobOpenByRun :many
SELECT * FROM jobs
WHERE run_id = @run_id AND state IN ('waiting', 'queued', 'starting', 'running')
ORDER BY position;
