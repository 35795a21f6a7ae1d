-- AttemptInsert makes an attempt possible: its token is on disk before anything
-- is started under it.
-- name: AttemptInsert :execlastid
INSERT INTO attempts (job_id, number, token, created_at, reason_code, reason_text)
VALUES (@job_id, @number, @token, @created_at, '', '');

-- AttemptGetWithJob reads an attempt, the job it belongs to and the limits of
-- its run.
-- name: AttemptGetWithJob :one
SELECT sqlc.embed(attempts), sqlc.embed(jobs), runs.context, runs.timeout_ms, runs.deadline_at
FROM attempts JOIN jobs ON jobs.id = attempts.job_id JOIN runs ON runs.id = jobs.run_id
WHERE attempts.id = @id;

-- AttemptGetByNumber reads one attempt of a job by its number.
-- name: AttemptGetByNumber :one
SELECT * FROM attempts WHERE job_id = @job_id AND number = @number;

-- AttemptListByJob reads a job's attempts, newest first.
-- name: AttemptListByJob :many
SELECT * FROM attempts WHERE job_id = @job_id ORDER BY number DESC LIMIT @max_rows;

-- AttemptListByRun reads the attempts of all of a run's jobs, in graph order.
-- name: AttemptListByRun :many
SELECT attempts.* FROM jobs JOIN attempts ON attempts.job_id = jobs.id
WHERE jobs.run_id = @run_id ORDER BY jobs.position, attempts.number LIMIT @max_rows;

-- AttemptSetOrdered notes the boot under which the start was ordered: after
-- another boot nothing of the attempt can live.
-- name: AttemptSetOrdered :exec
UPDATE attempts SET boot_id = @boot_id WHERE id = @id;

-- AttemptSetStarted notes the attempt's process.
-- name: AttemptSetStarted :exec
UPDATE attempts SET boot_id = @boot_id, pid = @pid, start_ticks = @start_ticks, cgroup = sqlc.narg(cgroup),
    started_at = @started_at, log_place = @log_place
WHERE id = @id AND finished_at IS NULL;

-- AttemptSetEnded notes how the attempt ended, once.
-- name: AttemptSetEnded :execrows
UPDATE attempts SET boot_id = coalesce(sqlc.narg(boot_id), boot_id), pid = coalesce(sqlc.narg(pid), pid),
    start_ticks = coalesce(sqlc.narg(start_ticks), start_ticks), cgroup = coalesce(sqlc.narg(cgroup), cgroup),
    started_at = coalesce(sqlc.narg(started_at), started_at), finished_at = @finished_at,
    reason_code = @reason_code, reason_text = @reason_text, exit_code = sqlc.narg(exit_code), signal = sqlc.narg(signal),
    cpu_user_ms = sqlc.narg(cpu_user_ms), cpu_system_ms = sqlc.narg(cpu_system_ms),
    max_rss_bytes = sqlc.narg(max_rss_bytes), log_place = coalesce(sqlc.narg(log_place), log_place),
    log_bytes = sqlc.narg(log_bytes), dropped_bytes = sqlc.narg(dropped_bytes),
    stderr_tail = sqlc.narg(stderr_tail), output = sqlc.narg(output)
WHERE id = @id AND finished_at IS NULL;
