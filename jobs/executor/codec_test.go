package executor

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heroproc/heroproc/jobs/logs"
)

// wireCase is one message with every field set, its encoding, and the way back
// to the same bytes.
type wireCase struct {
	name    string
	message any
	encoded []byte
	decode  func([]byte) (any, error)
	encode  func(any) []byte
}

// message makes a wireCase of a message and its two functions.
func message[M any](name string, m M, encode func([]byte, M) []byte, decode func([]byte) (M, error)) wireCase {
	return wireCase{
		name:    name,
		message: m,
		encoded: encode(nil, m),
		decode:  func(b []byte) (any, error) { return decode(b) },
		encode:  func(m any) []byte { return encode(nil, m.(M)) },
	}
}

func appendOrderValue(b []byte, o Order) []byte { return appendOrder(b, &o) }

// appendEventValue encodes what decodeEventFrame decodes.
func appendEventValue(b []byte, e Event) []byte {
	frame := appendEventFrame(nil, e.Epoch, e.Number, appendEvent(nil, &e))
	return append(b, frame[frameHeaderBytes:]...)
}

func wireCases() []wireCase {
	at := time.Unix(1_800_000_000, 123_456_789)
	place := logs.Place{Epoch: 7, First: 2, FirstOffset: 300, Last: 3, LastOffset: 40, Own: true}
	started := &Started{
		At: at, PID: 4321, StartTicks: 99_000_000_000, BootID: "0b07-1d", Cgroup: "heroproc/a1", Log: place,
	}
	survivors := []Survivor{{PID: 12, Command: "dd", State: "D"}, {PID: 13, Command: "cat", State: "D"}}
	stop := StopSequence{Signal: syscall.SIGTERM, Grace: 10 * time.Second}
	order := Order{
		Attempt: 42, Token: "token-42", Command: []string{"/bin/sh", "-c", "echo hi", ""},
		Env: []string{"PATH=/bin", "EMPTY=", "Ü=\xff"}, Dir: "/tmp", Timeout: time.Minute, Stop: stop,
		Drain: 5 * time.Second, LogBudget: 1 << 26, OutputFile: "/run/out",
	}
	exit := &Exit{
		Cause: CauseTimeout, StopReason: "timeout", Code: -1, Signal: syscall.SIGKILL, CoreDumped: true,
		Errno: syscall.ENOENT, Message: "not found", UserCPU: 3 * time.Millisecond, SystemCPU: time.Millisecond,
		MaxRSSBytes: 1 << 20, Log: place, LogBytes: 1000, DroppedBytes: 24, StderrTail: []byte("boom\x00"),
		Output: []byte("{}"), Survivors: survivors,
	}
	event := func(name string, e Event) wireCase {
		e.Epoch, e.Number, e.Attempt, e.Token, e.At = 7, 11, 42, "token-42", at
		return message(name, e, appendEventValue, decodeEventFrame)
	}
	return []wireCase{
		message("hello", hello{protocol: protocolVersion, loop: 1, positions: map[uint64]uint64{3: 9, 7: 11}},
			appendHello, decodeHello),
		message("hello without positions", hello{protocol: protocolVersion}, appendHello, decodeHello),
		message("welcome", welcome{
			protocol: protocolVersion, pid: 77, startedAt: at, version: "v1.2.3", failure: "no", loops: 2, epoch: 7,
			bootID: "0b07-1d", whole: true,
		}, appendWelcome, decodeWelcome),
		message("ack", ack{epoch: 7, number: 11}, appendAck, decodeAck),
		message("order", order, appendOrderValue, decodeOrder),
		message("empty order", Order{}, appendOrderValue, decodeOrder),
		message("stop", Stop{Attempt: 42, Token: "token-42", Reason: "cancelled", Stop: stop}, appendStop, decodeStop),
		message("live", Live{Attempt: 42, Token: "token-42", Started: started}, appendLive, decodeLive),
		message("live not started", Live{Attempt: 42, Token: "token-42"}, appendLive, decodeLive),
		event("started", Event{Kind: EventStarted, Started: started}),
		event("exited", Event{Kind: EventExited, Exit: exit}),
		event("exited at once", Event{Kind: EventExited, Started: started, Exit: &Exit{Cause: CauseExited}}),
		event("stuck", Event{Kind: EventStuck, Survivors: survivors}),
		message("intent", order, func(b []byte, o Order) []byte {
			return appendIntent(b, at, &o)
		}, func(payload []byte) (Order, error) {
			o, err := decodeIntent(payload)
			if err == nil {
				// What an intent leaves out is put back, so that all cases compare alike.
				o.Command, o.Env, o.Dir = order.Command, order.Env, order.Dir
			}
			return o, err
		}),
	}
}

var unexported = cmp.AllowUnexported(hello{}, welcome{}, ack{})

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()

	for _, c := range wireCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// The buffer is overwritten: a decoded message must not be a part of it.
			buffer := bytes.Clone(c.encoded)
			got, err := c.decode(buffer)
			clear(buffer)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.message, got, unexported); diff != "" {
				t.Errorf("decoded differently (-sent +received):\n%s", diff)
			}
		})
	}
}

func TestCodecRefusesEveryCut(t *testing.T) {
	t.Parallel()

	for _, c := range wireCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for n := range c.encoded {
				if got, err := c.decode(c.encoded[:n]); err == nil {
					t.Errorf("the first %d of %d bytes were read as %+v", n, len(c.encoded), got)
				}
			}
			if _, err := c.decode(append(bytes.Clone(c.encoded), 0)); err == nil {
				t.Error("a byte left over was accepted")
			}
		})
	}
}

// TestCodecGolden holds the bytes of protocol version 1. A daemon and an
// executor of different builds talk to each other: if this test fails, either
// the change is a mistake or protocolVersion has to change with it.
func TestCodecGolden(t *testing.T) {
	t.Parallel()

	file, err := os.Open(filepath.Join("testdata", "protocol-1.golden"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want := make(map[string]string)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, bytes, _ := strings.Cut(lines.Text(), ": ")
		want[name] = bytes
	}
	cases := wireCases()
	for _, c := range cases {
		if got := hex.EncodeToString(c.encoded); got != want[c.name] {
			t.Errorf("the encoding of %q changed\nwant %s\n got %s", c.name, want[c.name], got)
		}
	}
	if len(want) != len(cases) {
		t.Errorf("the file has %d messages, the test %d", len(want), len(cases))
	}
}

func TestCodecOtherProtocols(t *testing.T) {
	t.Parallel()

	t.Run("AHelloIsReadUpToItsVersion", func(t *testing.T) {
		t.Parallel()
		h, err := decodeHello(append(appendUint32(nil, protocolVersion+1), "whatever"...))
		if err != nil || h.protocol != protocolVersion+1 {
			t.Errorf("got %+v, %v", h, err)
		}
	})

	t.Run("AWelcomeIsReadUpToItsFailure", func(t *testing.T) {
		t.Parallel()
		sent := welcome{protocol: protocolVersion + 1, pid: 5, version: "v9", failure: "too old"}
		got, err := decodeWelcome(append(appendWelcome(nil, sent), "whatever"...))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent, got, unexported); diff != "" {
			t.Errorf("head differs (-sent +received):\n%s", diff)
		}
	})
}

func TestCodecRefuses(t *testing.T) {
	t.Parallel()

	head := func(kind EventKind, parts uint8) []byte {
		return appendEventHead(nil, &Event{Kind: kind, Attempt: 1, Token: "t"}, parts)
	}
	event := func(payload []byte) error { _, err := decodeEvent(1, 1, payload); return err }
	for name, test := range map[string]struct {
		payload []byte
		decode  func([]byte) error
	}{
		"an event of no kind":             {head(0, 0), event},
		"an event of an unknown kind":     {head(9, 0), event},
		"a start that has not started":    {head(EventStarted, 0), event},
		"an exit without an exit":         {append(head(EventExited, partStarted), appendStarted(nil, &Started{})...), event},
		"an exit without a cause":         {append(head(EventExited, partExit), appendExit(nil, &Exit{})...), event},
		"an exit with an unknown cause":   {append(head(EventExited, partExit), appendExit(nil, &Exit{Cause: 99})...), event},
		"survivors that are none":         {append(head(EventStuck, partSurvivors), 0, 0, 0, 0), event},
		"a list longer than its message":  {append(make([]byte, 12), 0xff, 0xff, 0xff, 0xff), func(b []byte) error { _, err := decodeOrder(b); return err }},
		"a string longer than its frame":  {append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff), func(b []byte) error { _, err := decodeStop(b); return err }},
		"a yes or no that is neither":     {append(make([]byte, 12), 2), func(b []byte) error { _, err := decodeLive(b); return err }},
		"an exit where an intent is read": {appendEvent(nil, &Event{Kind: EventExited, Exit: &Exit{Cause: CauseLost}}), func(b []byte) error { _, err := decodeIntent(b); return err }},
		"positions out of order": {
			append(appendHello(nil, hello{protocol: protocolVersion, positions: map[uint64]uint64{3: 1, 5: 1}})[:12+16],
				appendAck(nil, ack{epoch: 2})...),
			func(b []byte) error { _, err := decodeHello(b); return err },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := test.decode(test.payload); err == nil {
				t.Error("it was accepted")
			}
		})
	}
}

func TestEventFrame(t *testing.T) {
	t.Parallel()

	t.Run("AnIntentReadsAsAnEvent", func(t *testing.T) {
		t.Parallel()
		at := time.Unix(1_800_000_000, 0)
		got, err := decodeEvent(3, 4, appendIntent(nil, at, &Order{Attempt: 5, Token: "t", Timeout: time.Second}))
		if err != nil {
			t.Fatal(err)
		}
		want := Event{Epoch: 3, Number: 4, Kind: EventIntent, Attempt: 5, Token: "t", At: at}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

}

// TestEventFrameIsMadeWithoutAllocating runs alone: allocations are counted for
// the whole process.
func TestEventFrameIsMadeWithoutAllocating(t *testing.T) {
	journalled := appendEvent(nil, &Event{Kind: EventStarted, Started: &Started{}})
	buffer := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buffer = appendEventFrame(buffer[:0], 1, 2, journalled) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNextFrame(t *testing.T) {
	t.Parallel()

	stream := appendFrame(nil, frameAck, appendAck, ack{epoch: 1, number: 2})
	first := len(stream)
	stream = appendEmptyFrame(stream, frameCaughtUp)

	t.Run("WaitsForAWholeFrame", func(t *testing.T) {
		t.Parallel()
		for n := range first {
			if _, _, rest, ok, err := nextFrame(stream[:n]); ok || err != nil || len(rest) != n {
				t.Errorf("%d bytes: ok %v, %d left, %v", n, ok, len(rest), err)
			}
		}
	})

	t.Run("CutsOneAfterTheOther", func(t *testing.T) {
		t.Parallel()
		kind, payload, rest, ok, err := nextFrame(stream)
		if kind != frameAck || len(payload) != 16 || !ok || err != nil {
			t.Fatalf("first frame: kind %d, %d bytes, %v, %v", kind, len(payload), ok, err)
		}
		kind, payload, rest, ok, err = nextFrame(rest)
		if kind != frameCaughtUp || len(payload) != 0 || len(rest) != 0 || !ok || err != nil {
			t.Errorf("second frame: kind %d, %d bytes, %d left, %v, %v", kind, len(payload), len(rest), ok, err)
		}
	})

	t.Run("RefusesWhatIsTooLong", func(t *testing.T) {
		t.Parallel()
		if _, _, _, ok, err := nextFrame(append(appendUint32(nil, frameLimit+1), byte(frameOrder))); ok || err == nil {
			t.Errorf("ok %v, error %v", ok, err)
		}
	})
}

// FuzzDecode feeds garbage to every decoder: none may panic, and what one
// accepts has exactly one encoding.
func FuzzDecode(f *testing.F) {
	cases := wireCases()
	for i, c := range cases {
		f.Add(uint8(i), c.encoded)
	}
	f.Fuzz(func(t *testing.T, which uint8, payload []byte) {
		c := cases[int(which)%len(cases)]
		got, err := c.decode(payload)
		if err != nil || c.name == "intent" {
			return // the time of an intent is not part of its order
		}
		switch m := got.(type) {
		case hello:
			if m.protocol != protocolVersion {
				return
			}
		case welcome:
			if m.protocol != protocolVersion {
				return
			}
		case Event:
			if m.Kind == EventIntent {
				return
			}
		}
		if again := c.encode(got); !bytes.Equal(again, payload) {
			t.Errorf("%s: %x was read and written as %x", c.name, payload, again)
		}
	})
}

// FuzzNextFrame cuts garbage into frames: none may panic, and nothing is lost
// between them.
func FuzzNextFrame(f *testing.F) {
	f.Add(appendFrame(appendEmptyFrame(nil, frameShutdown), frameAck, appendAck, ack{epoch: 1, number: 2}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		rest := stream
		var again []byte
		for {
			kind, payload, after, ok, err := nextFrame(rest)
			if !ok || err != nil {
				break
			}
			again = appendFrame(again, kind, func(b, p []byte) []byte { return append(b, p...) }, payload)
			rest = after
		}
		if again = append(again, rest...); !bytes.Equal(again, stream) {
			t.Errorf("%x was cut and joined to %x", stream, again)
		}
	})
}
