package failures

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// binary is the heroproc under test, built once by TestMain.
var binary string

// scale multiplies the length of the long loops: 1 in everyday tests, more in
// `make torture`.
var scale = 1

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if text := os.Getenv("HEROPROC_TORTURE"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "HEROPROC_TORTURE is %q, want a number from 1\n", text)
			return 2
		}
		scale = n
	}
	dir, err := os.MkdirTemp("", "heroproc")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "heroproc")
	args := append([]string{"build", "-o", binary}, buildFlags...)
	if out, err := exec.Command("go", append(args, "github.com/heroproc/heroproc/cmd/heroproc")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build heroproc: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	fmt.Printf("rows of the failure table that ran: %d\n", rowsRun.count())
	return code
}

// rowsRun counts the tests that ran to their end without being skipped.
var rowsRun counter

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// home is a home directory with a daemon that can be started, killed and
// stopped. At the test's end nothing of it may be left.
type home struct {
	t   *testing.T
	dir string
	api *client.Client

	daemon *exec.Cmd
	log    bytes.Buffer
}

// newHome makes an empty home; the daemon is started by start.
func newHome(t *testing.T) *home {
	t.Helper()
	// Not t.TempDir: the sockets' paths have to stay short.
	dir, err := os.MkdirTemp("", "hp")
	if err != nil {
		t.Fatal(err)
	}
	h := &home{t: t, dir: dir, api: client.New(filepath.Join(dir, "rpc.sock"))}
	t.Cleanup(func() {
		h.end()
		h.api.Close()
		if left := processesOf(dir); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		if t.Failed() {
			t.Logf("log of the daemons:\n%s", h.log.String())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		if !t.Skipped() {
			rowsRun.add()
		}
	})
	return h
}

// start starts a daemon and returns when it is ready.
func (h *home) start(args ...string) {
	h.t.Helper()
	if err := h.tryStart(args...); err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) tryStart(args ...string) error {
	return h.tryStartCommand(exec.Command(binary, append([]string{"daemon", "--home", h.dir}, args...)...))
}

func (h *home) tryStartCommand(cmd *exec.Cmd) error {
	cmd.Stderr = &h.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "is ready") {
		_ = cmd.Process.Kill()
		return fmt.Errorf("the daemon said %q and ended: %w\n%s", line, cmd.Wait(), h.log.String())
	}
	h.daemon = cmd
	return nil
}

// kill is a crash: kill -9 of the daemon alone.
func (h *home) kill() {
	h.t.Helper()
	if err := h.daemon.Process.Kill(); err != nil {
		h.t.Fatal(err)
	}
	_ = h.daemon.Wait() // says that it was killed
	h.daemon = nil
}

// stop shuts the daemon down, with what it runs, and waits for its executor.
func (h *home) stop() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := h.api.Shutdown(ctx, false); err != nil {
		h.t.Errorf("cannot shut down: %v", err)
		_ = h.daemon.Process.Kill()
	}
	if err := h.daemon.Wait(); err != nil {
		h.t.Errorf("the daemon ended badly: %v", err)
	}
	h.daemon = nil
	h.awaitExecutor()
}

// awaitExecutor returns when no executor holds the home.
func (h *home) awaitExecutor() {
	h.t.Helper()
	lock, err := os.Open(filepath.Join(h.dir, "executor.lock"))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		h.t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		h.t.Fatal(err)
	}
}

// end leaves nothing behind, however far the test came.
func (h *home) end() {
	if h.daemon == nil {
		lock, err := os.Open(filepath.Join(h.dir, "executor.lock"))
		if err != nil {
			return
		}
		defer lock.Close()
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return
		}
		// Only a daemon can tell an executor to end.
		if err := h.tryStart(); err != nil {
			h.t.Error(err)
			return
		}
	}
	h.stop()
}

// script submits a run of one shell script.
func (h *home) script(text string, change ...func(*spec.Job)) int64 {
	h.t.Helper()
	job := spec.Job{Action: spec.Action{Script: text, Dir: h.dir}}
	for _, c := range change {
		c(&job)
	}
	return h.submit(spec.Run{Jobs: map[string]spec.Job{"main": job}})
}

func (h *home) submit(run spec.Run) int64 {
	h.t.Helper()
	result, err := h.api.Submit(h.t.Context(), run)
	if err != nil {
		h.t.Fatal(err)
	}
	return result.ID
}

// wait returns the run when it is final.
func (h *home) wait(id int64) rpc.RunDetail {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Minute)
	defer cancel()
	result, err := h.api.Wait(ctx, id)
	if err != nil {
		h.t.Fatalf("run %d: %v", id, err)
	}
	if result.State == "running" {
		h.t.Fatalf("run %d is still running: %s", id, result.Reason.Text)
	}
	return h.show(id)
}

func (h *home) show(id int64) rpc.RunDetail {
	h.t.Helper()
	detail, err := h.api.Run(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return detail
}

// awaitOutput returns as soon as the run has printed text.
func (h *home) awaitOutput(id int64, text string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	seen := &seen{text: text, found: cancel}
	err := h.api.Output(ctx, rpc.OutputQuery{Run: id, Follow: true}, seen)
	if !strings.Contains(seen.String(), text) {
		h.t.Fatalf("run %d printed %q and not %q: %v", id, seen.String(), text, err)
	}
}

// seen ends a following as soon as a text was seen.
type seen struct {
	bytes.Buffer
	text  string
	found func()
}

func (s *seen) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if strings.Contains(s.String(), s.text) {
		s.found()
	}
	return n, err
}

// output is all that a final run has printed.
func (h *home) output(id int64) string {
	h.t.Helper()
	var out bytes.Buffer
	if err := h.api.Output(h.t.Context(), rpc.OutputQuery{Run: id}, &out); err != nil {
		h.t.Fatal(err)
	}
	return out.String()
}

// processesOf are the processes whose environment names the home's socket: the
// jobs of its daemon, and what they have left.
func processesOf(dir string) []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("HEROPROC_SOCKET="+dir+"/")) {
			continue
		}
		process := filepath.Dir(path)
		command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		if len(command) == 0 {
			continue // a zombie, or gone by now
		}
		found = append(found, filepath.Base(process)+": "+strings.ReplaceAll(string(command), "\x00", " "))
	}
	return found
}

// pidOf is the pid of the run's only job, which must be running.
func (h *home) pidOf(id int64) int {
	h.t.Helper()
	attempts := h.show(id).Jobs[0].Attempts
	pid := attempts[len(attempts)-1].PID
	if pid == 0 {
		h.t.Fatalf("run %d has no process", id)
	}
	return int(pid)
}

// alive tells whether a process exists and is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
