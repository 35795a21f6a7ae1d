package executor

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/cgroup"
	"github.com/heroproc/heroproc/jobs/executor/process"
	"github.com/heroproc/heroproc/jobs/logs"
)

// loop starts, watches and ends a share of the attempts: those whose id belongs
// to it. It is one goroutine on one thread, and everything in it is its own:
// nothing is locked and nothing handed over between the moment a process ends
// and the moment the daemon's socket has the news.
type loop struct {
	index    int
	epoch    uint64
	config   *settings
	log      *slog.Logger
	poller   *poller
	timers   timers
	mailbox  *mailbox
	ledger   *ledger
	logs     *logs.Writer
	leaves   *cgroup.Pool // nil where there are no cgroups
	orphans  *process.Orphans
	daemon   *daemon // nil while none is attached
	children map[string]*child
	accepted []*child // orders to be carried out, in order
	over     []*child // their exit is noted, and not yet written
	// strangers are orphans that are known to carry no mark at all.
	strangers map[process.Identity]bool
	now       time.Time
	buffer    []byte

	journalTrouble, logTrouble trouble
	dismissed, retired, closed bool
}

// idleLeaves is how many cgroups a loop keeps for the next attempts: as many as
// are usually started at once. Each costs two open descriptors.
const idleLeaves = 16

func openLoop(index int, config *settings) (l *loop, err error) {
	l = &loop{
		index:     index,
		config:    config,
		log:       config.Logger.With("loop", index),
		children:  make(map[string]*child),
		strangers: make(map[process.Identity]bool),
		buffer:    make([]byte, readBytes),
		now:       time.Now(),
	}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.poller, err = newPoller(); err != nil {
		return l, err
	}
	if l.mailbox, err = newMailbox(); err != nil {
		return l, err
	}
	if _, err = l.poller.add(l.mailbox.fd, unix.EPOLLIN, source{role: roleMailbox}); err != nil {
		return l, err
	}
	if l.orphans, err = process.OpenOrphans(); err != nil {
		return l, err
	}
	w, err := config.past.store.NewEpoch()
	if err != nil {
		return l, err
	}
	l.epoch = w.Epoch()
	l.ledger = newLedger(w, config.bootID, l.tell)
	if l.logs, err = logs.NewWriter(config.Logs, l.epoch); err != nil {
		return l, err
	}
	if config.cgroups != nil {
		l.leaves = config.cgroups.Pool(fmt.Sprint(l.epoch), idleLeaves)
	}
	return l, nil
}

// close lets go of everything but the children.
func (l *loop) close() {
	if l.daemon != nil {
		l.detach("the executor ends")
	}
	for _, c := range l.children {
		l.closeStreams(c)
		if c.output != nil {
			c.output.Close(time.Now())
		}
	}
	if l.logs != nil {
		l.logTrouble.note(l.log, "write logs", l.logs.Close())
	}
	if l.ledger != nil {
		_ = l.flushLedger() // told by itself
		_ = l.ledger.journal.Close()
	}
	if l.leaves != nil {
		l.leaves.Close()
	}
	if l.orphans != nil {
		_ = l.orphans.Close()
	}
	if l.mailbox != nil {
		l.mailbox.close()
	}
	if l.poller != nil {
		_ = l.poller.close()
	}
}

// onOwnThread calls run on a thread that does nothing else, and is not the main
// thread: that one is where orphans come to, and a loop's own children must not
// be among them.
func onOwnThread(run func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// While this goroutine waits, the main thread is taken.
		done := make(chan struct{})
		go func() {
			defer close(done)
			onOwnThread(run)
		}()
		<-done
		return
	}
	run()
}

// run is the loop. It returns when the loop has been told to close, or when the
// kernel does not let it wait any more.
func (l *loop) run() error {
	// Children inherit the signal mask of the thread that starts them.
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
		return fmt.Errorf("cannot clear the signal mask: %w", err)
	}
	for !l.closed {
		if err := l.turn(); err != nil {
			return err
		}
	}
	return nil
}

// turn waits for something to happen and acts on it: what has ended is told
// before anything new is begun.
func (l *loop) turn() error {
	n, err := l.poller.wait(l.patience())
	if err != nil {
		return err
	}
	l.now = time.Now()
	called, spoken := false, false
	for i := range n {
		s, _, ok := l.poller.ready(i)
		if !ok {
			continue
		}
		switch s.role {
		case roleMain:
			l.mainEnded(s.child)
		case roleStdout, roleStderr:
			l.streamReady(s.child, int(s.role-roleStdout))
		case roleMailbox:
			called = true
		case roleDaemon:
			spoken = true
		}
	}
	for t := l.timers.due(l.now); t != nil; t = l.timers.due(l.now) {
		t.fire(l, t.child)
	}
	l.flush()
	if spoken && l.daemon != nil {
		l.hear(false)
	}
	if called {
		for _, call := range l.mailbox.take() {
			call(l)
		}
	}
	l.startAccepted()
	l.flush()
	return nil
}

// patience is how long the loop may sleep: for ever when nothing is due.
func (l *loop) patience() time.Duration {
	if len(l.accepted) > 0 {
		return 0
	}
	wait := l.timers.wait(time.Now())
	if l.ledger.waiting() && (wait < 0 || wait > retryPause) {
		return retryPause
	}
	return wait
}

// flush hands on what was gathered: output to the log files first, so that
// whoever hears of an exit finds all of it, then events to the journal, and
// only what is there to the daemon.
func (l *loop) flush() {
	l.logTrouble.note(l.log, "write logs", l.logs.Flush())
	_ = l.flushLedger() // told by itself, and tried again
	if l.daemon != nil {
		l.pump()
	}
}

// flushLedger writes what was noted, and lets go of the attempts whose exit is
// among it.
func (l *loop) flushLedger() error {
	err := l.ledger.flush()
	l.journalTrouble.note(l.log, "write the journal", err)
	if err != nil {
		return err
	}
	for _, c := range l.over {
		l.release(c)
	}
	clear(l.over)
	l.over = l.over[:0]
	return nil
}

// hold takes an attempt into the loop's hands.
func (l *loop) hold(c *child) {
	l.children[c.order.Token] = c
	l.config.census.children(+1)
}

// release lets go of an attempt whose exit is written. Not before: a daemon that
// came meanwhile would find it neither alive nor ended, and the executor might
// end without having told of it.
func (l *loop) release(c *child) {
	delete(l.children, c.order.Token)
	l.config.census.children(-1)
}

// retire makes the loop ready to end, if it has no children: it lets its daemon
// go and takes no other. It answers false if it has.
func (l *loop) retire() bool {
	if len(l.children) > 0 {
		return false
	}
	if l.daemon != nil {
		l.detach("the executor ends")
	}
	l.retired = true
	return true
}

// mailbox is the one way for others to reach a loop: what they want done is
// called by the loop itself.
type mailbox struct {
	fd    int // an eventfd
	mu    sync.Mutex
	calls []func(*loop)
}

func newMailbox() (*mailbox, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot create an eventfd: %w", err)
	}
	return &mailbox{fd: fd}, nil
}

func (b *mailbox) close() { unix.Close(b.fd) }

func (b *mailbox) put(call func(*loop)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, call)
	// It fails only when 2^64-1 calls wait; then the loop has been woken already.
	_, _ = unix.Write(b.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (b *mailbox) take() []func(*loop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var count [8]byte
	_, _ = unix.Read(b.fd, count[:]) // only resets it
	calls := b.calls
	b.calls = nil
	return calls
}

// trouble logs a condition when it begins and when it ends, not each time it is
// met.
type trouble struct {
	on bool
}

func (t *trouble) note(log *slog.Logger, what string, err error) {
	switch {
	case err != nil && !t.on:
		log.Error("cannot "+what, "err", err)
	case err == nil && t.on:
		log.Info("can " + what + " again")
	}
	t.on = err != nil
}
