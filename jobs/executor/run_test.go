package executor

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/journal"
	"github.com/heroproc/heroproc/jobs/executor/process"
)

// eachWay runs a test with cgroups, where the machine lets us have them, and
// without.
func eachWay(t *testing.T, test func(t *testing.T, s *stage)) {
	t.Run("WithCgroups", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		if !strings.Contains(s.log(), "cgroups=true") {
			t.Skip("no cgroup of our own on this machine")
		}
		test(t, s)
	})
	t.Run("WithoutCgroups", func(t *testing.T) {
		t.Parallel()
		test(t, setup(t, "--no-cgroups"))
	})
}

func TestRun(t *testing.T) {
	t.Parallel()

	t.Run("KeepsHowAProcessEnded", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		for script, want := range map[string]Exit{
			"exit 0":         {Cause: CauseExited},
			"exit 3":         {Cause: CauseExited, Code: 3},
			"exit 255":       {Cause: CauseExited, Code: 255},
			"kill -9 $$":     {Cause: CauseExited, Signal: unix.SIGKILL},
			"kill -TERM $$":  {Cause: CauseExited, Signal: unix.SIGTERM},
			"sleep 0.05":     {Cause: CauseExited},
			"sleep 0.05; X=": {Cause: CauseExited},
		} {
			x := s.run(s.order(script))
			got := Exit{Cause: x.Cause, Code: x.Code, Signal: x.Signal}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", script, diff)
			}
			if x.MaxRSSBytes <= 0 {
				t.Errorf("%s: no memory use", script)
			}
		}
	})

	t.Run("KeepsBothStreamsAndTheEndOfStderr", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		o := s.order("echo out; echo err >&2; printf unfinished; exit 1")
		x := s.run(o)
		if got, want := s.output(o.Attempt, "stdout"), "out\nunfinished"; got != want {
			t.Errorf("stdout is %q, want %q", got, want)
		}
		if got, want := s.output(o.Attempt, "stderr"), "err\n"; got != want {
			t.Errorf("stderr is %q, want %q", got, want)
		}
		if string(x.StderrTail) != "err\n" {
			t.Errorf("the end of stderr is %q", x.StderrTail)
		}
		if x.LogBytes != int64(len("out\nunfinishederr\n")) || x.DroppedBytes != 0 {
			t.Errorf("kept %d bytes, dropped %d", x.LogBytes, x.DroppedBytes)
		}
		if x := s.run(s.order("echo err >&2")); x.StderrTail != nil {
			t.Errorf("an attempt that ended well has an end of stderr: %q", x.StderrTail)
		}
	})

	t.Run("KeepsNoMoreOfStderrThanItSays", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		x := s.run(s.order("i=0; while [ $i -lt 3000 ]; do echo $i >&2; i=$((i+1)); done; exit 1"))
		if len(x.StderrTail) != tailBytes || !strings.HasSuffix(string(x.StderrTail), "\n2998\n2999\n") {
			t.Errorf("the end of stderr has %d bytes: …%q", len(x.StderrTail), x.StderrTail[max(0, len(x.StderrTail)-20):])
		}
	})

	t.Run("TellsOfAYoungProcessWithItsExit", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "--young", "1h")
		o := s.start(s.order("exit 0"))
		e := s.event(o, EventExited)
		if e.Started == nil || e.Started.PID <= 0 || e.Started.StartTicks == 0 || e.Started.BootID == "" {
			t.Errorf("the exit says of the start: %+v", e.Started)
		}
		if s.count(o, EventStarted) != 0 {
			t.Error("it was told of before")
		}
	})

	t.Run("TellsOfAnOlderProcessAtOnce", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		o := s.start(s.order("exec sleep 60"))
		started := s.started(o)
		stat, err := process.ReadStat(started.PID)
		if err != nil || stat.StartTicks != started.StartTicks {
			t.Errorf("%+v is not %+v (%v)", stat, started, err)
		}
		s.stop(o, "", StopSequence{Signal: unix.SIGKILL})
		if e := s.event(o, EventExited); e.Started != nil {
			t.Error("it was told of twice")
		}
	})

	t.Run("TakesTheOutputFile", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		dir := t.TempDir()
		secret := filepath.Join(dir, "secret")
		if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "output")
		for script, want := range map[string]string{
			"printf answer > " + path:                     "answer",
			"true":                                        "",
			"ln -s " + secret + " " + path:                "",
			"mkfifo " + path:                              "",
			"head -c 100000 /dev/zero > " + path:          strings.Repeat("\x00", maxOutputFile),
			"printf answer > " + path + "; kill -KILL $$": "answer",
		} {
			o := s.order(script)
			o.OutputFile = path
			if x := s.run(o); string(x.Output) != want {
				t.Errorf("%s: output has %d bytes, want %d", script, len(x.Output), len(want))
			}
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s: the file is still there", script)
			}
		}
	})

	t.Run("ReadsOnWhileAChildHasClosedItsOutput", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		o := s.start(s.child("closefds"))
		s.started(o)
		s.stop(o, "", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		if x := s.exit(o); x.Cause != CauseStopped {
			t.Errorf("exit is %+v", x)
		}
	})
}

func TestFailure17_CannotStart(t *testing.T) {
	t.Parallel()
	s := setup(t)
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "#!/bin/sh\n", 0o644)
	strange := write("strange", "neither text nor program", 0o755)
	orphaned := write("orphaned", "#!/no/such/interpreter\n", 0o755)
	write("fine", "#!/bin/sh\nexit 4\n", 0o755)

	for _, test := range []struct {
		name    string
		change  func(o *Order)
		errno   syscall.Errno
		message string
	}{
		{"NotInPath", func(o *Order) { o.Command = []string{"nowhere"} }, unix.ENOENT, "no such program in PATH /usr/bin:/bin"},
		{"NoSuchFile", func(o *Order) { o.Command = []string{"/no/such"} }, unix.ENOENT, "no such file"},
		{"NotExecutable", func(o *Order) { o.Command = []string{plain} }, unix.EACCES, "not an executable"},
		{"NotExecutableInPath", func(o *Order) { o.Command, o.Env = []string{"plain"}, []string{"PATH=" + dir} }, unix.EACCES, "not an executable"},
		{"Directory", func(o *Order) { o.Command = []string{dir} }, unix.EACCES, "not an executable"},
		{"NoProgram", func(o *Order) { o.Command = []string{strange} }, unix.ENOEXEC, "#!"},
		{"NoInterpreter", func(o *Order) { o.Command = []string{orphaned} }, unix.ENOENT, "interpreter"},
		{"NoDirectory", func(o *Order) { o.Dir = "/no/such/dir" }, unix.ENOENT, "cannot enter directory"},
		{"DirectoryIsFile", func(o *Order) { o.Dir = plain }, unix.ENOTDIR, "cannot enter directory"},
		{"Empty", func(o *Order) { o.Command = nil }, unix.EINVAL, "empty"},
		{"EmptyName", func(o *Order) { o.Command = []string{""} }, unix.EINVAL, "empty"},
		{"NULByte", func(o *Order) { o.Command = []string{"/bin/true", "a\x00b"} }, unix.EINVAL, "NUL"},
		{"TooLong", func(o *Order) { o.Env = append(o.Env, "BIG="+strings.Repeat("x", 3<<20)) }, unix.E2BIG, "too long"},
	} {
		o := s.order("exit 0")
		test.change(&o)
		e := s.event(s.start(o), EventExited)
		if e.Exit.Cause != CauseCannotStart || e.Exit.Errno != test.errno || !strings.Contains(e.Exit.Message, test.message) {
			t.Errorf("%s: %v %v %q", test.name, e.Exit.Cause, e.Exit.Errno, e.Exit.Message)
		}
		if e.Started != nil {
			t.Errorf("%s: it was started", test.name)
		}
	}

	t.Run("FindsTheProgramByTheOrdersPath", func(t *testing.T) {
		for _, path := range []string{dir, "/no/such:" + dir, ".", ":/bin", filepath.Base(dir) + "/../."} {
			o := s.command("fine")
			o.Dir, o.Env = dir, []string{"PATH=" + path}
			if strings.HasPrefix(path, filepath.Base(dir)) {
				o.Dir = filepath.Dir(dir)
				o.Env = []string{"PATH=" + filepath.Base(dir)}
			}
			if x := s.run(o); x.Code != 4 {
				t.Errorf("PATH=%s: %+v", path, x)
			}
		}
		o := s.command("./fine")
		o.Dir = dir
		if x := s.run(o); x.Code != 4 {
			t.Errorf("./fine: %+v", x)
		}
	})

	t.Run("TriesAgainWhatMaySucceedLater", func(t *testing.T) {
		busy := write("busy", "", 0o755)
		program, err := os.ReadFile("/bin/true")
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(busy, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(program); err != nil {
			t.Fatal(err)
		}
		// While it is open for writing, it cannot be executed (ETXTBSY).
		stopped := s.start(s.command(busy))
		s.stop(stopped, "changed my mind", StopSequence{})
		if e := s.event(stopped, EventExited); e.Started != nil || e.Exit.Cause != CauseStopped || e.Exit.StopReason != "changed my mind" {
			t.Errorf("an order stopped before its start ended so: %+v", e.Exit)
		}
		if x := s.run(s.command(busy)); x.Cause != CauseCannotStart || x.Errno != unix.ETXTBSY {
			t.Errorf("a program that stays busy: %+v", x)
		}
		started := s.start(s.command(busy))
		f.Close()
		if x := s.exit(started); x.Cause != CauseExited || x.Code != 0 {
			t.Errorf("a program that is busy for a moment: %+v", x)
		}
	})
}

// TestAnOrderTooLongToQuoteHarmsNoOther orders a program whose quoted name is
// longer than the journal's largest record.
func TestAnOrderTooLongToQuoteHarmsNoOther(t *testing.T) {
	t.Parallel()
	s := setup(t, "--loops", "1")
	x := s.run(s.command(strings.Repeat("\x01", journal.MaxPayload/3)))
	if x.Cause != CauseCannotStart || len(x.Message) > maxMessage+len("…") {
		t.Errorf("it ended with %v and a message of %d bytes", x.Cause, len(x.Message))
	}
	if x := s.run(s.order("exit 3")); x.Code != 3 {
		t.Errorf("the next order ended with %+v", x)
	}
}

func TestFailure31_DefinedEnvironment(t *testing.T) {
	t.Parallel()
	s := setup(t)
	// The same from an executor whose own parent has left it a mess.
	messy := setup(t)
	messy.strike()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	messy.options.Command = []string{"/bin/sh", "-c",
		`trap "" HUP INT QUIT PIPE USR1 TERM; umask 077; exec 7</dev/null 8</etc/passwd; exec "$@"`, "sh", exe, asExecutor}
	messy.attach()

	limit, err := exec.Command("/bin/sh", "-c", "ulimit -n").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*stage{"usual": s, "messy": messy} {
		// cat is executed by nobody but the executor, and catches no signal itself.
		o := s.command("/bin/cat", "/proc/self/status")
		s.run(o)
		var status strings.Builder
		for line := range strings.Lines(s.output(o.Attempt, "stdout")) {
			if strings.HasPrefix(line, "Umask:") || strings.HasPrefix(line, "Sig") && !strings.HasPrefix(line, "SigQ:") || strings.HasPrefix(line, "ShdPnd:") {
				status.WriteString(line)
			}
		}
		want := "Umask:\t0022\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n" +
			"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"
		if diff := cmp.Diff(want, status.String()); diff != "" {
			t.Errorf("%s: status: %s", name, diff)
		}

		o = s.command("/bin/ls", "-l", "/proc/self/fd")
		s.run(o)
		var fds []string
		for line := range strings.Lines(s.output(o.Attempt, "stdout")) {
			if _, link, ok := strings.Cut(strings.TrimSpace(line), " -> "); ok && !strings.HasPrefix(link, "/proc/") {
				fds = append(fds, strings.TrimRight(link, "[]0123456789"))
			}
		}
		if diff := cmp.Diff([]string{"/dev/null", "pipe:", "pipe:"}, fds); diff != "" {
			t.Errorf("%s: descriptors: %s", name, diff)
		}

		o = s.order("pwd; ulimit -n; read x || echo no input")
		o.Dir = "/usr"
		s.run(o)
		if diff := cmp.Diff("/usr\n"+string(limit)+"no input\n", s.output(o.Attempt, "stdout")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}

		o = s.command("/usr/bin/env")
		s.run(o)
		if diff := cmp.Diff(strings.Join(o.Env, "\n")+"\n", s.output(o.Attempt, "stdout")); diff != "" {
			t.Errorf("%s: environment: %s", name, diff)
		}

		o = s.command("/bin/sh", "-c", "cut -d' ' -f1,5 /proc/$$/stat")
		s.run(o)
		var pid, group int
		if _, err := fmt.Sscan(s.output(o.Attempt, "stdout"), &pid, &group); err != nil || pid != group {
			t.Errorf("%s: process %d is in group %d (%v)", name, pid, group, err)
		}
	}
}

func TestFailure36_HugeAndBinaryOutput(t *testing.T) {
	t.Parallel()
	s := setup(t)

	t.Run("BinaryComesOutAsItWentIn", func(t *testing.T) {
		const n = 3 << 20
		o := s.child("noise", "36", fmt.Sprint(n))
		if x := s.run(o); x.Code != 0 || x.LogBytes != n {
			t.Fatalf("exit is %+v", x)
		}
		want, err := io.ReadAll(io.LimitReader(noise(36), n))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal([]byte(s.output(o.Attempt, "stdout")), want) {
			t.Error("the output differs")
		}
	})

	t.Run("ALongLineWithoutAnEndIsKept", func(t *testing.T) {
		o := s.order("head -c 1000000 /dev/zero | tr '\\0' x")
		s.run(o)
		if got := s.output(o.Attempt, "stdout"); got != strings.Repeat("x", 1000000) {
			t.Errorf("%d bytes are kept", len(got))
		}
	})
}

func TestManyShortJobs(t *testing.T) {
	t.Parallel()
	s := setup(t)
	pid := s.attached.Info.PID
	run := func(n int) {
		orders := make([]Order, n)
		for i := range orders {
			orders[i] = s.start(s.command("/bin/true"))
		}
		for _, o := range orders {
			if x := s.exit(o); x.Cause != CauseExited || x.Code != 0 {
				t.Fatalf("exit is %+v", x)
			}
			if n := s.count(o, EventExited); n != 1 {
				t.Fatalf("it ended %d times", n)
			}
		}
	}
	run(100) // pools are filled now
	before := descriptors(t, pid)
	run(2000)
	if after := descriptors(t, pid); after > before+2*idleLeaves*s.attached.Info.Loops {
		t.Errorf("the executor had %d descriptors, and after 2000 jobs %d", before, after)
	}
	if children := process.Children(pid); len(children) > 0 {
		t.Errorf("the executor still has the children %v", children)
	}
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestStartTicks(t *testing.T) {
	t.Parallel()
	for range 100 {
		before := process.Ticks()
		command := exec.Command("/bin/true")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		pid := command.Process.Pid
		got, err := startTicks(pid, before)
		stat, statErr := process.ReadStat(pid)
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
		if err != nil || statErr != nil || got != stat.StartTicks {
			t.Fatalf("process %d started at %d (%v), /proc says %d (%v)", pid, got, err, stat.StartTicks, statErr)
		}
	}
}
