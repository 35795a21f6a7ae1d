package failures

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heroproc/heroproc/jobs/spec"
)

// Row 17: what cannot be started says why, with the shell's code; what may be
// there a moment later is tried again.
func TestFailure17_CannotStart(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(h.dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		command string
		code    int
		reason  string
	}{
		"not there":         {"/nowhere/at-all", 127, "not_found"},
		"not in the PATH":   {"no-such-program", 127, "not_found"},
		"not executable":    {write("plain", "#!/bin/sh\n", 0o600), 126, "not_executable"},
		"a directory":       {h.dir, 126, "not_executable"},
		"not a program":     {write("noise", "\x00\x01\x02", 0o700), 126, "not_executable"},
		"interpreter is no": {write("orphan", "#!/nowhere/sh\n", 0o700), 127, "not_found"},
	} {
		id := h.submit(spec.Run{Jobs: map[string]spec.Job{"a": {Action: spec.Action{
			Command: []string{c.command}, Retry: spec.NewRetry(5), Dir: h.dir,
		}}}})
		run := h.wait(id)
		job := run.Jobs[0]
		if run.State != "failed" || *run.ExitCode != c.code || job.Reason.Code != c.reason || len(job.Attempts) != 1 {
			t.Errorf("%s: %s with code %d after %d attempts: %+v", name, run.State, *run.ExitCode, len(job.Attempts), job.Reason)
		}
	}

	// ETXTBSY: somebody still writes the program.
	busy := write("busy", "", 0o700)
	text, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(busy, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
	retry := spec.NewRetry(1000)
	retry.Backoff, retry.MaxBackoff = spec.Duration(5*time.Millisecond), spec.Duration(5*time.Millisecond)
	id := h.submit(spec.Run{Jobs: map[string]spec.Job{"a": {Action: spec.Action{Command: []string{busy}, Retry: retry}}}})
	for h.show(id).Jobs[0].Attempt < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if run := h.wait(id); run.State != "succeeded" || run.Jobs[0].Attempts[0].Reason.Code != "cannot_start" {
		t.Errorf("a busy program: %s, first %+v", run.State, run.Jobs[0].Attempts[0].Reason)
	}

	// E2BIG is refused at the door, where it can be told in words.
	_, err = h.api.Submit(t.Context(), spec.Run{Jobs: map[string]spec.Job{"a": {Action: spec.Action{
		Command: []string{"true"}, Env: map[string]string{"BIG": strings.Repeat("x", 3<<20)},
	}}}})
	if err == nil || !strings.Contains(err.Error(), "jobs.a") {
		t.Errorf("3 MB of environment: %v", err)
	}
}

// Row 20: orphans that a job leaves are reaped, whoever their parent was.
func TestFailure20_Zombies(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start()
	// Each inner shell ends at once and leaves a child to the executor.
	id := h.script("for i in $(seq 1000); do (true & true &) ; done; echo done")
	if run := h.wait(id); run.State != "succeeded" {
		t.Fatalf("the run is %s: %s", run.State, run.Reason.Text)
	}
	info, err := h.api.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if zombies := zombiesOf(t, info.Executor.PID, info.Daemon.PID); len(zombies) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("zombies are left: %v", zombiesOf(t, info.Executor.PID, info.Daemon.PID))
}

func zombiesOf(t *testing.T, parents ...int) (pids []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[0] == "Z" {
			if parent, _ := strconv.Atoi(fields[1]); slices.Contains(parents, parent) {
				pids = append(pids, filepath.Base(filepath.Dir(path)))
			}
		}
	}
	return pids
}

// Row 21: what a job has put into sessions of its own ends with the job.
func TestFailure21_Orphans(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start()
	script := `setsid sh -c 'echo $$; (setsid sleep 1000 >/dev/null 2>&1 & echo $!); exec sleep 1000' &
(trap '' TERM HUP; setsid sleep 1000 >/dev/null 2>&1 & echo $!)
sleep 0.2
`
	for name, end := range map[string]func(id int64){
		"by itself":    func(int64) {},
		"by a cancel":  func(id int64) { h.cancel(id) },
		"by a timeout": func(int64) {},
	} {
		text, timeout := script, spec.Duration(0)
		if name != "by itself" {
			text += "echo ready; sleep 1000\n"
		}
		if name == "by a timeout" {
			timeout = spec.Duration(time.Second)
		}
		id := h.script(text, func(job *spec.Job) {
			job.Timeout = timeout
			job.Stop = &spec.Stop{Signal: "TERM", Timeout: spec.Duration(200 * time.Millisecond)}
		})
		if name == "by a cancel" {
			h.awaitOutput(id, "ready")
		}
		end(id)
		h.wait(id)
		pids := strings.Fields(strings.ReplaceAll(h.output(id), "ready", ""))
		if len(pids) != 3 {
			t.Fatalf("%s: it printed %q, want three pids", name, pids)
		}
		for _, text := range pids {
			if pid, _ := strconv.Atoi(text); pid == 0 || alive(pid) {
				t.Errorf("%s: process %s of the job is alive after its end", name, text)
			}
		}
	}
}

func (h *home) cancel(id int64) {
	h.t.Helper()
	if _, err := h.api.Cancel(h.t.Context(), id); err != nil {
		h.t.Error(err)
	}
}

// Row 24: a stop that is not obeyed is enforced, also on a stopped process.
func TestFailure24_StopIgnored(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start()
	for name, script := range map[string]string{
		"ignores TERM":    "trap '' TERM; echo ready; while :; do sleep 1; done",
		"is stopped":      "echo ready; kill -STOP $$; sleep 1000",
		"obeys":           "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done",
		"stops its group": "echo ready; kill -STOP 0; sleep 1000",
	} {
		id := h.script(script, func(job *spec.Job) {
			job.Stop = &spec.Stop{Signal: "TERM", Timeout: spec.Duration(300 * time.Millisecond)}
		})
		h.awaitOutput(id, "ready")
		pid := h.pidOf(id)
		h.cancel(id)
		run := h.wait(id)
		if run.State != "cancelled" || *run.ExitCode != 130 {
			t.Errorf("a job that %s: %s with code %d: %+v", name, run.State, *run.ExitCode, run.Reason)
		}
		if alive(pid) {
			t.Errorf("a job that %s is alive after its cancellation", name)
		}
		if name == "obeys" && !strings.Contains(h.output(id), "bye") {
			t.Error("a job that obeys had no time to say good-bye")
		}
	}
}

// Row 25: a process that outlives the job and holds its output hangs nothing.
func TestFailure25_GrandchildHoldsOutput(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start()
	id := h.script("sleep 1000 & echo $!; echo hi")
	run := h.wait(id)
	fields := strings.Fields(h.output(id))
	if run.State != "succeeded" || len(fields) != 2 || fields[1] != "hi" {
		t.Fatalf("the run is %s and printed %q", run.State, fields)
	}
	if pid, _ := strconv.Atoi(fields[0]); pid == 0 || alive(pid) {
		t.Errorf("process %s of the job is alive after its end", fields[0])
	}
}

// Row 31: whatever the daemon was started with, a job starts from defined
// settings.
func TestFailure31_DefinedSettings(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	// A daemon started from the worst of shells.
	wrapper := filepath.Join(h.dir, "odd.sh")
	text := fmt.Sprintf("#!/bin/bash\numask 077\ntrap '' HUP PIPE USR1 34\nulimit -S -n 700\nexport LD_SOMETHING=1 SECRET_OF_THE_SHELL=1\nexec 7</dev/null 8>%s/stray\ncd /usr\nexec %s \"$@\"\n", h.dir, binary)
	if err := os.WriteFile(wrapper, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	h.startBy(wrapper)

	id := h.script(`umask; pwd; ulimit -S -n; ls /proc/self/fd | tr '\n' ' '; echo
grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f5 /proc/self/stat > pgid; [ "$(cut -d' ' -f5 /proc/$$/stat)" = $$ ] && echo own group
readlink /proc/self/fd/0; env | cut -d= -f1 | sort | tr '\n' ' '`)
	run := h.wait(id)
	if run.State != "succeeded" {
		t.Fatalf("the run is %s: %s", run.State, run.Reason.Text)
	}
	got := strings.Split(strings.TrimSpace(h.output(id)), "\n")
	want := []string{
		"0022", h.dir, "700", "0 1 2 3 ",
		"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "own group", "/dev/null",
	}
	if len(got) != len(want)+1 {
		t.Fatalf("it printed %q", got)
	}
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	for name := range strings.FieldsSeq(got[len(want)]) {
		known := []string{"PATH", "HOME", "USER", "LANG", "TZ", "PWD", "OLDPWD", "SHLVL", "_"}
		if !strings.HasPrefix(name, "HEROPROC_") && !slices.Contains(known, name) {
			t.Errorf("the job was given %s", name)
		}
	}
}

// startBy starts the daemon through another program.
func (h *home) startBy(program string) {
	h.t.Helper()
	if err := h.tryStartCommand(exec.Command(program, "daemon", "--home", h.dir)); err != nil {
		h.t.Fatal(err)
	}
}

// Row 36: a line without end and bytes that are no text come back as they were
// printed, in bounded memory.
func TestFailure36_HugeLinesAndBinary(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.start()
	size := min(40*scale, 60) << 20 // below the default budget of an attempt
	for name, script := range map[string]string{
		"a line without end": fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x | tee copy", size),
		"noise":              "head -c 3000000 /dev/urandom | tee copy",
		"NUL and half lines": `printf 'a\0b\r\nc\nno newline at the end' | tee copy`,
	} {
		run := h.wait(h.script(script))
		if run.State != "succeeded" {
			t.Fatalf("%s: the run is %s: %s", name, run.State, run.Reason.Text)
		}
		want, err := os.ReadFile(filepath.Join(h.dir, "copy"))
		if err != nil {
			t.Fatal(err)
		}
		got := h.output(run.ID)
		if sha256.Sum256(want) != sha256.Sum256([]byte(got)) {
			t.Errorf("%s: %d bytes were printed, %d other bytes were kept", name, len(want), len(got))
		}
	}
	info, err := h.api.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{info.Daemon.PID, info.Executor.PID} {
		if peak := peakMemory(t, pid); peak > 150<<20 {
			t.Errorf("pid %d needed %d MiB at its peak", pid, peak>>20)
		}
	}
}

// peakMemory is the largest resident size a process has had, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("the kernel does not tell the peak")
	return 0
}
