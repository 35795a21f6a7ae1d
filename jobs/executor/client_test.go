package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeExecutor says what an executor would say, and remembers what it hears. It
// holds the lock and listens until it is closed.
type fakeExecutor struct {
	lock     *os.File
	listener *net.UnixListener
	served   sync.WaitGroup

	// answer is called for each connection, counted from 0, with its hello, and
	// writes what the executor says; nil stands for answerWell.
	answer func(conn net.Conn, n int, h hello)
	// heard are the frames that came after the hellos.
	heard  chan heardFrame
	closed chan struct{}

	welcome welcome
	replay  map[uint32][]Event
	live    map[uint32][]Live

	mu    sync.Mutex
	conns []net.Conn
	loops map[uint32]net.Conn
}

// heardFrame is one frame and the loop it was sent to.
type heardFrame struct {
	loop    uint32
	kind    frameKind
	payload []byte
}

// holdLock takes the executor's lock of a home.
func holdLock(home string, pid int) (*os.File, error) {
	lock, err := os.OpenFile(lockPath(home), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	_, err = fmt.Fprintln(lock, pid)
	return lock, err
}

// listenFake makes a fake executor that accepts connections once serve is
// called.
func listenFake(home string) (*fakeExecutor, error) {
	lock, err := holdLock(home, os.Getpid())
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(home)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	address := &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName)}
	listener, err := net.ListenUnix("unix", address)
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // by then the name leads elsewhere
	return &fakeExecutor{
		lock:     lock,
		listener: listener,
		heard:    make(chan heardFrame, 1000),
		closed:   make(chan struct{}),
		loops:    make(map[uint32]net.Conn),
		welcome: welcome{
			protocol: protocolVersion, pid: os.Getpid(), startedAt: time.Unix(1_800_000_000, 0), version: "v1",
			loops: 1, epoch: 10, bootID: "boot", whole: true,
		},
	}, nil
}

func (f *fakeExecutor) serve() {
	f.served.Go(func() {
		for n := 0; ; n++ {
			conn, err := f.listener.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, conn)
			f.mu.Unlock()
			f.served.Go(func() { f.talk(conn, n) })
		}
	})
}

func (f *fakeExecutor) talk(conn net.Conn, n int) {
	in := inbox{from: conn}
	var greeted *hello
	for {
		kind, payload, ok, err := in.next()
		switch {
		case err != nil:
			return
		case !ok:
			if in.fill() != nil {
				return
			}
		case greeted == nil:
			h, err := decodeHello(payload)
			if err != nil || kind != frameHello {
				return
			}
			greeted = &h
			if f.answer != nil {
				f.answer(conn, n, h)
			} else {
				f.answerWell(conn, h)
			}
		default:
			select {
			case f.heard <- heardFrame{loop: greeted.loop, kind: kind, payload: bytes.Clone(payload)}:
			case <-f.closed:
				return
			}
		}
	}
}

// answerWell is how an executor answers a hello.
func (f *fakeExecutor) answerWell(conn net.Conn, h hello) {
	w := f.welcome
	w.epoch += uint64(h.loop)
	b := appendFrame(nil, frameWelcome, appendWelcome, w)
	for _, e := range f.replay[h.loop] {
		if e.Number > h.positions[e.Epoch] {
			b = appendEventFrame(b, e.Epoch, e.Number, appendEvent(nil, &e))
		}
	}
	for _, l := range f.live[h.loop] {
		b = appendFrame(b, frameLive, appendLive, l)
	}
	f.mu.Lock()
	f.loops[h.loop] = conn
	f.mu.Unlock()
	conn.Write(appendEmptyFrame(b, frameCaughtUp))
}

// send sends bytes to whoever is attached to a loop.
func (f *fakeExecutor) send(loop uint32, b []byte) error {
	f.mu.Lock()
	conn := f.loops[loop]
	f.mu.Unlock()
	_, err := conn.Write(b)
	return err
}

// hangUp closes all connections.
func (f *fakeExecutor) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		conn.Close()
	}
}

func (f *fakeExecutor) close() {
	close(f.closed)
	f.listener.Close()
	f.hangUp()
	f.served.Wait()
	f.lock.Close()
}

// newFake makes a fake executor in a home of its own.
func newFake(t *testing.T) (*fakeExecutor, ClientOptions) {
	t.Helper()
	home := t.TempDir()
	f, err := listenFake(home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f, ClientOptions{Home: home, AnswerTimeout: time.Minute}
}

// attach attaches to the fake executor; the client is closed with the test.
func attach(t *testing.T, o ClientOptions) (*Client, *Attached) {
	t.Helper()
	c, attached, err := Attach(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, attached
}

func fakeEvent(epoch, number uint64) Event {
	return Event{
		Epoch: epoch, Number: number, Kind: EventExited, Attempt: int64(number), Token: "t", At: time.Unix(1, 0),
		Exit: &Exit{Cause: CauseExited},
	}
}

func eventFrame(epoch, number uint64) []byte {
	e := fakeEvent(epoch, number)
	return appendEventFrame(nil, epoch, number, appendEvent(nil, &e))
}

func TestAttach(t *testing.T) {
	t.Parallel()

	t.Run("AnswersWhatTheExecutorKnows", func(t *testing.T) {
		t.Parallel()
		f, o := newFake(t)
		f.welcome.loops = 3
		f.replay = map[uint32][]Event{
			0: {fakeEvent(3, 1), fakeEvent(3, 4), fakeEvent(7, 1), fakeEvent(10, 1), fakeEvent(10, 2)},
			1: {fakeEvent(11, 1)},
			2: {fakeEvent(12, 5), fakeEvent(12, 6)},
		}
		f.live = map[uint32][]Live{
			1: {{Attempt: 1, Token: "one", Started: &Started{PID: 5, At: time.Unix(1, 0)}}},
			2: {{Attempt: 2, Token: "two"}, {Attempt: 5, Token: "five"}},
		}
		f.serve()
		o.Positions = map[uint64]uint64{3: 1, 12: 5}
		_, got := attach(t, o)
		want := &Attached{
			Info: Info{
				PID: os.Getpid(), StartedAt: f.welcome.startedAt, Version: "v1", Protocol: protocolVersion,
				BootID: "boot", Loops: 3, Epochs: []uint64{10, 11, 12},
			},
			Whole: true,
			Events: []Event{
				fakeEvent(3, 4), fakeEvent(7, 1), fakeEvent(10, 1), fakeEvent(10, 2), fakeEvent(11, 1), fakeEvent(12, 6),
			},
			Live: []Live{f.live[1][0], f.live[2][0], f.live[2][1]},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("ReadsALongReplay", func(t *testing.T) {
		t.Parallel()
		f, o := newFake(t)
		var replay []Event
		for n := range uint64(3_000) {
			replay = append(replay, fakeEvent(3, n+1))
		}
		replay[7].Exit.Output = make([]byte, 1<<20)
		f.replay = map[uint32][]Event{0: replay}
		f.serve()
		_, attached := attach(t, o)
		// A difference in so much could not be shown.
		if !reflect.DeepEqual(replay, attached.Events) {
			t.Errorf("%d events were replayed differently as %d", len(replay), len(attached.Events))
		}
	})

	t.Run("SaysWhetherEveryLoopIsWhole", func(t *testing.T) {
		t.Parallel()
		f, o := newFake(t)
		f.welcome.whole = false
		f.serve()
		if _, attached := attach(t, o); attached.Whole {
			t.Error("it says that the journals are whole")
		}
	})

	t.Run("FindsASocketBehindALongPath", func(t *testing.T) {
		t.Parallel()
		home := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
		if err := os.Mkdir(home, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := listenFake(home)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.close)
		f.serve()
		attach(t, ClientOptions{Home: home})
	})

	t.Run("TriesAgainWhileTheSocketLeadsNowhere", func(t *testing.T) {
		t.Parallel()
		f, o := newFake(t)
		f.welcome.loops = 2
		f.answer = func(conn net.Conn, n int, h hello) {
			switch n {
			case 0: // it is about to be gone
				conn.Close()
			case 2: // loop 1: another has taken the place of the one that answered
				w := f.welcome
				w.pid++
				conn.Write(appendEmptyFrame(appendFrame(nil, frameWelcome, appendWelcome, w), frameCaughtUp))
			default:
				f.answerWell(conn, h)
			}
		}
		f.serve()
		if _, attached := attach(t, o); attached.Info.PID != os.Getpid() {
			t.Errorf("attached to %d", attached.Info.PID)
		}
	})

	t.Run("NamesAnExecutorThatDoesNotAnswer", func(t *testing.T) {
		t.Parallel()
		silent := func(net.Conn, int, hello) {}
		for name, prepare := range map[string]func(*fakeExecutor){
			"it does not accept":    func(*fakeExecutor) {},
			"it does not listen":    func(f *fakeExecutor) { f.listener.Close() },
			"it says nothing":       func(f *fakeExecutor) { f.answer = silent; f.serve() },
			"it stops in the midst": func(f *fakeExecutor) { f.answer = f.answerInPart; f.serve() },
			"a loop says nothing": func(f *fakeExecutor) {
				f.welcome.loops = 2
				f.answer = func(conn net.Conn, _ int, h hello) {
					if h.loop == 0 {
						f.answerWell(conn, h)
					}
				}
				f.serve()
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f, o := newFake(t)
				prepare(f)
				o.AnswerTimeout = 20 * time.Millisecond
				o.Command = []string{"/bin/false"} // a second executor would be another error
				_, _, err := Attach(t.Context(), o)
				var unanswered *UnansweredError
				if !errors.As(err, &unanswered) || unanswered.PID != os.Getpid() {
					t.Errorf("got %v", err)
				}
			})
		}
	})

	t.Run("RefusesAnotherProtocol", func(t *testing.T) {
		t.Parallel()
		f, o := newFake(t)
		f.welcome.protocol, f.welcome.failure = protocolVersion+1, "too old"
		f.serve()
		_, _, err := Attach(t.Context(), o)
		var other *ProtocolError
		if !errors.As(err, &other) || other.Theirs != protocolVersion+1 || other.PID != os.Getpid() {
			t.Errorf("got %v", err)
		}
	})

	t.Run("RefusesWhatMakesNoSense", func(t *testing.T) {
		t.Parallel()
		changed := func(change func(*welcome)) func(*fakeExecutor, net.Conn) {
			return func(f *fakeExecutor, conn net.Conn) {
				w := f.welcome
				change(&w)
				conn.Write(appendFrame(nil, frameWelcome, appendWelcome, w))
			}
		}
		say := func(b []byte) func(*fakeExecutor, net.Conn) {
			return func(_ *fakeExecutor, conn net.Conn) { conn.Write(b) }
		}
		welcomed := func(b []byte) func(*fakeExecutor, net.Conn) {
			return func(f *fakeExecutor, conn net.Conn) {
				conn.Write(append(appendFrame(nil, frameWelcome, appendWelcome, f.welcome), b...))
			}
		}
		for name, say := range map[string]func(*fakeExecutor, net.Conn){
			"a refusal":                changed(func(w *welcome) { w.failure = "no" }),
			"no loops":                 changed(func(w *welcome) { w.loops = 0 }),
			"four billion loops":       changed(func(w *welcome) { w.loops = math.MaxUint32 }),
			"an endless frame":         say([]byte{0xff, 0xff, 0xff, 0xff, 0}),
			"no welcome":               say(appendEmptyFrame(nil, frameCaughtUp)),
			"an empty welcome":         say(appendEmptyFrame(nil, frameWelcome)),
			"an empty event":           welcomed(appendEmptyFrame(nil, frameEvent)),
			"an empty live attempt":    welcomed(appendEmptyFrame(nil, frameLive)),
			"a frame of an other kind": welcomed(appendEmptyFrame(nil, frameHello)),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f, o := newFake(t)
				f.answer = func(conn net.Conn, _ int, _ hello) { say(f, conn) }
				f.serve()
				c, _, err := Attach(t.Context(), o)
				var unanswered *UnansweredError
				if c != nil || err == nil || errors.As(err, &unanswered) {
					t.Errorf("got %v", err)
				}
			})
		}
	})

	t.Run("EndsWithItsContext", func(t *testing.T) {
		t.Parallel()
		f, o := newFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		f.answer = func(net.Conn, int, hello) { cancel() }
		f.serve()
		if _, _, err := Attach(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("NeedsAHome", func(t *testing.T) {
		t.Parallel()
		o := ClientOptions{Home: filepath.Join(t.TempDir(), "nowhere"), Command: []string{"/bin/true"}}
		if _, _, err := Attach(t.Context(), o); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

// answerInPart stops before it has caught up.
func (f *fakeExecutor) answerInPart(conn net.Conn, _ int, _ hello) {
	conn.Write(append(appendFrame(nil, frameWelcome, appendWelcome, f.welcome), eventFrame(3, 1)...))
}

func TestClient(t *testing.T) {
	t.Parallel()

	setup := func(t *testing.T, loops uint32) (*fakeExecutor, *Client) {
		f, o := newFake(t)
		f.welcome.loops = loops
		f.serve()
		c, _ := attach(t, o)
		return f, c
	}

	t.Run("SendsToTheLoopOfTheAttempt", func(t *testing.T) {
		t.Parallel()
		f, c := setup(t, 2)
		for attempt := range int64(10) {
			if err := c.Start(Order{Attempt: attempt, Token: "t"}); err != nil {
				t.Fatal(err)
			}
			if err := c.Stop(Stop{Attempt: attempt, Token: "t", Reason: "r"}); err != nil {
				t.Fatal(err)
			}
		}
		stops := make(map[int64]bool)
		for range 20 {
			switch h := <-f.heard; h.kind {
			case frameOrder:
				o, err := decodeOrder(h.payload)
				if err != nil || h.loop != uint32(o.Attempt%2) || stops[o.Attempt] {
					t.Errorf("loop %d heard %+v, %v", h.loop, o, err)
				}
			case frameStop:
				s, err := decodeStop(h.payload)
				if err != nil || h.loop != uint32(s.Attempt%2) || s.Reason != "r" {
					t.Errorf("loop %d heard %+v, %v", h.loop, s, err)
				}
				stops[s.Attempt] = true
			default:
				t.Errorf("loop %d heard a frame of kind %d", h.loop, h.kind)
			}
		}
	})

	t.Run("LosesNothingAmongManySenders", func(t *testing.T) {
		t.Parallel()
		f, c := setup(t, 2)
		const senders, orders = 8, 200
		var sending sync.WaitGroup
		for s := range senders {
			sending.Go(func() {
				for n := range orders {
					attempt := int64(s*orders + n)
					order := Order{Attempt: attempt, Env: []string{strings.Repeat("x", n*7)}}
					if err := c.Start(order); err != nil {
						t.Error(err)
					}
				}
			})
		}
		seen := make(map[int64]bool)
		for len(seen) < senders*orders {
			o, err := decodeOrder((<-f.heard).payload)
			if err != nil || seen[o.Attempt] || len(o.Env[0]) != int(o.Attempt)%orders*7 {
				t.Fatalf("attempt %d: %v", o.Attempt, err)
			}
			seen[o.Attempt] = true
		}
		sending.Wait()
	})

	t.Run("AcknowledgesToWhomItConcerns", func(t *testing.T) {
		t.Parallel()
		f, c := setup(t, 2)
		for _, a := range []ack{{11, 5}, {11, 9}, {11, 7}, {3, 1}, {10, 2}} {
			if err := c.Ack(a.epoch, a.number); err != nil {
				t.Fatal(err)
			}
		}
		got := make(map[ack]uint32)
		for len(got) < 3 {
			h := <-f.heard
			a, err := decodeAck(h.payload)
			if err != nil || h.kind != frameAck {
				t.Fatalf("kind %d: %v", h.kind, err)
			}
			got[a] = h.loop
		}
		// The fake's loops have the epochs 10 and 11; the first looks after others.
		want := map[ack]uint32{{11, 9}: 1, {3, 1}: 0, {10, 2}: 0}
		if diff := cmp.Diff(want, got, unexported); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("HandsOverEventsInOrder", func(t *testing.T) {
		t.Parallel()
		f, c := setup(t, 2)
		const events = 500
		var mu sync.Mutex
		last := make(map[uint64]uint64)
		done := make(chan struct{})
		served := make(chan error, 1)
		go func() {
			served <- c.Serve(t.Context(), func(batch []Event) {
				mu.Lock()
				defer mu.Unlock()
				for _, e := range batch {
					if e.Number != last[e.Epoch]+1 {
						t.Errorf("epoch %d: %d after %d", e.Epoch, e.Number, last[e.Epoch])
					}
					last[e.Epoch] = e.Number
				}
				if last[10]+last[11] == 2*events {
					close(done)
				}
			})
		}()
		for n := range uint64(events) {
			for loop := range uint32(2) {
				// Frames come in pieces.
				b := eventFrame(10+uint64(loop), n+1)
				cut := int(n) % len(b)
				if err := errors.Join(f.send(loop, b[:cut]), f.send(loop, b[cut:])); err != nil {
					t.Fatal(err)
				}
			}
		}
		<-done
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("after Close, Serve answered %v", err)
		}
	})

	t.Run("HandsOverWhatCameWithTheReplay", func(t *testing.T) {
		t.Parallel()
		f, o := newFake(t)
		f.answer = func(conn net.Conn, _ int, _ hello) {
			b := appendEmptyFrame(appendFrame(nil, frameWelcome, appendWelcome, f.welcome), frameCaughtUp)
			conn.Write(append(b, eventFrame(10, 1)...))
		}
		f.serve()
		c, attached := attach(t, o)
		var got []Event
		err := c.Serve(t.Context(), func(batch []Event) {
			got = append(got, batch...)
			c.Close()
		})
		if err != nil || len(attached.Events) != 0 {
			t.Errorf("replayed %v, error %v", attached.Events, err)
		}
		if diff := cmp.Diff([]Event{fakeEvent(10, 1)}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("SendsWhatItAcceptedBeforeItCloses", func(t *testing.T) {
		t.Parallel()
		f, c := setup(t, 2)
		for attempt := range int64(100) {
			if err := c.Start(Order{Attempt: attempt}); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(c.Ack(10, 4), c.Shutdown(), c.Close(), c.Close()); err != nil {
			t.Fatal(err)
		}
		f.listener.Close()
		f.served.Wait() // until it has read both connections to their end
		close(f.heard)
		count := make(map[frameKind]int)
		for h := range f.heard {
			count[h.kind]++
		}
		if diff := cmp.Diff(map[frameKind]int{frameOrder: 100, frameAck: 1, frameShutdown: 2}, count); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, err := range []error{c.Start(Order{}), c.Stop(Stop{}), c.Ack(10, 5), c.Shutdown()} {
			if !errors.Is(err, ErrDetached) {
				t.Errorf("after Close: %v", err)
			}
		}
	})

	t.Run("SaysWhyItEnded", func(t *testing.T) {
		t.Parallel()
		for name, end := range map[string]func(*fakeExecutor, *Client, context.CancelCauseFunc){
			"the executor is gone": func(f *fakeExecutor, _ *Client, _ context.CancelCauseFunc) { f.hangUp() },
			"it talks nonsense": func(f *fakeExecutor, _ *Client, _ context.CancelCauseFunc) {
				f.send(1, appendEmptyFrame(nil, frameEvent))
			},
			"it talks out of turn": func(f *fakeExecutor, _ *Client, _ context.CancelCauseFunc) {
				f.send(0, appendEmptyFrame(nil, frameCaughtUp))
			},
			"the context ends": func(_ *fakeExecutor, _ *Client, cancel context.CancelCauseFunc) {
				cancel(errors.New("enough"))
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f, c := setup(t, 2)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				end(f, c, cancel)
				err := c.Serve(ctx, func(events []Event) { t.Errorf("got %v", events) })
				if !errors.Is(err, ErrDetached) || name == "the context ends" && !errors.Is(err, context.Cause(ctx)) {
					t.Errorf("got %v", err)
				}
				if err := c.Start(Order{}); !errors.Is(err, ErrDetached) {
					t.Errorf("later: %v", err)
				}
			})
		}
	})

	t.Run("RefusesAnOrderOverTheLimit", func(t *testing.T) {
		t.Parallel()
		f, c := setup(t, 1)
		if err := c.Start(Order{Attempt: 1, Dir: strings.Repeat("x", frameLimit)}); err == nil || errors.Is(err, ErrDetached) {
			t.Errorf("got %v", err)
		}
		if err := c.Start(Order{Attempt: 2}); err != nil {
			t.Error(err)
		}
		if o, err := decodeOrder((<-f.heard).payload); err != nil || o.Attempt != 2 {
			t.Errorf("heard of attempt %d: %v", o.Attempt, err)
		}
	})

	t.Run("RefusesMoreThanItCanKeep", func(t *testing.T) {
		t.Parallel()
		l := newLink(nil) // nobody sends what it accepts
		l.frames = make([]byte, backlogLimit)
		if err := push(l, frameStop, appendStop, Stop{}); !errors.Is(err, ErrBacklog) {
			t.Errorf("got %v", err)
		}
		if frames, open := l.take(nil); len(frames) != backlogLimit || !open {
			t.Errorf("%d bytes are left, open %v", len(frames), open)
		}
		if err := push(l, frameStop, appendStop, Stop{}); err != nil {
			t.Errorf("once there is room: %v", err)
		}
	})
}
