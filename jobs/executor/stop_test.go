package executor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/process"
)

// left lists the processes of an attempt that live.
func (s *stage) left(o Order) []process.Stat {
	s.t.Helper()
	found, err := process.ByToken(map[string]bool{o.Token: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return found[o.Token]
}

// ready waits until the script of an order has made a file, and answers what it
// wrote there. Scripts get its path as $READY.
func (s *stage) ready(o Order) string {
	s.t.Helper()
	var text []byte
	s.await(fmt.Sprintf("the script %q to be ready", o.Command), func() bool {
		var err error
		text, err = os.ReadFile(s.readyPath(o))
		return err == nil && strings.HasSuffix(string(text), "\n")
	})
	return strings.TrimSpace(string(text))
}

func (s *stage) readyPath(o Order) string {
	return filepath.Join(s.options.Home, fmt.Sprintf("ready-%d", o.Attempt))
}

// script is order with $READY in the environment.
func (s *stage) script(script string) Order {
	o := s.order(script)
	o.Env = append(o.Env, "READY="+s.readyPath(o))
	return o
}

func TestStop(t *testing.T) {
	t.Parallel()

	t.Run("SignalsTheWholeGroup", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		o := s.start(s.script(`sleep 999 & trap "wait; exit 7" TERM; echo ok > $READY; while :; do sleep 0.01; done`))
		s.ready(o)
		s.stop(o, "enough", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		x := s.exit(o)
		if x.Cause != CauseStopped || x.StopReason != "enough" {
			t.Errorf("exit is %+v", x)
		}
	})

	t.Run("LetsTheRestOfTheGroupTakeItsGrace", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		// The shell dies of the signal at once; its child needs a moment to be
		// done with its work.
		o := s.start(s.script(`sh -c 'trap "sleep 0.2; echo done; exit" TERM; echo ok > $READY; while :; do sleep 0.01; done' & wait`))
		s.ready(o)
		s.stop(o, "", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		x := s.exit(o)
		if x.Cause != CauseStopped || x.Signal != unix.SIGTERM {
			t.Errorf("exit is %+v", x)
		}
		if got := s.output(o.Attempt, "stdout"); got != "done\n" {
			t.Errorf("the child was not given its time, it printed %q", got)
		}
	})

	t.Run("ALaterStopMayBeLessPatient", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		o := s.start(s.script(`trap '' TERM; echo ok > $READY; while :; do sleep 0.01; done`))
		s.ready(o)
		s.stop(o, "first", StopSequence{Signal: unix.SIGTERM, Grace: time.Hour})
		s.stop(o, "second", StopSequence{Signal: unix.SIGTERM, Grace: time.Millisecond})
		if x := s.exit(o); x.Signal != unix.SIGKILL || x.StopReason != "first" {
			t.Errorf("exit is %+v", x)
		}
	})

	t.Run("IgnoresAttemptsItDoesNotKnow", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		ended, never := s.start(s.order("exit 0")), s.order("exit 0")
		s.exit(ended)
		s.stop(ended, "", StopSequence{})
		s.stop(never, "", StopSequence{})
		other := s.start(s.order("exec sleep 60"))
		s.started(other)
		wrong := other
		wrong.Attempt += int64(s.attached.Info.Loops) // the same loop, another attempt
		s.stop(wrong, "wrong", StopSequence{Signal: unix.SIGKILL})
		s.stop(other, "right", StopSequence{Signal: unix.SIGKILL})
		if x := s.exit(other); x.StopReason != "right" {
			t.Errorf("exit is %+v", x)
		}
		if s.count(ended, EventExited) != 1 || s.count(never, EventExited) != 0 {
			t.Error("an attempt that is not there has ended")
		}
	})

	t.Run("EndsOnceWhoeverWinsTheRace", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		causes := map[Cause]int{}
		for range 300 {
			o := s.start(s.order("exit 0"))
			s.stop(o, "race", StopSequence{Signal: unix.SIGTERM, Grace: patience})
			x := s.exit(o)
			causes[x.Cause]++
			switch {
			case x.Cause == CauseStopped && x.StopReason == "race":
			case x.Cause == CauseExited && x.Code == 0 && x.Signal == 0:
			default:
				t.Fatalf("exit is %+v", x)
			}
			if n := s.count(o, EventExited); n != 1 {
				t.Fatalf("it ended %d times", n)
			}
		}
		t.Logf("races won: %v", causes)
	})
}

func TestFailure20_OrphansLeaveNoZombies(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, s *stage) {
		o := s.start(s.script(`i=0; while [ $i -lt 1000 ]; do (/bin/true &); i=$((i+1)); done; echo ok > $READY; exec sleep 999`))
		s.ready(o)
		s.await("a thousand orphans to be reaped", func() bool {
			return len(process.Children(s.attached.Info.PID)) == 1
		})
		if s.count(o, EventExited) != 0 {
			t.Error("the attempt ended with its orphans")
		}
		s.stop(o, "", StopSequence{Signal: unix.SIGTERM, Grace: patience})
		s.exit(o)
	})
}

func TestFailure21_OrphansAndSessions(t *testing.T) {
	t.Parallel()
	scripts := map[string]string{
		"Background":       `sleep 999 & echo ok > $READY; exit 0`,
		"OwnSession":       `setsid sh -c 'sleep 999 & echo ok > $READY; wait' & while [ ! -s $READY ]; do sleep 0.01; done`,
		"DoubleFork":       `(setsid sh -c '(setsid sleep 999 >/dev/null 2>&1 &) ; echo ok > $READY' &); while [ ! -s $READY ]; do sleep 0.01; done`,
		"ForksAllTheTime":  `setsid sh -c 'echo ok > $READY; while :; do (sleep 999 &); sleep 0.001; done' >/dev/null 2>&1 & while [ ! -s $READY ]; do sleep 0.01; done`,
		"ClearedSomeOfIt":  `setsid sh -c 'env -i sleep 999 & echo ok > $READY; wait' & while [ ! -s $READY ]; do sleep 0.01; done`,
		"IgnoresEverySign": `setsid sh -c 'trap "" TERM INT HUP; echo ok > $READY; while :; do sleep 1; done' & while [ ! -s $READY ]; do sleep 0.01; done`,
	}
	eachWay(t, func(t *testing.T, s *stage) {
		for name, script := range scripts {
			o := s.start(s.script(script))
			s.ready(o)
			x := s.exit(o)
			if x.Cause != CauseExited || x.Code != 0 || len(x.Survivors) > 0 {
				t.Errorf("%s: exit is %+v", name, x)
			}
			if left := s.left(o); len(left) > 0 {
				t.Errorf("%s: the attempt is said to be over, and there are %+v", name, left)
			}
		}
		t.Run("WhenStopped", func(t *testing.T) {
			for name, script := range scripts {
				o := s.start(s.script(script + "; exec sleep 999"))
				s.ready(o)
				s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: 50 * time.Millisecond})
				s.exit(o)
				if left := s.left(o); len(left) > 0 {
					t.Errorf("%s: the attempt is said to be over, and there are %+v", name, left)
				}
			}
		})
	})
}

func TestFailure21_LeavesOtherAttemptsAlone(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, s *stage) {
		stays := s.start(s.script(`setsid sleep 999 & echo ok > $READY; wait`))
		s.ready(stays)
		for range 20 {
			s.run(s.order(`setsid sleep 999 >/dev/null 2>&1 & exit 0`))
		}
		if s.count(stays, EventExited) != 0 || len(s.left(stays)) != 2 {
			t.Errorf("of the other attempt live %+v", s.left(stays))
		}
		s.stop(stays, "", StopSequence{Signal: unix.SIGKILL})
		s.exit(stays)
	})
}

func TestFailure24_StopIgnored(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, s *stage) {
		t.Run("KillsWhoIgnoresTheSignal", func(t *testing.T) {
			o := s.start(s.script(`trap '' TERM; echo ok > $READY; while :; do sleep 0.01; done`))
			s.ready(o)
			s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: 50 * time.Millisecond})
			if x := s.exit(o); x.Cause != CauseStopped || x.Signal != unix.SIGKILL {
				t.Errorf("exit is %+v", x)
			}
		})

		t.Run("ContinuesWhoIsStopped", func(t *testing.T) {
			o := s.start(s.script(`trap 'exit 7' TERM; echo $$ > $READY; while :; do sleep 0.01; done`))
			pid, err := strconv.Atoi(s.ready(o))
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			s.await("the process to be stopped", func() bool {
				stat, err := process.ReadStat(pid)
				return err == nil && stat.State == 'T'
			})
			s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: patience})
			if x := s.exit(o); x.Cause != CauseStopped || x.Code != 7 {
				t.Errorf("exit is %+v", x)
			}
		})
	})
}

// frozen puts a process into a cgroup (version 1) where not even SIGKILL is
// obeyed, and thaws it when asked to.
func frozen(t *testing.T, pid int) (thaw func()) {
	t.Helper()
	dir, err := os.MkdirTemp("/sys/fs/cgroup/freezer", "heroproc-test-")
	if err != nil {
		t.Skip("no freezer cgroup to make a process unkillable with: ", err)
	}
	write := func(file, text string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil {
			t.Error(err)
		}
	}
	write("cgroup.procs", strconv.Itoa(pid))
	write("freezer.state", "FROZEN")
	thawed := false
	thaw = func() {
		if !thawed {
			thawed = true
			write("freezer.state", "THAWED")
		}
	}
	t.Cleanup(func() {
		thaw()
		deadline := time.Now().Add(patience)
		for err := os.Remove(dir); err != nil; err = os.Remove(dir) {
			if time.Now().After(deadline) {
				t.Error(err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	return thaw
}

func TestFailure24_Unkillable(t *testing.T) {
	t.Parallel()

	t.Run("TheMainProcessIsWaitedFor", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "--stuck", "50ms")
		o := s.start(s.script(`echo $$ > $READY; exec sleep 999`))
		pid, err := strconv.Atoi(s.ready(o))
		if err != nil {
			t.Fatal(err)
		}
		thaw := frozen(t, pid)
		s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: time.Millisecond})
		e := s.event(o, EventStuck)
		if len(e.Survivors) != 1 || e.Survivors[0].PID != pid || e.Survivors[0].State != "D" {
			t.Errorf("survivors are %+v", e.Survivors)
		}
		if s.count(o, EventExited) != 0 {
			t.Error("it is said to be over")
		}
		thaw()
		if x := s.exit(o); x.Cause != CauseStopped || (x.Signal != unix.SIGKILL && x.Signal != unix.SIGTERM) {
			t.Errorf("exit is %+v", x)
		}
		if n := s.count(o, EventStuck); n != 1 {
			t.Errorf("it was said to be stuck %d times", n)
		}
	})

	t.Run("WhatAStuckProcessLeavesIsEnded", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "--stuck", "50ms", "--no-cgroups")
		o := s.start(s.script(`setsid sleep 999 >/dev/null 2>&1 & echo $$ > $READY; exec sleep 999`))
		pid, err := strconv.Atoi(s.ready(o))
		if err != nil {
			t.Fatal(err)
		}
		thaw := frozen(t, pid)
		s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: time.Millisecond})
		s.event(o, EventStuck)
		thaw()
		s.exit(o)
		s.await("what it left to end", func() bool { return len(s.left(o)) == 0 })
	})

	t.Run("WhatIsLeftIsNamed", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "--stuck", "50ms", "--no-cgroups")
		o := s.script(`setsid sleep 999 & echo $! > $READY; read x < $READY.fifo; exit 3`)
		o.Drain = time.Millisecond
		fifo := s.readyPath(o) + ".fifo"
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		s.start(o)
		pid, err := strconv.Atoi(s.ready(o))
		if err != nil {
			t.Fatal(err)
		}
		thaw := frozen(t, pid)
		if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
			t.Fatal(err)
		}
		x := s.exit(o)
		if x.Cause != CauseExited || x.Code != 3 || len(x.Survivors) != 1 || x.Survivors[0].PID != pid {
			t.Errorf("exit is %+v", x)
		}
		thaw()
		s.await("the survivor to end", func() bool { return len(s.left(o)) == 0 })
	})
}

func TestFailure25_GrandchildHoldsOutput(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, s *stage) {
		for name, script := range map[string]string{
			"InTheGroup":   "sleep 999 & echo hi",
			"InItsSession": "setsid sleep 999 & echo hi",
		} {
			o := s.order(script)
			o.Drain = time.Hour
			if x := s.run(o); x.Cause != CauseExited || x.Code != 0 {
				t.Errorf("%s: exit is %+v", name, x)
			}
			if got := s.output(o.Attempt, "stdout"); got != "hi\n" {
				t.Errorf("%s: stdout is %q", name, got)
			}
		}
	})

	t.Run("AStrangerIsReadForAsLongAsTheOrderSays", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "--no-cgroups")
		o := s.script(`env -i setsid sh -c 'echo $$ > "$0"; sleep 0.1; echo late; exec sleep 999' $READY &
			while [ ! -s $READY ]; do sleep 0.01; done; echo hi`)
		o.Drain = 500 * time.Millisecond
		s.start(o)
		pid, err := strconv.Atoi(s.ready(o))
		if err != nil {
			t.Fatal(err)
		}
		stranger, err := process.ReadStat(pid)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = process.Identity{PID: pid, StartTicks: stranger.StartTicks}.Kill() }()
		if x := s.exit(o); x.Code != 0 {
			t.Errorf("exit is %+v", x)
		}
		if got := s.output(o.Attempt, "stdout"); got != "hi\nlate\n" {
			t.Errorf("stdout is %q", got)
		}
	})
}

func TestFailure30_TimeoutWithoutDaemon(t *testing.T) {
	t.Parallel()
	s := setup(t)
	o := s.script(`trap '' TERM; echo ok > $READY; while :; do sleep 0.01; done`)
	o.Timeout = 300 * time.Millisecond
	o.Stop = StopSequence{Signal: unix.SIGTERM, Grace: 50 * time.Millisecond}
	s.start(o)
	s.ready(o)
	s.detach()
	s.await("the attempt to end", func() bool { return len(s.left(o)) == 0 })
	s.attach()
	if x := s.exit(o); x.Cause != CauseTimeout || x.Signal != unix.SIGKILL {
		t.Errorf("exit is %+v", x)
	}
}
