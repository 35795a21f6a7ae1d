package executor

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/cgroup"
	"github.com/heroproc/heroproc/jobs/executor/journal"
	"github.com/heroproc/heroproc/jobs/executor/process"
)

// crash ends the executor by SIGKILL, and waits until everybody has noticed.
func (s *stage) crash() {
	s.t.Helper()
	if err := unix.Kill(s.attached.Info.PID, unix.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.lost()
}

// live tells whether the executor held the attempt when the daemon attached.
func (s *stage) live(o Order) bool {
	for _, l := range s.attached.Live {
		if l.Token == o.Token {
			return l.Attempt == o.Attempt
		}
	}
	return false
}

func TestFailure02_ExecutorKilled(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, s *stage) {
		obedient := s.start(s.script(`exec 2>/dev/null; trap 'exit 5' TERM; echo ok > $READY; while :; do sleep 0.01; done`))
		timed := s.script(`echo ok > $READY; exec sleep 999`)
		timed.Timeout = time.Hour
		s.start(timed)
		ends := s.start(s.script(`echo ok > $READY; while [ ! -e $READY.go ]; do sleep 0.01; done; exit 6`))
		early := s.start(s.script(`setsid sleep 999 >/dev/null 2>&1 & echo $$ > $READY; read x < $READY.fifo`))
		if err := unix.Mkfifo(s.readyPath(early)+".fifo", 0o600); err != nil {
			t.Fatal(err)
		}
		over := s.start(s.order("exit 4"))
		s.exit(over)
		for _, o := range []Order{obedient, timed, ends, early} {
			s.ready(o)
			s.started(o)
		}
		before := s.attached.Info
		s.crash()
		// One main process ends while nobody is there to see it, and leaves a child.
		if err := unix.Kill(s.started(early).PID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.attach()

		if after := s.attached.Info; after.PID == before.PID || after.BootID != before.BootID {
			t.Errorf("before %+v, after %+v", before, after)
		}
		for _, epoch := range s.attached.Info.Epochs {
			for _, earlier := range before.Epochs {
				if epoch <= earlier {
					t.Errorf("epoch %d comes after %d", epoch, earlier)
				}
			}
		}
		if !s.attached.Whole {
			t.Error("the journals are said to have gaps")
		}
		for _, o := range []Order{obedient, timed, ends} {
			if !s.live(o) {
				t.Errorf("%q was not adopted", o.Command)
			}
			s.start(o) // as a daemon does that does not know better
		}
		s.start(over)
		if x := s.exit(early); x.Cause != CauseLost && x.Signal != unix.SIGKILL {
			t.Errorf("the one that ended unseen: %+v", x)
		}
		if left := s.left(early); len(left) > 0 {
			t.Errorf("left of the one that ended unseen: %+v", left)
		}
		s.stop(obedient, "stop", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		if x := s.exit(obedient); x.Cause != CauseStopped || x.Code != 5 {
			t.Errorf("the obedient one: %+v", x)
		}
		if err := os.WriteFile(s.readyPath(ends)+".go", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if x := s.exit(ends); x.Cause != CauseExited || x.Code != 6 {
			t.Errorf("the one that ended by itself: %+v", x)
		}
		// Nothing of an attempt is forgotten by being inherited twice.
		s.crash()
		s.attach()
		if !s.live(timed) || len(s.attached.Live) != 1 {
			t.Errorf("after the second crash live %+v", s.attached.Live)
		}
		s.stop(timed, "stop", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		if x := s.exit(timed); x.Cause != CauseStopped || x.Signal != unix.SIGTERM {
			t.Errorf("the one inherited twice: %+v", x)
		}
		for _, o := range []Order{obedient, timed, ends, early, over} {
			if n := s.count(o, EventExited); n != 1 {
				t.Errorf("%q ended %d times", o.Command, n)
			}
		}
	})
}

// forge writes a journal as an executor would have left it.
func forge(t *testing.T, home, bootID string, write func(l *ledger)) {
	t.Helper()
	store, err := journal.Open(filepath.Join(home, "journal"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := store.NewEpoch()
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger(w, bootID, func(uint64, []byte) {})
	write(l)
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// stray starts a process that no executor knows; inside a cgroup, if one is
// given.
func stray(t *testing.T, token string, leaf *cgroup.Leaf) process.Stat {
	t.Helper()
	command := exec.Command("/bin/sleep", "999")
	command.Env = []string{process.TokenVariable + "=" + token}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if leaf != nil {
		fd, err := leaf.FD()
		if err != nil {
			t.Fatal(err)
		}
		defer leaf.Rest()
		command.SysProcAttr.UseCgroupFD, command.SysProcAttr.CgroupFD = true, fd
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait()
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
	stat, err := process.ReadStat(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return stat
}

func TestAdoption(t *testing.T) {
	t.Parallel()
	bootID, err := process.BootID()
	if err != nil {
		t.Fatal(err)
	}
	// restage ends the executor and lets the next one find a forged journal.
	restage := func(t *testing.T, bootID string, write func(s *stage, l *ledger)) *stage {
		t.Helper()
		s := setup(t)
		s.strike()
		s.options.Home = t.TempDir()
		s.options.Positions = map[uint64]uint64{}
		forge(t, s.options.Home, bootID, func(l *ledger) { write(s, l) })
		s.attach()
		return s
	}

	t.Run("FindsAProcessThatOnlyTheIntentTellsOf", func(t *testing.T) {
		t.Parallel()
		var o Order
		var stat process.Stat
		s := restage(t, bootID, func(s *stage, l *ledger) {
			o = s.order("")
			stat = stray(t, o.Token, nil)
			l.intent(&o, time.Now())
		})
		if !s.live(o) {
			t.Fatalf("live are %+v", s.attached.Live)
		}
		if started := s.started(o); started.PID != stat.PID || started.StartTicks != stat.StartTicks || started.BootID != bootID {
			t.Errorf("started is %+v, want %+v", started, stat)
		}
		s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		if x := s.exit(o); x.Cause != CauseStopped || x.Signal != unix.SIGTERM {
			t.Errorf("exit is %+v", x)
		}
	})

	t.Run("KeepsTheCgroupOfAProcessThatOnlyTheIntentTellsOf", func(t *testing.T) {
		t.Parallel()
		var o Order
		var path string
		s := restage(t, bootID, func(s *stage, l *ledger) {
			root, err := cgroup.Open(cgroupName(s.options.Home))
			if err != nil {
				t.Log(err)
				return
			}
			leaf, err := root.Pool("former", 0).Lend()
			if err != nil {
				t.Fatal(err)
			}
			o, path = s.order(""), leaf.Path()
			stray(t, o.Token, leaf)
			l.intent(&o, time.Now())
		})
		if path == "" {
			t.Skip("no cgroup of our own on this machine")
		}
		if started := s.started(o); started.Cgroup != path {
			t.Errorf("it is in the cgroup %q, want %q", started.Cgroup, path)
		}
		s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		if x := s.exit(o); x.Cause != CauseStopped || x.Signal != unix.SIGTERM {
			t.Errorf("exit is %+v", x)
		}
	})

	t.Run("TakesAnIntentWithoutAProcessForLost", func(t *testing.T) {
		t.Parallel()
		var o Order
		s := restage(t, bootID, func(s *stage, l *ledger) {
			o = s.order("")
			l.intent(&o, time.Now())
		})
		if x := s.exit(o); x.Cause != CauseLost {
			t.Errorf("exit is %+v", x)
		}
	})

	t.Run("EndsWhatIsLeftOfALostAttempt", func(t *testing.T) {
		t.Parallel()
		var o Order
		s := restage(t, bootID, func(s *stage, l *ledger) {
			o = s.order("")
			stray(t, o.Token, nil)
			l.intent(&o, time.Now())
			e := Event{Kind: EventStarted, Attempt: o.Attempt, Token: o.Token, At: time.Now(),
				Started: &Started{PID: os.Getpid(), StartTicks: 1, BootID: bootID}}
			l.event(&e, true)
		})
		if x := s.exit(o); x.Cause != CauseLost {
			t.Errorf("exit is %+v", x)
		}
		if left := s.left(o); len(left) > 0 {
			t.Errorf("left are %+v", left)
		}
	})

	t.Run("Failure23_NeverSignalsAnotherProcessWithThePID", func(t *testing.T) {
		t.Parallel()
		var o Order
		var innocent process.Stat
		s := restage(t, bootID, func(s *stage, l *ledger) {
			o = s.order("")
			innocent = stray(t, "of nobody", nil)
			l.intent(&o, time.Now())
			e := Event{Kind: EventStarted, Attempt: o.Attempt, Token: o.Token, At: time.Now(),
				Started: &Started{PID: innocent.PID, StartTicks: innocent.StartTicks - 1, BootID: bootID}}
			l.event(&e, true)
		})
		s.stop(o, "stop", StopSequence{Signal: unix.SIGKILL})
		if x := s.exit(o); x.Cause != CauseLost {
			t.Errorf("exit is %+v", x)
		}
		if stat, err := process.ReadStat(innocent.PID); err != nil || stat.Ended() {
			t.Errorf("the other process was ended: %+v, %v", stat, err)
		}
	})

	t.Run("BelievesNothingOfAnotherBoot", func(t *testing.T) {
		t.Parallel()
		var open, ended Order
		var innocent process.Stat
		s := restage(t, "another boot", func(s *stage, l *ledger) {
			open, ended = s.order(""), s.order("")
			innocent = stray(t, "of nobody", nil)
			l.intent(&open, time.Now())
			e := Event{Kind: EventStarted, Attempt: open.Attempt, Token: open.Token, At: time.Now(),
				Started: &Started{PID: innocent.PID, StartTicks: innocent.StartTicks, BootID: "another boot"}}
			l.event(&e, true)
			l.intent(&ended, time.Now())
			l.exited(&Event{Kind: EventExited, Attempt: ended.Attempt, Token: ended.Token, At: time.Now(),
				Exit: &Exit{Cause: CauseExited, Code: 9}})
		})
		if len(s.attached.Live) > 0 {
			t.Errorf("live are %+v", s.attached.Live)
		}
		if x := s.exit(ended); x.Code != 9 {
			t.Errorf("exit is %+v", x)
		}
		if n := s.count(open, EventExited); n != 0 {
			t.Error("an attempt of another boot was judged by the executor")
		}
		if stat, err := process.ReadStat(innocent.PID); err != nil || stat.Ended() {
			t.Errorf("the other process was ended: %+v, %v", stat, err)
		}
	})
}

func TestReconnect(t *testing.T) {
	t.Parallel()

	t.Run("TellsEverythingOnce", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		var orders []Order
		for range 5 {
			for range 20 {
				orders = append(orders, s.start(s.order("sleep 0.0$(($$ % 9))")))
			}
			s.detach()
			s.attach()
		}
		for _, o := range orders {
			// An order that was not yet sent when the daemon left has not come.
			if !s.live(o) && s.count(o, EventExited) == 0 {
				s.start(o)
			}
			s.exit(o)
		}
		for _, o := range orders {
			if n := s.count(o, EventExited); n != 1 {
				t.Errorf("an attempt ended %d times", n)
			}
		}
	})

	t.Run("KnowsWhatIsRepeated", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		marker := filepath.Join(t.TempDir(), "marker")
		o := s.order("echo once >> " + marker)
		s.start(o)
		s.start(o)
		s.exit(o)
		s.start(o)
		s.exit(s.start(s.order("exit 0")))
		s.exit(s.start(s.order("exit 0"))) // each loop has come so far
		if text, err := os.ReadFile(marker); err != nil || string(text) != "once\n" {
			t.Errorf("the marker says %q, %v", text, err)
		}
		if n := s.count(o, EventExited); n != 1 {
			t.Errorf("it ended %d times", n)
		}
	})

	t.Run("ADaemonThatReadsNothingIsToldLater", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "--loops", "1")
		s.detach()
		conn, err := dial(t.Context(), s.options.Home)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		b := appendFrame(nil, frameHello, appendHello, hello{protocol: protocolVersion})
		// Each of them comes with 4 KiB of stderr: more than any buffer takes.
		var orders []Order
		for range 1500 {
			o := s.order("head -c 5000 /dev/zero >&2; exit 1")
			orders = append(orders, o)
			b = appendFrame(b, frameOrder, appendOrder, &o)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		s.await("all attempts to be over", func() bool {
			text := s.output(orders[len(orders)-1].Attempt, "stderr")
			return len(text) == 5000
		})
		conn.Close()
		s.attach()
		for _, o := range orders {
			if x := s.exit(o); x.Code != 1 || len(x.StderrTail) != tailBytes {
				t.Fatalf("exit is %+v", x)
			}
		}
	})

	t.Run("RemovesWhatIsAcknowledged", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		for range 10 {
			s.exit(s.start(s.order("exit 0")))
		}
		before := s.attached.Info.Epochs
		s.strike()
		s.attach() // with positions that say that everything is applied
		s.exit(s.start(s.order("exit 0")))
		for _, epoch := range before {
			files, err := filepath.Glob(filepath.Join(s.options.Home, "journal", "*"+strconv.FormatUint(epoch, 10)+"-*"))
			if err != nil || len(files) > 0 {
				t.Errorf("epoch %d still has the files %v (%v)", epoch, files, err)
			}
		}
	})
}

func TestDoor(t *testing.T) {
	t.Parallel()

	t.Run("ClosesOnNonsenseAndServesOthers", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		for _, nonsense := range []string{"GET / HTTP/1.1\r\n\r\n", "\xff\xff\xff\xff\x01", "\x00\x00\x00\x00\x01", "\x04\x00\x00\x00\x02abcd"} {
			conn, err := dial(t.Context(), s.options.Home)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(nonsense)); err != nil {
				t.Error(err)
			}
			if n, err := conn.Read(make([]byte, 100)); err == nil {
				t.Errorf("%q: %d bytes were answered", nonsense, n)
			}
			conn.Close()
		}
		if x := s.run(s.order("exit 3")); x.Code != 3 {
			t.Errorf("exit is %+v", x)
		}
	})

	t.Run("LetsADaemonGreetEveryLoopAtOnce", func(t *testing.T) {
		t.Parallel()
		const loops = maxStrangers + 10
		s := setup(t, "--loops", "1")
		s.strike()
		s.options.Command = append(s.options.Command[:2:2], "--loops", strconv.Itoa(loops))
		s.attach()
		var strangers []net.Conn
		for range loops {
			conn, err := dial(t.Context(), s.options.Home)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			strangers = append(strangers, conn)
		}
		for i, conn := range strangers {
			h := appendFrame(nil, frameHello, appendHello, hello{protocol: protocolVersion, loop: uint32(i)})
			if _, err := conn.Write(h); err != nil {
				t.Fatalf("loop %d: %v", i, err)
			}
			if _, err := io.ReadFull(conn, make([]byte, frameHeaderBytes)); err != nil {
				t.Fatalf("loop %d: %v", i, err)
			}
		}
		s.lost() // all of its connections were replaced
	})

	t.Run("NamesItselfToAnotherVersion", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		conn, err := dial(t.Context(), s.options.Home)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(appendFrame(nil, frameHello, appendHello, hello{protocol: protocolVersion + 1})); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4096)
		n, err := conn.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		_, payload, _, ok, err := nextFrame(answer[:n])
		if !ok || err != nil {
			t.Fatalf("the answer is %q (%v)", answer[:n], err)
		}
		if w, err := decodeWelcome(payload); err != nil || w.pid != s.attached.Info.PID || !strings.Contains(w.failure, "protocol") {
			t.Errorf("welcome is %+v, %v", w, err)
		}
	})

	t.Run("RefusesWhatIsInTheWay", func(t *testing.T) {
		t.Parallel()
		home := t.TempDir()
		path := filepath.Join(home, socketName)
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := setup(t)
		o := s.options
		o.Home = home
		if _, _, err := Attach(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not our socket") {
			t.Errorf("the error is %v", err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
			t.Errorf("the file says %q, %v", text, err)
		}
	})

	t.Run("ListensForItsUserAloneOnAnyPath", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		s.strike()
		s.options.Home = filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
		if err := os.MkdirAll(s.options.Home, 0o700); err != nil {
			t.Fatal(err)
		}
		s.options.Positions = map[uint64]uint64{}
		s.attach()
		info, err := os.Stat(filepath.Join(s.options.Home, socketName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket is %v, %v", info, err)
		}
	})
}

func TestEnd(t *testing.T) {
	t.Parallel()

	t.Run("ComesWhenNobodyNeedsIt", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "--idle", "500ms")
		s.exit(s.start(s.order("sleep 0.6"))) // a daemon is there: it stays
		o := s.start(s.script("echo ok > $READY; sleep 0.6"))
		s.ready(o)
		s.detach() // a child is there: it stays
		s.await("the executor to end", s.unheld)
		if left := s.left(o); len(left) > 0 {
			t.Errorf("it has ended, and there are %+v", left)
		}
		s.attach()
		s.exit(o)
	})

	t.Run("ComesNotBeforeEachLoopWasTold", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "--loops", "2")
		if err := push(s.client.links[0], frameShutdown, appendNothing, struct{}{}); err != nil {
			t.Fatal(err)
		}
		// Each round gives the executor the time to end, if it were to.
		for range 20 {
			for range s.attached.Info.Loops {
				s.run(s.order("exit 0"))
			}
		}
		if err := s.client.Shutdown(); err != nil {
			t.Fatal(err)
		}
		s.await("the executor to end", s.unheld)
	})

	t.Run("ComesNotWhenAnotherDaemonNeedsIt", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		o := s.start(s.order("exec sleep 999"))
		s.started(o)
		if err := s.client.Shutdown(); err != nil {
			t.Fatal(err)
		}
		s.detach()
		before := s.attached.Info.PID
		s.attach()
		s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		s.exit(o)
		for range 20 {
			s.run(s.order("exit 0"))
		}
		if after := s.attached.Info.PID; after != before {
			t.Errorf("executor %d has taken the place of %d", after, before)
		}
	})

	t.Run("ComesNotBySignalsWhileThereAreChildren", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		o := s.start(s.order("exec sleep 999"))
		s.started(o)
		for _, signal := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM} {
			if err := unix.Kill(s.attached.Info.PID, signal); err != nil {
				t.Fatal(err)
			}
		}
		s.await("the executor to notice", func() bool { return strings.Contains(s.log(), "signal ignored") })
		s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		if x := s.exit(o); x.Cause != CauseStopped {
			t.Errorf("exit is %+v", x)
		}
		if err := unix.Kill(s.attached.Info.PID, unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.await("the executor to end", s.unheld)
	})

	t.Run("LeavesNoCgroup", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		for range 50 {
			s.start(s.order("sleep 0.01"))
		}
		s.exit(s.start(s.order("sleep 999 & exit 0")))
		home := s.options.Home
		s.strike()
		left, err := filepath.Glob("/sys/fs/cgroup/*/" + cgroupName(home))
		if err != nil || len(left) > 0 {
			t.Errorf("left are %v, %v", left, err)
		}
		s.attach()
	})
}
