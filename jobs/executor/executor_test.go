package executor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/executor/process"
)

// patience is how long a test waits for what should happen at once, before it
// gives up.
const patience = 30 * time.Second

// stage is an executor of its own for one test, and a daemon that remembers all
// it is told.
type stage struct {
	t       *testing.T
	options ClientOptions
	tokens  map[string]bool // of all orders
	nextID  atomic.Int64

	client   *Client
	attached *Attached
	served   chan error

	mu     sync.Mutex
	events []Event
	news   chan struct{} // closed and replaced when events grow
}

// setup starts an executor in a directory of its own. When the test ends, the
// executor must have ended too, and nothing may be left of any attempt.
func setup(t *testing.T, args ...string) *stage {
	t.Helper()
	s := &stage{
		t: t,
		options: ClientOptions{
			Home:      t.TempDir(),
			Command:   append([]string{"/proc/self/exe", asExecutor}, args...),
			Positions: map[uint64]uint64{},
			Logger:    slog.New(slog.DiscardHandler),
		},
		tokens: map[string]bool{},
		news:   make(chan struct{}),
	}
	s.attach()
	t.Cleanup(s.strike)
	return s
}

// attach makes the daemon come, or come back.
func (s *stage) attach() {
	s.t.Helper()
	// The test's own context has ended when its clean-up attaches again.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, attached, err := Attach(ctx, s.options)
	if err != nil {
		s.t.Fatal(err, s.log())
	}
	s.client, s.attached = client, attached
	s.take(attached.Events)
	s.served = make(chan error, 1)
	go func() { s.served <- client.Serve(context.Background(), s.take) }()
}

// detach makes the daemon go.
func (s *stage) detach() {
	s.t.Helper()
	if err := s.client.Close(); err != nil {
		s.t.Error(err)
	}
	s.lost()
}

// lost waits until the daemon has noticed that its connection has ended.
func (s *stage) lost() {
	s.t.Helper()
	if err := <-s.served; err != nil && !errors.Is(err, ErrDetached) {
		s.t.Errorf("the daemon lost its executor by %v", err)
	}
	if err := s.client.Close(); err != nil {
		s.t.Error(err)
	}
	s.client = nil
}

// take is the daemon's memory: it applies events, and acknowledges none.
func (s *stage) take(events []Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if e.Number <= s.options.Positions[e.Epoch] {
			s.t.Errorf("event (%d, %d) came twice", e.Epoch, e.Number)
		}
		s.options.Positions[e.Epoch] = e.Number
	}
	s.events = append(s.events, events...)
	close(s.news)
	s.news = make(chan struct{})
}

// strike ends the executor and holds it to its promise.
func (s *stage) strike() {
	if s.client == nil || s.client.Shutdown() != nil {
		if s.client != nil {
			s.lost()
		}
		s.attach() // only to end it
		if err := s.client.Shutdown(); err != nil {
			s.t.Error(err)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.lost()
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		s.t.Errorf("executor %d does not end", s.attached.Info.PID)
		_ = unix.Kill(s.attached.Info.PID, unix.SIGKILL)
		<-ended
	}
	s.await("the executor's lock to be free", s.unheld)
	left, err := process.ByToken(s.tokens)
	if err != nil {
		s.t.Error(err)
	}
	for token, processes := range left {
		s.t.Errorf("token %s: left behind: %+v", token, processes)
		for _, p := range processes {
			_ = process.Identity{PID: p.PID, StartTicks: p.StartTicks}.Kill()
		}
	}
	if s.t.Failed() {
		s.t.Log(s.log())
	}
}

// unheld tells whether no executor holds the home.
func (s *stage) unheld() bool {
	_, held, err := lockHolder(s.options.Home)
	return err == nil && !held
}

// await waits for something outside, that nobody tells us of.
func (s *stage) await(what string, done func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for %s\n%s", what, s.log())
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *stage) log() string {
	text, _ := os.ReadFile(filepath.Join(s.options.Home, executorLogName))
	return "executor.log:\n" + string(text)
}

// order makes an order for a shell script.
func (s *stage) order(script string) Order { return s.command("/bin/sh", "-c", script) }

// child makes an order for one of the test's own children.
func (s *stage) child(args ...string) Order {
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.command(append([]string{exe, asChild}, args...)...)
}

func (s *stage) command(command ...string) Order {
	token := "test-" + rand.Text()
	s.tokens[token] = true
	return Order{
		Attempt: s.nextID.Add(1),
		Token:   token,
		Command: command,
		Env:     []string{"PATH=/usr/bin:/bin", process.TokenVariable + "=" + token},
		Dir:     "/",
		Stop:    StopSequence{Signal: unix.SIGTERM, Grace: patience},
		Drain:   patience,
	}
}

func (s *stage) start(o Order) Order {
	s.t.Helper()
	if err := s.client.Start(o); err != nil {
		s.t.Fatal(err)
	}
	return o
}

func (s *stage) stop(o Order, reason string, seq StopSequence) {
	s.t.Helper()
	if err := s.client.Stop(Stop{Attempt: o.Attempt, Token: o.Token, Reason: reason, Stop: seq}); err != nil {
		s.t.Fatal(err)
	}
}

// event waits for an event of an attempt.
func (s *stage) event(o Order, kind EventKind) Event {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		i := slices.IndexFunc(s.events, func(e Event) bool { return e.Token == o.Token && e.Kind == kind })
		news := s.news
		var e Event
		if i >= 0 {
			e = s.events[i]
		}
		s.mu.Unlock()
		if i >= 0 {
			return e
		}
		select {
		case <-news:
		case <-timeout:
			s.t.Fatalf("waited in vain for event %d of %q\n%s", kind, o.Command, s.log())
		}
	}
}

func (s *stage) exit(o Order) *Exit       { s.t.Helper(); return s.event(o, EventExited).Exit }
func (s *stage) started(o Order) *Started { s.t.Helper(); return s.event(o, EventStarted).Started }

func (s *stage) run(o Order) *Exit { s.t.Helper(); return s.exit(s.start(o)) }

// count tells how many events of a kind an attempt has.
func (s *stage) count(o Order, kind EventKind) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.events {
		if e.Token == o.Token && e.Kind == kind {
			n++
		}
	}
	return n
}

// output answers what an attempt printed on one stream, from the log files.
func (s *stage) output(attempt int64, stream string) string {
	s.t.Helper()
	var text strings.Builder
	for _, pattern := range []string{"logs/shared/*.log", fmt.Sprintf("logs/own/*/%d/*.log", attempt)} {
		files, err := filepath.Glob(filepath.Join(s.options.Home, pattern))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				s.t.Fatal(err)
			}
			for line := range strings.Lines(string(content)) {
				fields := strings.SplitN(line, " ", 4)
				if len(fields) < 4 || fields[1] != stream {
					continue
				}
				rest, whole := strings.CutSuffix(fields[3], "\n")
				switch fields[2] {
				case fmt.Sprintf("F:%d", attempt):
					text.WriteString(rest)
					if whole {
						text.WriteString("\n")
					}
				case fmt.Sprintf("P:%d", attempt):
					text.WriteString(rest)
				}
			}
		}
	}
	return text.String()
}
