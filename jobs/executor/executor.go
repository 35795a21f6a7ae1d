package executor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/cgroup"
	"github.com/heroproc/heroproc/jobs/executor/journal"
	"github.com/heroproc/heroproc/jobs/executor/process"
	"github.com/heroproc/heroproc/jobs/logs"
)

// Config is what an executor is told when it is started. Only Home must be set.
type Config struct {
	// Home is the directory with executor.sock, executor.lock, journal and logs.
	// It is made, for its owner alone, when it does not exist.
	Home string
	// AfterEpoch is the highest epoch the daemon has heard of; those of this
	// executor are greater, even if the journal was lost.
	AfterEpoch uint64
	// Version is told to whoever attaches.
	Version string
	// Loops is how many event loops there are; default one for each core.
	Loops int
	// ReadyFD is written to and closed when the executor listens; -1 for none.
	ReadyFD int
	// IdleTimeout is how long an executor without children and without a daemon
	// stays; default DefaultIdleTimeout.
	IdleTimeout time.Duration
	// YoungFor is how old a process must be before its start is told by itself;
	// default DefaultYoungFor. One that ends earlier is told of once, together
	// with its exit.
	YoungFor time.Duration
	// StuckAfter is how long after SIGKILL a process is named as a survivor;
	// default DefaultStuckAfter.
	StuckAfter time.Duration
	// NoCgroups makes the executor do without cgroups where they are available.
	NoCgroups bool
	// Logs are the knobs of the log writers; Dir and Janitor are the executor's to
	// set.
	Logs logs.Options
	// LogBudget limits the bytes of all log files together; default
	// logs.DefaultTotalBudget.
	LogBudget int64
	// Logger is told what happens; default slog.Default.
	Logger *slog.Logger
}

const (
	// DefaultIdleTimeout is long enough for a daemon to restart or be upgraded.
	DefaultIdleTimeout = time.Minute
	// DefaultYoungFor is what most short commands need from start to end, as
	// measured; so that they cost one message, and no watch for their pipes.
	DefaultYoungFor = 2 * time.Millisecond
	// DefaultStuckAfter is a thousand times what the kernel needs to end a process
	// that can be ended.
	DefaultStuckAfter = 10 * time.Second
)

// settings are what all loops of an executor share. They do not change once the
// loops run, but for the census and the first loop's past.
type settings struct {
	Config
	pid         int
	bootID      string
	startedAt   time.Time
	null        *os.File // the children's standard input
	cgroups     *cgroup.Root
	endedBefore map[string]bool // tokens whose exit is in former executors' journals
	past        *past
	census      *census
}

// ErrHeld says that another executor holds the home.
var ErrHeld = errors.New("another executor holds it")

// Run is the executor: it takes the home's lock, takes over what former
// executors left, listens, and returns when it is not needed any more, or when
// ctx ends. Its children live on in either case.
//
// It makes the whole process its own (signals, umask, descriptors, the number
// of threads), so it is called once, by a process that does nothing else.
func Run(ctx context.Context, c Config) error {
	if err := prepare(&c); err != nil {
		return fmt.Errorf("cannot run the executor: %w", err)
	}
	signals := make(chan os.Signal, 1)
	// HUP and INT are caught and not ignored: what is ignored stays so in
	// children, what is caught is reset by their exec.
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	defer signal.Stop(signals)

	lock, err := takeLock(c.Home)
	if err != nil {
		return fmt.Errorf("cannot run the executor: %w", err)
	}
	defer lock.Close()
	e, err := open(c)
	if err != nil {
		return fmt.Errorf("cannot run the executor: %w", err)
	}
	defer e.close()
	if err := e.run(ctx, signals); err != nil {
		return fmt.Errorf("executor failed: %w", err)
	}
	return nil
}

// prepare fills in the defaults, and gives the process the state that every
// child is to begin with.
func prepare(c *Config) error {
	if c.Loops <= 0 {
		c.Loops = runtime.NumCPU()
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	if c.YoungFor <= 0 {
		c.YoungFor = DefaultYoungFor
	}
	if c.StuckAfter <= 0 {
		c.StuckAfter = DefaultStuckAfter
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	// A thread in a fork holds one of Go's processors until the child's exec: with
	// one for each core, the other loops would wait for it.
	runtime.GOMAXPROCS(2 * c.Loops)
	unix.Umask(0o022)
	if err := stopIgnoring(); err != nil {
		return err
	}
	// Whatever whoever started us has left open must not reach the children.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("cannot keep descriptors from children: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the reaper of orphans: %w", err)
	}
	home, err := filepath.Abs(c.Home)
	if err != nil {
		return err
	}
	c.Home = home
	c.Logs.Dir = filepath.Join(home, "logs")
	return os.MkdirAll(home, 0o700)
}

// How long takeLock tries: whoever looks whether the home is held takes the
// lock for some microseconds.
const (
	lockTries = 100
	lockPause = 5 * time.Millisecond
)

// takeLock takes the home's lock for as long as the file is open, and writes
// our pid into it, for people and for daemons that get no answer.
func takeLock(home string) (*os.File, error) {
	path := lockPath(home)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock: %w", err)
	}
	for tries := 1; ; tries++ {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if err != unix.EWOULDBLOCK || tries == lockTries {
			break
		}
		time.Sleep(lockPause)
	}
	if err == unix.EWOULDBLOCK {
		err = ErrHeld
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot take the lock %s: %w", path, err)
	}
	return f, nil
}

// executor is all of it, wired together.
type executor struct {
	settings *settings
	loops    []*loop
	running  sync.WaitGroup
	failed   chan error // what ended a loop before its time
}

func open(c Config) (e *executor, err error) {
	s := &settings{Config: c, pid: os.Getpid(), startedAt: time.Now(), census: newCensus(c.Loops)}
	e = &executor{settings: s, failed: make(chan error, c.Loops)}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if s.bootID, err = process.BootID(); err != nil {
		return e, err
	}
	if s.null, err = os.Open(os.DevNull); err != nil {
		return e, err
	}
	store, err := journal.Open(filepath.Join(c.Home, "journal"), journal.Options{AfterEpoch: c.AfterEpoch})
	if err != nil {
		return e, err
	}
	if !c.NoCgroups {
		s.cgroups, err = cgroup.Open(cgroupName(c.Home))
		if err != nil {
			c.Logger.Info("attempts are held together without cgroups", "err", err)
		}
	}
	h := readHistory(store, s.bootID, c.Logger)
	s.past, s.endedBefore = h.past, h.ended
	if err := os.MkdirAll(c.Logs.Dir, 0o700); err != nil {
		return e, fmt.Errorf("cannot make the log directory: %w", err)
	}
	s.Logs.Janitor = logs.NewJanitor(c.Logs.Dir, c.LogBudget, c.Logger)
	for i := range c.Loops {
		l, err := openLoop(i, s)
		if err != nil {
			return e, err
		}
		e.loops = append(e.loops, l)
	}
	if err := h.adoptAll(e.loops, c.Logger); err != nil {
		return e, err
	}
	cleanCgroups(s, e.loops)
	return e, nil
}

// close lets go of everything; no loop runs any more.
func (e *executor) close() {
	for _, l := range e.loops {
		l.close()
	}
	e.settings.Logs.Janitor.Close()
	if e.settings.cgroups != nil && e.settings.census.childless() {
		if err := e.settings.cgroups.Close(); err != nil {
			e.settings.Logger.Warn("cannot remove cgroup", "err", err)
		}
	}
	if e.settings.null != nil {
		e.settings.null.Close()
	}
}

// run lets the loops run until the executor is not needed any more.
func (e *executor) run(ctx context.Context, signals <-chan os.Signal) error {
	log := e.settings.Logger
	orphans, err := process.OpenOrphans()
	if err != nil {
		return err
	}
	defer func() { _ = orphans.Close() }() // it was only read
	d, err := listen(e.settings, e.loops)
	if err != nil {
		return err
	}

	reaping, stopReaping := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stopReaping()
	beside.Go(func() { reapOrphans(reaping, orphans, log) })

	for _, l := range e.loops {
		e.running.Go(func() {
			onOwnThread(func() {
				if err := l.run(); err != nil {
					e.failed <- err
				}
			})
		})
	}
	defer e.stopLoops()
	beside.Go(d.serve)
	defer d.close()
	if err := tellReady(e.settings.ReadyFD); err != nil {
		return err
	}
	log.Info("executor listens", "pid", e.settings.pid, "home", e.settings.Home, "version", e.settings.Version,
		"loops", len(e.loops), "cgroups", e.settings.cgroups != nil)
	err = e.await(ctx, signals)
	log.Info("executor ends", "pid", e.settings.pid)
	return err
}

// await returns when nobody needs the executor any more.
func (e *executor) await(ctx context.Context, signals <-chan os.Signal) error {
	census, log := e.settings.census, e.settings.Logger
	idle := time.NewTimer(e.settings.IdleTimeout)
	defer idle.Stop()
	for {
		if census.dismissed() && census.childless() && e.retire() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-e.failed:
			return err
		case <-census.changed:
			idle.Reset(e.settings.IdleTimeout)
		case <-idle.C:
			if census.idle() && e.retire() {
				return nil
			}
		case s := <-signals:
			if s == unix.SIGTERM && census.childless() && e.retire() {
				return nil
			}
			log.Warn("signal ignored: the children would lose their parent", "signal", s.String())
		}
	}
}

// retire asks every loop to end, and answers whether all do. If one has got a
// child just now, the others go on.
func (e *executor) retire() bool {
	answers := make(chan bool, len(e.loops))
	for _, l := range e.loops {
		l.mailbox.put(func(l *loop) { answers <- l.retire() })
	}
	all := true
	for range e.loops {
		all = <-answers && all
	}
	if !all {
		for _, l := range e.loops {
			l.mailbox.put(func(l *loop) { l.retired = false })
		}
	}
	return all
}

func (e *executor) stopLoops() {
	for _, l := range e.loops {
		l.mailbox.put(func(l *loop) { l.closed = true })
	}
	e.running.Wait()
}

// tellReady tells whoever started us that we listen.
func tellReady(fd int) error {
	if fd < 0 {
		return nil
	}
	f := os.NewFile(uintptr(fd), "readiness pipe")
	if f == nil {
		return fmt.Errorf("cannot say that we listen: descriptor %d is not open", fd)
	}
	_, err := f.Write([]byte{1})
	// Whoever does not wait for us any more needs no answer.
	if err = errors.Join(err, f.Close()); err != nil && !errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("cannot say that we listen: %w", err)
	}
	return nil
}

// cgroupName names our branch of the cgroup tree after the home, so that the
// next executor of the same home finds it, and that of another does not.
func cgroupName(home string) string {
	sum := sha256.Sum256([]byte(home))
	return fmt.Sprintf("heroproc-%x", sum[:6])
}
