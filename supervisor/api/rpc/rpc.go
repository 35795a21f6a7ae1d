// Package rpc has the words that go over the wire: the JSON-RPC 2.0 envelope,
// the error codes, and the parameters and results of every method. Server and
// client share it, and it imports nothing heavy, so that a program which only
// calls heroproc links neither a database nor a supervisor.
package rpc

import (
	"encoding/json"
	"fmt"
)

// Version is the JSON-RPC version of every request and answer.
const Version = "2.0"

// Codes of errors: JSON-RPC's own, and heroproc's from -32000 on.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeNoMethod       = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603

	CodeNotFound     = -32000
	CodeConflict     = -32001
	CodeBusy         = -32002
	CodeForbidden    = -32003
	CodeInvalid      = -32004
	CodeStorage      = -32005
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
	// Problems come with CodeInvalid: every one of them, not only the first.
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is one thing that is wrong with what was sent.
type Problem struct {
	// Path leads to the field, such as "jobs.build.timeout".
	Path string `json:"path"`
	Text string `json:"text"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }
