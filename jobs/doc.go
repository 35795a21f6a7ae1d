// Package jobs takes runs, starts their jobs and remembers how they ended.
//
// A run is one go at something: a graph of jobs, stored whole by one
// transaction. A job is one action inside a run. An attempt is one process life
// of a job. Processes belong to the executor, a process of its own (package
// executor); this package orders starts and stops from it and turns the facts
// it journals into states.
//
// # How data walks
//
// Submit stores a run and hands its ready jobs to the dispatcher by the commit
// itself. The dispatcher, one goroutine that owns what is running, admits them
// while slots are free. A start waits for no commit of its own: the attempt's
// token is on disk since the submission. What happens to the process comes back
// as numbered events; each becomes one write operation, which also notes the
// event's number, so that replay after a crash is exactly-once.
//
// # Job states
//
//	(new)    → waiting   a dependency, a start time or a back-off is not yet over
//	(new)    → queued    nothing but admission holds it
//	waiting  → queued
//	waiting  → skipped   a needed job did not succeed
//	waiting  → cancelled
//	queued   → starting  admitted; the start was ordered from the executor
//	queued   → cancelled
//	starting → running   the executor journalled the process
//	starting → waiting   the attempt ended and the policy has another
//	starting → succeeded
//	starting → failed
//	starting → cancelled
//	running  → waiting   the attempt ended and the policy has another
//	running  → succeeded
//	running  → failed
//	running  → cancelled
//
// succeeded, failed, cancelled and skipped are final and never change.
package jobs
