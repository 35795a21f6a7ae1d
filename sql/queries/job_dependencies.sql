-- JobDependencyInsert stores one edge of a run's graph.
-- name: JobDependencyInsert :exec
INSERT INTO job_dependencies (job_id, needs_id) VALUES (@job_id, @needs_id);

-- JobDependencyListByRun reads all edges of a run's graph.
-- name: JobDependencyListByRun :many
SELECT job_dependencies.job_id, job_dependencies.needs_id FROM jobs
JOIN job_dependencies ON job_dependencies.job_id = jobs.id
WHERE jobs.run_id = @run_id ORDER BY job_dependencies.job_id, job_dependencies.needs_id;
