package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// Errors of the server's own.
var (
	// errPanic: a handler panicked; the log has it already.
	errPanic = errors.New("panic")
	// errGone: the client of a stream reads no more, or not fast enough.
	errGone = errors.New("the client reads no more")
	// errManyWaits: Limits.Waits is reached.
	errManyWaits = errors.New("too many calls wait for a run or follow output already")
)

// paramsError are problems with the shape of a call's parameters, to be told
// from problems with the content of a run.
type paramsError struct{ document.Problems }

// retryAfterMs is what a caller is told to wait when something is full. Queues
// hold some thousand operations and the writer does tens of thousands a second,
// so that a full one is empty after about as long.
const retryAfterMs = 100

// translate is the one place where an error becomes an answer. What is a fault of
// our own is logged, and its text stays here.
func (s *Server) translate(method string, err error) *rpc.Error {
	var (
		ready    *rpc.Error
		params   paramsError
		problems document.Problems
	)
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &params):
		return withProblems(rpc.CodeInvalidParams, params.Problems)
	case errors.As(err, &problems):
		return withProblems(rpc.CodeInvalid, problems)
	case errors.Is(err, jobs.ErrNotFound):
		return &rpc.Error{Code: rpc.CodeNotFound, Message: err.Error()}
	case errors.Is(err, jobs.ErrConflict):
		return &rpc.Error{Code: rpc.CodeConflict, Message: err.Error()}
	case errors.Is(err, db.ErrBusy), errors.Is(err, errManyWaits):
		return busy(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return busy(fmt.Sprintf("the call was not done within %v; it may still take effect, so look before repeating it",
			s.limits.CallTimeout))
	case db.IsStorage(err):
		s.logger.Error("the storage refused", "method", method, "err", err)
		return &rpc.Error{Code: rpc.CodeStorage, Message: err.Error()}
	case errors.Is(err, jobs.ErrStopping), errors.Is(err, db.ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, errGone):
		// A caller who has gone reads no answer; whoever is left is there when the
		// server ends.
		return &rpc.Error{Code: rpc.CodeShuttingDown, Message: "the daemon is shutting down"}
	default:
		if !errors.Is(err, errPanic) {
			s.logger.Error("a call failed", "method", method, "err", err)
		}
		return &rpc.Error{Code: rpc.CodeInternal, Message: "an internal error; the daemon's log has the details"}
	}
}

func busy(message string) *rpc.Error {
	return &rpc.Error{Code: rpc.CodeBusy, Message: message, Data: &rpc.ErrorData{RetryAfterMs: retryAfterMs}}
}

// withProblems names the first problem in the message, and all of them in the
// data.
func withProblems(code int, problems document.Problems) *rpc.Error {
	list := make([]rpc.Problem, len(problems))
	for i, problem := range problems {
		list[i] = rpc.Problem{Path: string(problem.Path), Text: problem.Text}
	}
	message := "invalid"
	if len(problems) > 0 {
		message = problems[0].Error()
	}
	if more := len(problems) - 1; more > 0 {
		message += fmt.Sprintf(" (and %d more)", more)
	}
	return &rpc.Error{Code: code, Message: message, Data: &rpc.ErrorData{Problems: list}}
}

// statusOf is the HTTP status that goes with a code, where HTTP is spoken without
// JSON-RPC.
func statusOf(code int) int {
	switch code {
	case rpc.CodeInvalidRequest, rpc.CodeInvalidParams, rpc.CodeInvalid:
		return http.StatusBadRequest
	case rpc.CodeForbidden:
		return http.StatusForbidden
	case rpc.CodeNotFound:
		return http.StatusNotFound
	case rpc.CodeConflict:
		return http.StatusConflict
	case rpc.CodeBusy, rpc.CodeShuttingDown:
		return http.StatusServiceUnavailable
	case rpc.CodeStorage:
		return http.StatusInsufficientStorage
	default:
		return http.StatusInternalServerError
	}
}
