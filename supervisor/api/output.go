package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// serveOutput answers GET /logs: it streams output as it comes. What goes wrong
// before the first byte is an rpc.Error; later the stream is cut, so that nobody
// takes a part for the whole.
func (s *Server) serveOutput(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	query, err := parseOutput(r.URL.RawQuery)
	if err != nil {
		s.refuseOutput(w, r, err)
		return
	}
	ctx, done, err := s.waits.begin(r.Context())
	if err != nil {
		s.refuseOutput(w, r, err)
		return
	}
	defer done()
	format, contentType := appendRaw, "application/octet-stream"
	if query.Timestamps {
		format, contentType = appendStamped, "text/plain; charset=utf-8"
	}
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("X-Content-Type-Options", "nosniff")
	sent, err := s.stream(ctx, w, jobs.OutputQuery{
		Run: query.Run, Job: query.Job, Attempt: query.Attempt, Tail: query.Tail, Follow: query.Follow,
	}, format)
	switch {
	case err == nil:
	case sent:
		// There is no place left for an answer: what is worth a log line gets it.
		_ = s.translate(r.URL.Path, err)
		panic(http.ErrAbortHandler)
	default:
		s.refuseOutput(w, r, err)
	}
}

func parseOutput(raw string) (rpc.OutputQuery, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return rpc.OutputQuery{}, paramsError{document.Problems{{Text: fmt.Sprintf("the query cannot be read: %v", err)}}}
	}
	query, wrong := rpc.ParseOutputQuery(values)
	var problems document.Problems
	for _, problem := range wrong {
		problems.Add(document.Problem{Path: document.Path(problem.Path), Text: problem.Text})
	}
	return query, asParams(problems.Err())
}

func (s *Server) refuseOutput(w http.ResponseWriter, r *http.Request, err error) {
	refusal := s.translate(r.URL.Path, err)
	s.refuse(w, r, statusOf(refusal.Code), refusal)
}

// stream sends lines while they come: one goroutine takes them, this one writes
// what has gathered meanwhile. So a line that comes alone goes out alone and at
// once, and many go out together, without a timer. sent says whether anything
// has reached the client.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, query jobs.OutputQuery, format formatLine) (sent bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	out := newOutbox()
	var taker sync.WaitGroup
	taker.Go(func() { out.end(s.gather(ctx, query, format, out)) })
	defer taker.Wait()
	defer cancel()
	controller := http.NewResponseController(w)
	for {
		text, ended := out.take()
		if len(text) > 0 {
			sent = true
			_ = controller.SetWriteDeadline(time.Now().Add(s.limits.WriteTimeout))
			if _, err := w.Write(text); err != nil {
				return sent, errGone
			}
			if err := controller.Flush(); err != nil {
				return sent, errGone
			}
		}
		if ended {
			return sent, out.err
		}
	}
}

// gather takes lines into the outbox until the last, and says why it was the
// last. It runs on a goroutine of its own, so that it must not panic.
func (s *Server) gather(ctx context.Context, query jobs.OutputQuery, format formatLine, out *outbox) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = s.panicked(rpc.OutputPath, fault)
		}
	}()
	for line, err := range s.runs.Output(ctx, query) {
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		if !out.put(ctx, line, format) {
			break
		}
	}
	return context.Cause(ctx)
}

// outboxBytes bounds what waits for a client; it is what one write takes at
// best, and a client who reads more slowly makes the reading of lines wait.
const outboxBytes = 64 << 10

// outbox is where lines gather while those before them are written.
type outbox struct {
	mu    sync.Mutex
	text  []byte
	spare []byte
	ended bool
	err   error
	// filled and emptied are bells: each rings at most once until it is heard.
	filled, emptied chan struct{}
}

func newOutbox() *outbox {
	return &outbox{filled: make(chan struct{}, 1), emptied: make(chan struct{}, 1)}
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// put adds a line, when there is room for it; false says that ctx has ended.
func (o *outbox) put(ctx context.Context, line jobs.OutputLine, format formatLine) bool {
	for {
		o.mu.Lock()
		room := len(o.text) < outboxBytes
		if room {
			o.text = format(o.text, line)
		}
		o.mu.Unlock()
		if room {
			ring(o.filled)
			return true
		}
		select {
		case <-o.emptied:
		case <-ctx.Done():
			return false
		}
	}
}

// end says that nothing more comes, and why.
func (o *outbox) end(err error) {
	o.mu.Lock()
	o.ended, o.err = true, err
	o.mu.Unlock()
	ring(o.filled)
}

// take waits until something has gathered and answers it; it is good until the
// next take. ended says that it was the last, and then err is set.
func (o *outbox) take() (text []byte, ended bool) {
	<-o.filled
	o.mu.Lock()
	defer o.mu.Unlock()
	text = o.text
	o.text, o.spare = o.spare[:0], text
	ring(o.emptied)
	return text, o.ended
}

// formatLine appends a line as the client wants it.
type formatLine func(to []byte, line jobs.OutputLine) []byte

// appendRaw gives back the bytes that were written: no newline where there was
// none.
func appendRaw(to []byte, line jobs.OutputLine) []byte {
	to = append(to, line.Text...)
	if !line.Partial {
		to = append(to, '\n')
	}
	return to
}

// appendStamped makes each line, also a part of one, a line with time and stream.
func appendStamped(to []byte, line jobs.OutputLine) []byte {
	to = line.At.UTC().AppendFormat(to, time.RFC3339Nano)
	to = append(to, ' ')
	to = append(to, line.Stream.String()...)
	to = append(to, ' ')
	to = append(to, line.Text...)
	return append(to, '\n')
}
