package failures

import (
	"bufio"
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// Row 10: of several daemons started at once on one home exactly one lives, and
// each of the others names it, also where a killed daemon has left its traces.
func TestFailure10_TwoDaemons(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	for range 20 * scale {
		winner, refusals := h.race(6)
		for _, refusal := range refusals {
			if !strings.Contains(refusal, "(pid "+strconv.Itoa(winner)+")") {
				t.Errorf("a second daemon said %q, which does not name pid %d", refusal, winner)
			}
		}
		h.wait(h.script("exit 0"))
		h.kill()
	}
}

// race starts several daemons at once, and answers the pid of the one that lives
// and what the others said.
func (h *home) race(n int) (winner int, refusals []string) {
	h.t.Helper()
	type racer struct {
		cmd  *exec.Cmd
		said *bytes.Buffer
		line string
	}
	racers := make([]racer, n)
	var reading sync.WaitGroup
	for i := range racers {
		r := &racers[i]
		r.said = new(bytes.Buffer)
		r.cmd = exec.Command(binary, "daemon", "--home", h.dir)
		r.cmd.Stderr = r.said
		out, err := r.cmd.StdoutPipe()
		if err != nil {
			h.t.Fatal(err)
		}
		if err := r.cmd.Start(); err != nil {
			h.t.Fatal(err)
		}
		// Either it says that it is ready, or it ends.
		reading.Go(func() { r.line, _ = bufio.NewReader(out).ReadString('\n') })
	}
	reading.Wait()
	for _, r := range racers {
		if strings.Contains(r.line, "is ready") {
			if h.daemon != nil {
				h.t.Errorf("pid %d and pid %d both live on one home", h.daemon.Process.Pid, r.cmd.Process.Pid)
			}
			h.daemon = r.cmd
			continue
		}
		if err := r.cmd.Wait(); err == nil || r.cmd.ProcessState.ExitCode() != 1 {
			h.t.Errorf("a second daemon ended with %v", err)
		}
		refusals = append(refusals, r.said.String())
	}
	if h.daemon == nil {
		h.t.Fatalf("none of the daemons lives: %q", refusals)
	}
	return h.daemon.Process.Pid, refusals
}

// Row 30: a timeout is kept while no daemon lives.
func TestFailure30_TimeoutWithoutDaemon(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start()
	id := h.script("trap '' TERM; echo started; while :; do sleep 1; done", func(job *spec.Job) {
		job.Timeout = spec.Duration(time.Second)
		job.Stop = &spec.Stop{Signal: "TERM", Timeout: spec.Duration(200 * time.Millisecond)}
	})
	h.awaitOutput(id, "started")
	pid := h.pidOf(id)
	h.kill()
	awaitEnd(t, pid)
	dead := time.Now()
	h.start()
	run := h.wait(id)
	attempt := run.Jobs[0].Attempts[0]
	if run.State != "failed" || attempt.Reason.Code != "timeout" || *run.ExitCode != 124 {
		t.Errorf("the run is %s with code %d: %+v", run.State, *run.ExitCode, attempt.Reason)
	}
	if attempt.FinishedAt.After(dead) {
		t.Errorf("the attempt ended at %s, after it was seen dead at %s: the daemon, not the executor, ended it", attempt.FinishedAt, dead)
	}
}

// awaitEnd returns when a process that is nobody's child here is gone.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	for range 3000 {
		if !alive(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("process %d does not end", pid)
}

// A daemon that ends without ending its jobs is followed by one that finds them
// again: the same process, its whole output, its exit code.
func TestLeaveRunning(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start()
	gate := h.dir + "/gate"
	id := h.script("echo one; while [ ! -e gate ]; do sleep 0.01; done; echo two; exit 7")
	h.awaitOutput(id, "one")
	pid := h.pidOf(id)
	if _, err := h.api.Shutdown(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := h.daemon.Wait(); err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatal("the job ended with the daemon")
	}
	h.start()
	if again := h.pidOf(id); again != pid {
		t.Errorf("the job has pid %d now, and had %d", again, pid)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := h.wait(id)
	if *run.ExitCode != 7 || len(run.Jobs[0].Attempts) != 1 {
		t.Errorf("the run ended with %d after %d attempts", *run.ExitCode, len(run.Jobs[0].Attempts))
	}
	if out := h.output(id); out != "one\ntwo\n" {
		t.Errorf("it printed %q", out)
	}
}

// What a shutdown ends says so; what may be repeated is, at the next start; what
// only waited still waits.
func TestShutdownEndsWhatRuns(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start("--queue-slots=2")
	ended := h.script("echo up; sleep 1000")
	repeated := h.script("echo up; [ $HEROPROC_ATTEMPT = 2 ] || sleep 1000", func(job *spec.Job) { job.OnLost = spec.OnLostRetry })
	waiting := h.script("echo later")
	h.awaitOutput(ended, "up")
	h.awaitOutput(repeated, "up")
	h.stop()
	h.start()
	if run := h.wait(ended); run.State != "failed" || run.Jobs[0].Reason.Code != "shutdown" {
		t.Errorf("the run that was ended is %s: %+v", run.State, run.Jobs[0].Reason)
	}
	if run := h.wait(repeated); run.State != "succeeded" || len(run.Jobs[0].Attempts) != 2 {
		t.Errorf("the run that may be repeated is %s after %d attempts", run.State, len(run.Jobs[0].Attempts))
	}
	if run := h.wait(waiting); run.State != "succeeded" {
		t.Errorf("the run that waited is %s", run.State)
	}
	h.stop()
	checkHistories(t, h.dir)
}

// Row 29: a cancellation and the exit at the same moment. One of them wins, the
// job says which, and its history stays legal.
func TestFailure29_CancelAgainstExit(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start("--queue-slots=8")
	outcomes := map[string]int{}
	var mu sync.Mutex
	var lanes sync.WaitGroup
	for lane := range 4 {
		lanes.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(lane), 29))
			for range 50 * scale {
				life := time.Duration(rng.Int64N(int64(30 * time.Millisecond)))
				id, err := h.api.Submit(t.Context(), spec.Run{Jobs: map[string]spec.Job{"a": {
					Action: spec.Action{Command: []string{"sleep", strconv.FormatFloat(life.Seconds(), 'f', 4, 64)}},
				}}})
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(rng.Int64N(int64(2*life + 5*time.Millisecond)))) // before or after the exit
				var conflict *rpc.Error
				if _, err := h.api.Cancel(t.Context(), id.ID); err != nil &&
					(!errors.As(err, &conflict) || conflict.Code != rpc.CodeConflict) {
					t.Error(err)
				}
				result, err := h.api.Wait(t.Context(), id.ID)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				outcomes[result.State]++
				mu.Unlock()
			}
		})
	}
	lanes.Wait()
	t.Logf("outcomes: %v", outcomes)
	if outcomes["succeeded"] == 0 || outcomes["cancelled"] == 0 || len(outcomes) != 2 {
		t.Errorf("outcomes %v, want some that succeeded and some that were cancelled", outcomes)
	}
	h.stop()
	checkHistories(t, h.dir)
}
