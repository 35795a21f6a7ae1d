package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// serveRPC answers POST /rpc.
func (s *Server) serveRPC(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > smallBytes {
		done, refusal := s.turn(r.Context())
		if refusal != nil {
			s.refuse(w, r, http.StatusServiceUnavailable, refusal)
			return
		}
		defer done()
	}
	in, out := newPage(), newPage()
	defer in.release()
	defer out.release()
	if status, refusal := s.receive(w, r, &in.Buffer); refusal != nil {
		s.refuse(w, r, status, refusal)
		return
	}
	s.dispatch(r.Context(), in.Bytes(), out)
	if out.Len() == 0 {
		// Nothing but notifications.
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s.reply(w, http.StatusOK, out.Bytes())
}

// turn waits until a large request may be read. It wants to know of the end of
// the server, because while nothing is read nobody notices that a client has gone.
func (s *Server) turn(ctx context.Context) (done func(), refusal *rpc.Error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.CallTimeout)
	defer cancel()
	select {
	case s.large <- struct{}{}:
		return func() { <-s.large }, nil
	case <-s.waits.stopping.Done():
		return nil, s.translate(rpc.Path, jobs.ErrStopping)
	case <-ctx.Done():
		return nil, busy(fmt.Sprintf("%d large requests are being worked on already", s.limits.LargeRequests))
	}
}

// receive reads a body of bounded size in bounded time.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, in *bytes.Buffer) (int, *rpc.Error) {
	limit := s.limits.RequestBytes
	body := http.MaxBytesReader(w, r.Body, limit)
	var err error
	if r.ContentLength > limit {
		err = &http.MaxBytesError{Limit: limit}
		w.Header().Set("Connection", "close")
	} else {
		_, err = in.ReadFrom(body)
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		// The time to send is over; from now on reading only notices that the client
		// has gone.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		return 0, nil
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, invalidRequest("the request is larger than %d bytes, the most that one may have", limit)
	default:
		w.Header().Set("Connection", "close")
		return http.StatusRequestTimeout, invalidRequest("the request did not arrive whole: %v", err)
	}
}

// dispatch does what a body asks for and writes the answers; none, where it is
// all notifications.
func (s *Server) dispatch(ctx context.Context, body []byte, out *page) {
	body = bytes.Trim(body, " \n\t\r")
	if refusal := checkText(body); refusal != nil {
		s.answerError(out, nil, refusal)
		return
	}
	if body[0] != '[' {
		s.answer(ctx, body, out)
		return
	}
	count := 0
	for range elements(body) {
		count++
	}
	switch {
	case count == 0:
		s.answerError(out, nil, invalidRequest("the batch is empty"))
	case count > s.limits.Batch:
		s.answerError(out, nil, invalidRequest("the batch has %d requests, and may have %d; several runs go into one run.submit_many",
			count, s.limits.Batch))
	default:
		s.answerBatch(ctx, body, out)
	}
}

// answerBatch does the requests of a batch one after another.
func (s *Server) answerBatch(ctx context.Context, body []byte, out *page) {
	out.WriteByte('[')
	for one := range elements(body) {
		if ctx.Err() != nil {
			return // nobody is left to answer
		}
		before := out.Len()
		if before > 1 {
			out.WriteByte(',')
		}
		begin := out.Len()
		s.answer(ctx, one, out)
		if out.Len() == begin {
			out.Truncate(before)
		}
	}
	if out.Len() == 1 {
		out.Reset()
		return
	}
	out.WriteByte(']')
}

// answer does one request and writes its answer, unless it is a notification.
func (s *Server) answer(ctx context.Context, text []byte, out *page) {
	s.counters.calls.Add(1)
	call, refusal := parseRequest(text)
	if refusal != nil {
		s.answerError(out, call.id, refusal)
		return
	}
	if out.Len() > s.limits.AnswerBytes {
		s.answerError(out, call.id, busy(fmt.Sprintf(
			"the answers of this batch are over %d bytes already; ask for the rest in another", s.limits.AnswerBytes)))
		return
	}
	result, err := s.do(ctx, call)
	if err != nil {
		refusal := s.translate(call.method, err)
		if call.id != nil {
			s.answerError(out, call.id, refusal)
		}
		return
	}
	if call.id == nil {
		return
	}
	before := out.Len()
	beginAnswer(out, call.id)
	out.WriteString(`,"result":`)
	if err := out.encode(result); err != nil {
		out.Truncate(before)
		s.answerError(out, call.id, s.translate(call.method, fmt.Errorf("cannot encode the result: %w", err)))
		return
	}
	out.WriteByte('}')
}

// do calls the method; its panic is its error.
func (s *Server) do(ctx context.Context, call request) (result any, err error) {
	method, known := s.methods[call.method]
	if !known {
		return nil, &rpc.Error{Code: rpc.CodeNoMethod, Message: fmt.Sprintf("there is no method %q", shorten([]byte(call.method)))}
	}
	defer func() {
		if fault := recover(); fault != nil {
			err = s.panicked(call.method, fault)
		}
	}()
	if !method.waits {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.limits.CallTimeout)
		defer cancel()
	}
	return method.handle(s, ctx, call.params)
}

// panicked logs a panic where it happened and makes an error of it.
func (s *Server) panicked(name string, fault any) error {
	s.counters.panics.Add(1)
	s.logger.Error("a call panicked", "method", name, "err", fmt.Sprint(fault), "stack", string(debug.Stack()))
	return errPanic
}

func beginAnswer(out *page, id []byte) {
	out.WriteString(`{"jsonrpc":"2.0","id":`)
	if id == nil {
		out.WriteString("null")
	} else {
		out.Write(id)
	}
}

// answerError writes the answer of a call that failed.
func (s *Server) answerError(out *page, id []byte, refusal *rpc.Error) {
	s.counters.failed.Add(1)
	beginAnswer(out, id)
	out.WriteString(`,"error":`)
	// An rpc.Error has nothing in it that cannot be encoded.
	_ = out.encode(refusal)
	out.WriteByte('}')
}

// refuse answers an HTTP request that cannot be done: as an rpc.Error, and where
// JSON-RPC is spoken, in its envelope.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, refusal *rpc.Error) {
	out := newPage()
	defer out.release()
	if r.URL.Path == rpc.Path {
		s.answerError(out, nil, refusal)
	} else {
		_ = out.encode(refusal)
	}
	s.reply(w, status, out.Bytes())
}

// reply writes an answer that is ready. Its time to be read begins now, however
// long it took to find. A client that has gone needs no answer.
func (s *Server) reply(w http.ResponseWriter, status int, body []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.WriteTimeout))
	header := w.Header()
	header["Content-Type"] = jsonType
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// jsonType is shared by all answers, which saves a slice for each.
var jsonType = []string{"application/json"}
