package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/jobs/logs"
	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 5_000, time.UTC)

func line(stream logs.Stream, text string, partial bool) jobs.OutputLine {
	return jobs.OutputLine{Line: logs.Line{At: noon, Stream: stream, Text: []byte(text), Partial: partial}}
}

// lines yields lines, and then an error if there is one.
func lines(err error, all ...jobs.OutputLine) iter.Seq2[jobs.OutputLine, error] {
	return func(yield func(jobs.OutputLine, error) bool) {
		for _, one := range all {
			if !yield(one, nil) {
				return
			}
		}
		if err != nil {
			yield(jobs.OutputLine{}, err)
		}
	}
}

// flood yields for ever, and closes ended when nobody takes any more.
func flood(ctx context.Context, ended chan<- struct{}) iter.Seq2[jobs.OutputLine, error] {
	one := line(logs.Stdout, strings.Repeat("x", 1000), false)
	return func(yield func(jobs.OutputLine, error) bool) {
		defer close(ended)
		for ctx.Err() == nil && yield(one, nil) {
		}
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()

	t.Run("is raw, byte for byte, or has time and stream", func(t *testing.T) {
		t.Parallel()
		var asked []jobs.OutputQuery
		b := setup(t, &fakeRuns{output: func(_ context.Context, query jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
			asked = append(asked, query)
			return lines(nil, line(logs.Stdout, "one", false), line(logs.Stderr, "\x00\xff\r", true), line(logs.Stdout, "", false))
		}})
		var raw, stamped bytes.Buffer
		if err := b.client.Output(t.Context(), rpc.OutputQuery{Run: 4, Follow: true, Tail: 3}, &raw); err != nil {
			t.Fatal(err)
		}
		if err := b.client.Output(t.Context(), rpc.OutputQuery{Job: 5, Attempt: 2, Timestamps: true}, &stamped); err != nil {
			t.Fatal(err)
		}
		if want := "one\n\x00\xff\r\n"; raw.String() != want {
			t.Errorf("got %q, want %q", raw.String(), want)
		}
		const at = "2026-11-23T12:00:00.000005Z"
		if want := at + " stdout one\n" + at + " stderr \x00\xff\r\n" + at + " stdout \n"; stamped.String() != want {
			t.Errorf("got %q, want %q", stamped.String(), want)
		}
		if diff := cmp.Diff([]jobs.OutputQuery{{Run: 4, Follow: true, Tail: 3}, {Job: 5, Attempt: 2}}, asked); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("goes out as it comes", func(t *testing.T) {
		t.Parallel()
		next := make(chan string)
		b := setup(t, &fakeRuns{output: func(context.Context, jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
			return func(yield func(jobs.OutputLine, error) bool) {
				for text := range next {
					yield(line(logs.Stdout, text, false), nil)
				}
			}
		}})
		reader, writer := io.Pipe()
		done := make(chan error, 1)
		go func() { done <- b.client.Output(t.Context(), rpc.OutputQuery{Run: 4, Follow: true}, writer) }()
		// Each line is sent only after the one before has arrived.
		for i := range 3 {
			want := fmt.Sprintf("line %d\n", i)
			next <- strings.TrimSuffix(want, "\n")
			got := make([]byte, len(want))
			if _, err := io.ReadFull(reader, got); err != nil || string(got) != want {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		close(next)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	t.Run("keeps the order of very much", func(t *testing.T) {
		t.Parallel()
		const count = 50_000
		b := setup(t, &fakeRuns{output: func(context.Context, jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
			return func(yield func(jobs.OutputLine, error) bool) {
				// The text is used again for each line, as a reader of logs does.
				text := make([]byte, 0, 16)
				for i := range count {
					text = fmt.Appendf(text[:0], "%d", i)
					if !yield(jobs.OutputLine{Line: logs.Line{Text: text}}, nil) {
						return
					}
				}
			}
		}})
		var got, want bytes.Buffer
		for i := range count {
			fmt.Fprintln(&want, i)
		}
		if err := b.client.Output(t.Context(), rpc.OutputQuery{Run: 4}, &got); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%d bytes differ from %d: %v", got.Len(), want.Len(), err)
		}
	})

	t.Run("says before the first byte what is wrong", func(t *testing.T) {
		t.Parallel()
		b := setup(t, &fakeRuns{output: func(_ context.Context, query jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
			if query.Run == 1 {
				return lines(fmt.Errorf("run 1: %w", jobs.ErrNotFound))
			}
			return lines(nil)
		}})
		tests := []struct {
			query string
			want  string
		}{
			{"?run=1", `404 {"code":-32000,"message":"run 1: not found"}`},
			{"?run=2", `200 `},
			{"", `400 {"code":-32602,"message":"run: say either run=ID or job=ID",` +
				`"data":{"problems":[{"path":"run","text":"say either run=ID or job=ID"}]}}`},
			{"?run=1&job=2", `400 {"code":-32602,"message":"run: say either run=ID or job=ID",` +
				`"data":{"problems":[{"path":"run","text":"say either run=ID or job=ID"}]}}`},
			{"?run=x&tail=-1", `400 {"code":-32602,"message":"run: expected a number from 1 on, got \"x\" (and 1 more)",` +
				`"data":{"problems":[{"path":"run","text":"expected a number from 1 on, got \"x\""},` +
				`{"path":"tail","text":"expected a number from 1 on, got \"-1\""}]}}`},
			{"?run=1;a", `400 {"code":-32602,"message":"the query cannot be read: invalid semicolon separator in query",` +
				`"data":{"problems":[{"path":"","text":"the query cannot be read: invalid semicolon separator in query"}]}}`},
		}
		for _, test := range tests {
			response, text := b.do(t, http.MethodGet, rpc.OutputPath+test.query, nil)
			if diff := cmp.Diff(test.want, fmt.Sprintf("%d %s", response.StatusCode, text)); diff != "" {
				t.Errorf("%s: %s", test.query, diff)
			}
		}
		var refusal *rpc.Error
		if err := b.client.Output(t.Context(), rpc.OutputQuery{Run: 1}, io.Discard); !errors.As(err, &refusal) || refusal.Code != rpc.CodeNotFound {
			t.Errorf("the client got %v", err)
		}
	})

	t.Run("is cut, not ended, when it goes wrong later", func(t *testing.T) {
		t.Parallel()
		for name, fault := range map[string]func(context.Context, jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error]{
			"an error": func(context.Context, jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
				return lines(errors.New("a bad disk"), line(logs.Stdout, "one", false))
			},
			"a panic": func(context.Context, jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
				return func(yield func(jobs.OutputLine, error) bool) {
					yield(line(logs.Stdout, "one", false), nil)
					panic("a bad disk")
				}
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := setup(t, &fakeRuns{output: fault})
				var got bytes.Buffer
				if err := b.client.Output(t.Context(), rpc.OutputQuery{Run: 4}, &got); !errors.Is(err, client.ErrCut) || got.String() != "one\n" {
					// Both may still be in the outbox together; then nothing was sent.
					var refusal *rpc.Error
					if !errors.As(err, &refusal) || refusal.Code != rpc.CodeInternal || got.Len() > 0 {
						t.Errorf("got %q, %v", got.String(), err)
					}
				}
				if !strings.Contains(b.log.String(), "a bad disk") {
					t.Errorf("the log has %s", b.log)
				}
			})
		}
	})

	t.Run("ends when the client leaves", func(t *testing.T) {
		t.Parallel()
		ended := make(chan struct{})
		b := setup(t, &fakeRuns{output: func(ctx context.Context, _ jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
			return flood(ctx, ended)
		}})
		full := errors.New("full")
		if err := b.client.Output(t.Context(), rpc.OutputQuery{Run: 4, Follow: true}, failingWriter{full}); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
		<-ended
		b.end(t)
		if b.log.String() != "" {
			t.Errorf("it is nobody's fault, and the log has %s", b.log)
		}
	})

	t.Run("ends when the server ends", func(t *testing.T) {
		t.Parallel()
		began := make(chan struct{})
		b := setup(t, &fakeRuns{output: func(ctx context.Context, _ jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
			return func(yield func(jobs.OutputLine, error) bool) {
				close(began)
				<-ctx.Done()
			}
		}})
		done := make(chan error, 1)
		go func() { done <- b.client.Output(t.Context(), rpc.OutputQuery{Run: 4, Follow: true}, io.Discard) }()
		<-began
		b.end(t)
		var refusal *rpc.Error
		if err := <-done; !errors.As(err, &refusal) || refusal.Code != rpc.CodeShuttingDown {
			t.Errorf("got %v", err)
		}
	})
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestFailure41_SlowClient: clients that ask for endless output and read none of
// it are given up, and hold nothing.
func TestFailure41_SlowClient(t *testing.T) {
	t.Parallel()
	const clients = 100
	ended := make(chan chan struct{}, clients)
	b := setup(t, &fakeRuns{output: func(ctx context.Context, _ jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
		one := make(chan struct{})
		ended <- one
		return flood(ctx, one)
	}}, limited(Limits{WriteTimeout: 50 * time.Millisecond}))
	for range clients {
		if _, err := io.WriteString(b.dial(t), "GET /logs?run=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range clients {
		<-<-ended
	}
	if left := b.connections.drain(t.Context()); left != 0 {
		t.Errorf("%d connections are left", left)
	}
	if _, err := b.client.Info(t.Context()); err != nil {
		t.Error(err)
	}
}
