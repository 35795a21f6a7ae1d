// Package rpc has the words that go over the wire: the JSON-RPC 2.0 envelope,
// the error codes, and the parameters and results of every method. Server and
// client share it, and it imports nothing heavy, so that a program which only
// calls heroproc links neither a database nor a supervisor.
//
// Ids are integers. Times are RFC 3339 with milliseconds, durations end in _ms,
// sizes in _bytes. Parameters are one JSON object; a key that a method does not
// know is refused.
package rpc

import (
	"encoding/json"
	"fmt"
)

// Version is the JSON-RPC version of every request and answer.
const Version = "2.0"

// The paths of HTTP on the socket.
const (
	// Path takes JSON-RPC requests: POST.
	Path = "/rpc"
	// HealthPath answers Health: GET.
	HealthPath = "/health"
	// OutputPath streams output, with an OutputQuery: GET.
	OutputPath = "/logs"
)

// MaxSocketPath is the longest path of a unix socket, in bytes: sun_path has
// room for 108 with the zero that ends it.
const MaxSocketPath = 107

// Codes of errors: JSON-RPC's own, and heroproc's from -32000 on.
const (
	// CodeParse: the request is not JSON in UTF-8.
	CodeParse = -32700
	// CodeInvalidRequest: it is JSON, but no request: an envelope that is wrong,
	// too large, too deep or too long a batch.
	CodeInvalidRequest = -32600
	// CodeNoMethod: no method has that name.
	CodeNoMethod = -32601
	// CodeInvalidParams: the parameters do not have the method's shape; the
	// problems say where.
	CodeInvalidParams = -32602
	// CodeInternal: a fault of heroproc's own; the daemon's log has the details.
	CodeInternal = -32603

	// CodeNotFound: no run, job or attempt has that id.
	CodeNotFound = -32000
	// CodeConflict: what is asked for contradicts what is.
	CodeConflict = -32001
	// CodeBusy: a limit was reached; the same call may succeed a moment later.
	CodeBusy = -32002
	// CodeForbidden: the caller is not one whom this daemon serves.
	CodeForbidden = -32003
	// CodeInvalid: the content of what was sent is wrong; the problems name every
	// place.
	CodeInvalid = -32004
	// CodeStorage: the disk or the database refused.
	CodeStorage = -32005
	// CodeShuttingDown: the daemon is ending and takes no more work.
	CodeShuttingDown = -32006
)

// Request is one call. A request without an id is a notification and gets no
// answer.
type Request struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params,omitempty"`
}

// Response answers one request: a result or an error.
type Response struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

// Error is why a call failed, in words for a person and a code for a program.
type Error struct {
	Code    int        `json:"code"`
	Message string     `json:"message"`
	Data    *ErrorData `json:"data,omitempty"`
}

// ErrorData is what a program may want to act on.
type ErrorData struct {
	// RetryAfterMs comes with CodeBusy.
	RetryAfterMs int64 `json:"retry_after_ms,omitempty"`
	// Problems come with CodeInvalid and CodeInvalidParams: every one of them, not
	// only the first.
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is one thing that is wrong with what was sent.
type Problem struct {
	// Path leads to the field, such as "jobs.build.timeout".
	Path string `json:"path"`
	Text string `json:"text"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// NoParams are the parameters of a method that takes none.
type NoParams struct{}
