package executor

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/journal"
	"github.com/heroproc/heroproc/jobs/logs"
)

func TestPoller(t *testing.T) {
	t.Parallel()
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	// pipe makes a pipe with a byte in it, and watches it.
	pipe := func(c *child) (r, w int, h handle) {
		t.Helper()
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(ends[1], []byte{1}); err != nil {
			t.Fatal(err)
		}
		h, err := p.add(ends[0], unix.EPOLLIN, source{role: roleStdout, child: c})
		if err != nil {
			t.Fatal(err)
		}
		return ends[0], ends[1], h
	}
	first, second := &child{}, &child{}

	r, w, h := pipe(first)
	if n, err := p.wait(-1); n != 1 || err != nil {
		t.Fatalf("%d events, %v", n, err)
	}
	if s, events, ok := p.ready(0); !ok || s.child != first || s.role != roleStdout || events&unix.EPOLLIN == 0 {
		t.Errorf("the event is %+v %x, %v", s, events, ok)
	}

	// The event was fetched; then its owner goes and another takes the slot.
	p.remove(r, h)
	closeAll([]int{r, w})
	if _, _, ok := p.ready(0); ok {
		t.Error("an event of a removed watch is ready")
	}
	r, w, h = pipe(second)
	if _, _, ok := p.ready(0); ok {
		t.Error("an event of a removed watch is ready for the next owner of its slot")
	}
	if n, err := p.wait(-1); n != 1 || err != nil {
		t.Fatalf("%d events, %v", n, err)
	}
	if s, _, ok := p.ready(0); !ok || s.child != second {
		t.Errorf("the event is %+v, %v", s, ok)
	}
	if err := p.change(r, h, 0); err != nil {
		t.Error(err)
	}
	if n, err := p.wait(0); n != 0 || err != nil {
		t.Errorf("%d events that nobody asked for, %v", n, err)
	}
	p.remove(r, h)
	p.remove(r, 0) // none
	closeAll([]int{r, w})
	if len(p.slots) != 1 {
		t.Errorf("%d slots were used where one would do", len(p.slots))
	}
	if _, err := p.add(r, unix.EPOLLIN, source{}); err == nil {
		t.Error("a closed descriptor is watched")
	}
}

func TestTimers(t *testing.T) {
	t.Parallel()
	var ts timers
	begin := time.Now()
	if ts.wait(begin) >= 0 || ts.due(begin) != nil {
		t.Error("without timers something is due")
	}
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]timer, 200)
	armed := map[*timer]time.Time{}
	for range 2000 {
		timer := &all[random.IntN(len(all))]
		if random.IntN(3) == 0 {
			ts.disarm(timer)
			delete(armed, timer)
			continue
		}
		at := begin.Add(time.Duration(random.IntN(1000)) * time.Millisecond)
		ts.arm(timer, at)
		armed[timer] = at
	}
	if len(ts) != len(armed) {
		t.Fatalf("%d are armed, not %d", len(ts), len(armed))
	}
	now := begin
	for len(armed) > 0 {
		now = now.Add(ts.wait(now))
		next := ts.due(now)
		if next == nil {
			t.Fatal("nothing is due when the wait is over")
		}
		if at, ok := armed[next]; !ok || at.After(now) || next.place != 0 {
			t.Fatalf("one is due at %v that was armed for %v, %v", now, at, ok)
		}
		for _, at := range armed {
			if at.Before(next.at) {
				t.Fatal("an earlier one is not due")
			}
		}
		delete(armed, next)
	}
}

// openLedger opens a ledger that remembers what it sent.
func openLedger(t *testing.T) (l *ledger, sent *[]uint64) {
	t.Helper()
	store, err := journal.Open(filepath.Join(t.TempDir(), "journal"), journal.Options{SegmentBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	w, err := store.NewEpoch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	sent = new([]uint64)
	return newLedger(w, "boot", func(number uint64, _ []byte) { *sent = append(*sent, number) }), sent
}

func TestLedger(t *testing.T) {
	t.Parallel()
	now := time.Now()

	t.Run("SendsOnlyWhatIsWrittenAndPublic", func(t *testing.T) {
		t.Parallel()
		l, sent := openLedger(t)
		l.intent(&Order{Attempt: 1, Token: "a"}, now)
		l.event(&Event{Kind: EventStarted, Attempt: 1, Token: "a", Started: &Started{PID: 1}}, false)
		want := l.next()
		l.exited(&Event{Kind: EventExited, Attempt: 1, Token: "a", Exit: &Exit{Cause: CauseExited}})
		if len(*sent) > 0 || !l.waiting() {
			t.Error("something was sent before it was written")
		}
		if err := l.flush(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(*sent, []uint64{want}) || l.waiting() {
			t.Errorf("sent were %v, want %d", *sent, want)
		}
		var public []uint64
		if err := l.journal.Read(0, func(number uint64, payload []byte) error {
			if isPublic(payload) {
				public = append(public, number)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		// The start that was not sent is known to whoever reads the journal.
		if !slices.Equal(public, []uint64{want - 1, want}) {
			t.Errorf("public are %v", public)
		}
	})

	t.Run("ForgetsTokensWhenTheirExitIsAcknowledged", func(t *testing.T) {
		t.Parallel()
		l, sent := openLedger(t)
		for _, token := range []string{"a", "b"} {
			l.exited(&Event{Kind: EventExited, Token: token, Exit: &Exit{Cause: CauseExited}})
		}
		if err := l.flush(); err != nil {
			t.Fatal(err)
		}
		l.acknowledged((*sent)[0])
		if l.ended["a"] || !l.ended["b"] {
			t.Errorf("known are %v", l.ended)
		}
		l.acknowledged(1 << 60) // more than there is
		if len(l.ended) > 0 || len(l.endedOrder) > 0 {
			t.Errorf("known are %v", l.ended)
		}
	})

	t.Run("TellsWhenTheJournalMayShrink", func(t *testing.T) {
		t.Parallel()
		l, _ := openLedger(t)
		for range ackEvery {
			l.event(&Event{Kind: EventStuck}, true)
		}
		if err := l.flush(); err != nil {
			t.Fatal(err)
		}
		if l.acknowledged(ackEvery - 1) {
			t.Error("it may shrink too early")
		}
		if !l.acknowledged(ackEvery) {
			t.Error("it may never shrink")
		}
		l.drop(ackEvery)
		if l.acknowledged(ackEvery) {
			t.Error("it may shrink again at once")
		}
	})
}

// TestAnOrderOutlivesWhoSentIt lets a daemon go that has left an order in the
// socket, before the loop has told it anything.
func TestAnOrderOutlivesWhoSentIt(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	e, err := open(Config{
		Home: home, Loops: 1, NoCgroups: true, Logger: slog.New(slog.DiscardHandler),
		Logs: logs.Options{Dir: filepath.Join(home, "logs")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	l := e.loops[0]
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.settings.census.daemons(+1)
	l.attach(visitor{fd: ends[0]})
	o := Order{Attempt: 1, Token: "left behind"}
	_, err = unix.Write(ends[1], appendFrame(nil, frameOrder, appendOrder, &o))
	unix.Close(ends[1])
	if err != nil {
		t.Fatal(err)
	}
	l.flush()
	if l.daemon != nil {
		t.Error("nobody has noticed that the daemon is gone")
	}
	if l.children[o.Token] == nil {
		t.Error("its order was dropped")
	}
}

// TestALivingAttemptOutlivesItsRecords acknowledges so much that the journal
// deletes what it had of an attempt that still runs, and then kills the
// executor.
func TestALivingAttemptOutlivesItsRecords(t *testing.T) {
	t.Parallel()
	s := setup(t, "--loops", "1")
	o := s.script(`trap 'exit 5' TERM; exec 2>/dev/null; echo ok > $READY; while :; do sleep 0.01; done`)
	s.start(o)
	s.ready(o)
	s.started(o)
	epoch := s.attached.Info.Epochs[0]
	segments := func() []string {
		files, err := filepath.Glob(filepath.Join(s.options.Home, "journal", "*.journal"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	first := segments()[0]
	// Orders that cannot be carried out fill the journal fastest.
	long := string(make([]byte, 2000))
	var last Order
	for range 5000 {
		last = s.command("/no/such/program")
		last.Dir = "/no/such/directory" + long
		s.start(last)
	}
	e := s.event(last, EventExited)
	if err := s.client.Ack(epoch, e.Number); err != nil {
		t.Fatal(err)
	}
	s.await("the first segment to be deleted", func() bool {
		_, err := os.Stat(first)
		return os.IsNotExist(err)
	})
	s.crash()
	s.attach()
	if !s.live(o) {
		t.Fatal("the attempt is forgotten")
	}
	s.stop(o, "stop", StopSequence{Signal: unix.SIGTERM, Grace: patience})
	if x := s.exit(o); x.Cause != CauseStopped || x.Code != 5 {
		t.Errorf("exit is %+v", x)
	}
}

func TestFailure06_DiskFull(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.strike()
	home := t.TempDir()
	if err := unix.Mount("tmpfs", home, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Skip("cannot mount a small disk: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(home, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s.options.Home, s.options.Positions = home, map[uint64]uint64{}
	s.attach()
	t.Cleanup(s.strike) // before the disk goes

	lives := s.start(s.script(`trap 'i=0; while [ $i -lt 20000 ]; do echo a line of output; i=$((i+1)); done; exit 5' TERM; echo ok > $READY; while :; do sleep 0.01; done`))
	s.ready(lives)
	s.started(lives)
	filler := filepath.Join(home, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	f.Close()

	// Neither is a process started that nobody would find again, nor does one
	// that runs have to wait for the disk.
	var orders []Order
	for range 100 {
		orders = append(orders, s.start(s.order("exit 0")))
	}
	s.stop(lives, "stop", StopSequence{Signal: unix.SIGTERM, Grace: patience})
	s.await("the process to end", func() bool { return len(s.left(lives)) == 0 })
	s.await("the executor to notice", func() bool { return strings.Contains(s.log(), "cannot write the journal") })
	// An exit that cannot be written is told by nobody yet; it must not look as if
	// it never would be.
	s.detach()
	s.attach()
	if !s.live(lives) {
		t.Error("an attempt whose exit is not written was not told of as alive")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, o := range orders {
		switch x := s.exit(o); {
		case x.Cause == CauseCannotStart && x.Errno == unix.ENOSPC && strings.Contains(x.Message, "intent"):
			refused++
		case x.Cause == CauseExited && x.Code == 0:
		default:
			t.Errorf("an order ended with %+v", x)
		}
	}
	if refused == 0 {
		t.Error("no order was refused")
	}
	if x := s.exit(lives); x.Cause != CauseStopped || x.Code != 5 {
		t.Errorf("exit is %+v", x)
	}
	if x := s.run(s.order("exit 0")); x.Cause != CauseExited {
		t.Errorf("afterwards: %+v", x)
	}
}
