package failures

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // to look into the database when its daemon is gone

	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

const (
	crashes       = 20
	crashSlots    = 8
	leastRunning  = 5
	leastWaiting  = 50
	linesPerRun   = 6
	waitingTarget = 120
)

// Row 1: the daemon is killed at any instant, while attempts run and jobs wait.
// Nothing that was acknowledged is lost, nothing runs twice, no line is missing,
// and every job's history is a path through the state table.
func TestFailure01_DaemonKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("HEROPROC_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("HEROPROC_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	h := newHome(t)
	slots := fmt.Sprintf("--queue-slots=%d", crashSlots)
	h.start(slots)

	w := newCrashWorkload(h, rand.New(rand.NewPCG(seed, 2)))
	for i := range crashes * scale {
		w.topUp()
		time.Sleep(time.Duration(rng.Int64N(int64(300 * time.Millisecond)))) // a random moment is the point here
		running, waiting := w.awaitLoad()
		t.Logf("crash %d: %d attempts run, %d jobs wait", i+1, running, waiting)
		if running < leastRunning || waiting < leastWaiting {
			t.Fatalf("only %d attempts run and %d jobs wait at crash %d, want %d and %d", running, waiting, i+1, leastRunning, leastWaiting)
		}
		// Submissions are under way when the daemon dies: some are acknowledged,
		// some are not, and neither may be lost or doubled by it.
		var submitting sync.WaitGroup
		submitting.Go(w.submitUntilItFails)
		time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Millisecond))))
		h.kill()
		submitting.Wait()
		h.start(slots)
	}
	for _, id := range w.acknowledged {
		if run := h.wait(id); run.State != string(jobs.RunSucceeded) {
			t.Errorf("run %d is %s: %s", id, run.State, run.Reason.Text)
		}
	}
	w.checkOutput()
	w.awaitQuiet()
	h.stop()
	w.checkMarkers()
	checkHistories(t, h.dir)
}

// crashWorkload submits short jobs that print lines and leave marks.
type crashWorkload struct {
	h            *home
	rng          *rand.Rand
	acknowledged []int64
}

func newCrashWorkload(h *home, rng *rand.Rand) *crashWorkload {
	return &crashWorkload{h: h, rng: rng}
}

// run is one go of the workload: a single job, or a small graph. Each job
// appends "token attempt begin" and later "... end" to one file, a line at a time.
func (w *crashWorkload) run() spec.Run {
	job := func(pause float64) spec.Job {
		script := fmt.Sprintf(`echo "$HEROPROC_TOKEN $HEROPROC_ATTEMPT begin" >> marks
for i in $(seq %d); do echo "$HEROPROC_JOB line $i"; sleep %.3f; done
echo "$HEROPROC_TOKEN $HEROPROC_ATTEMPT end" >> marks`, linesPerRun, pause)
		return spec.Job{Action: spec.Action{Script: script, Dir: w.h.dir}}
	}
	pause := 0.002 + 0.03*w.rng.Float64()
	run := spec.Run{Jobs: map[string]spec.Job{"a": job(pause)}}
	if w.rng.IntN(5) == 0 {
		second := job(pause)
		second.Needs = []string{"a"}
		run.Jobs["b"] = second
	}
	return run
}

// topUp submits until enough jobs wait.
func (w *crashWorkload) topUp() {
	w.h.t.Helper()
	var runs []spec.Run
	for range waitingTarget {
		runs = append(runs, w.run())
	}
	if _, waiting := w.load(); waiting >= waitingTarget {
		return
	}
	results, err := w.h.api.SubmitMany(w.h.t.Context(), runs[:100])
	if err != nil {
		w.h.t.Fatal(err)
	}
	for _, result := range results {
		w.acknowledged = append(w.acknowledged, result.ID)
	}
}

// load counts what runs and what waits.
func (w *crashWorkload) load() (running, waiting int) {
	w.h.t.Helper()
	page := rpc.ListParams{Limit: 1000}
	list, err := w.h.api.Jobs(w.h.t.Context(), page)
	if err != nil {
		w.h.t.Fatal(err)
	}
	for _, job := range list.Jobs {
		switch jobs.JobState(job.State) {
		case jobs.JobRunning:
			running++
		case jobs.JobWaiting, jobs.JobQueued:
			waiting++
		}
	}
	return running, waiting
}

// awaitLoad returns the load as soon as there is enough of it.
func (w *crashWorkload) awaitLoad() (running, waiting int) {
	for range 1000 {
		if running, waiting = w.load(); running >= leastRunning {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return running, waiting
}

// submitUntilItFails submits one by one until the daemon is gone.
func (w *crashWorkload) submitUntilItFails() {
	for range 10_000 {
		result, err := w.h.api.Submit(w.h.t.Context(), w.run())
		if err != nil {
			if !errors.Is(err, client.ErrNoDaemon) {
				w.h.t.Errorf("the submission failed by something else than the daemon's death: %v", err)
			}
			return
		}
		w.acknowledged = append(w.acknowledged, result.ID)
	}
}

// awaitQuiet waits for the runs that were stored but never acknowledged.
func (w *crashWorkload) awaitQuiet() {
	w.h.t.Helper()
	for before := int64(0); ; {
		list, err := w.h.api.Runs(w.h.t.Context(), rpc.ListParams{Limit: 1000, Before: before})
		if err != nil {
			w.h.t.Fatal(err)
		}
		for _, run := range list.Runs {
			w.h.wait(run.ID)
		}
		if before = list.Next; before == 0 {
			return
		}
	}
}

// checkOutput finds every line of every acknowledged run, once and in order.
func (w *crashWorkload) checkOutput() {
	w.h.t.Helper()
	for _, id := range w.acknowledged {
		var want strings.Builder
		for _, job := range w.h.show(id).Jobs {
			for i := range linesPerRun {
				fmt.Fprintf(&want, "%s line %d\n", job.Name, i+1)
			}
		}
		if got := w.h.output(id); got != want.String() {
			w.h.t.Errorf("run %d printed\n%swant\n%s", id, got, want.String())
		}
	}
}

// checkMarkers finds each attempt's two marks exactly once, and none beside.
func (w *crashWorkload) checkMarkers() {
	w.h.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.h.dir, "marks"))
	if err != nil {
		w.h.t.Fatal(err)
	}
	marks := map[string]int{}
	for line := range strings.Lines(string(text)) {
		marks[strings.TrimSpace(line)]++
	}
	db := openDatabase(w.h.t, w.h.dir)
	rows, err := db.Query(`SELECT token, number FROM attempts`)
	if err != nil {
		w.h.t.Fatal(err)
	}
	defer rows.Close()
	attempts := 0
	for rows.Next() {
		var token string
		var number int
		if err := rows.Scan(&token, &number); err != nil {
			w.h.t.Fatal(err)
		}
		attempts++
		for _, phase := range []string{"begin", "end"} {
			mark := fmt.Sprintf("%s %d %s", token, number, phase)
			if marks[mark] != 1 {
				w.h.t.Errorf("the mark %q was written %d times", mark, marks[mark])
			}
			delete(marks, mark)
		}
	}
	if err := rows.Err(); err != nil {
		w.h.t.Fatal(err)
	}
	for mark := range marks {
		w.h.t.Errorf("the mark %q belongs to no attempt", mark)
	}
	w.h.t.Logf("%d acknowledged runs, %d attempts", len(w.acknowledged), attempts)
}

// openDatabase opens the database of a home whose daemon is gone.
func openDatabase(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "heroproc.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// checkHistories replays the events: each job's is a path through the state
// table that ends where the job's row is, and the database is sound.
func checkHistories(t *testing.T, dir string) {
	t.Helper()
	db := openDatabase(t, dir)
	rows, err := db.QueryContext(context.Background(),
		`SELECT job_id, coalesce(from_state, ''), to_state FROM events WHERE kind = 'job' ORDER BY number`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	at := map[int64]jobs.JobState{}
	for rows.Next() {
		var job int64
		var from, to jobs.JobState
		if err := rows.Scan(&job, &from, &to); err != nil {
			t.Fatal(err)
		}
		if at[job] != from || !jobs.CanMove(from, to) {
			t.Errorf("job %d was %q and went from %q to %q", job, at[job], from, to)
		}
		at[job] = to
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	states, err := db.Query(`SELECT id, state FROM jobs`)
	if err != nil {
		t.Fatal(err)
	}
	defer states.Close()
	for states.Next() {
		var job int64
		var state jobs.JobState
		if err := states.Scan(&job, &state); err != nil {
			t.Fatal(err)
		}
		if at[job] != state {
			t.Errorf("job %d is %q, and its events end with %q", job, state, at[job])
		}
		delete(at, job)
	}
	if err := states.Err(); err != nil {
		t.Fatal(err)
	}
	for job := range at {
		t.Errorf("job %d has events and no row", job)
	}
	for _, check := range []string{"PRAGMA integrity_check", "PRAGMA foreign_key_check"} {
		var result string
		err := db.QueryRow(check).Scan(&result)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			t.Fatal(err)
		}
		if result != "" && result != "ok" {
			t.Errorf("%s: %s", check, result)
		}
	}
}
