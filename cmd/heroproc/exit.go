package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// Exit codes that scripts may rely on. Besides them `submit --wait` and `run
// wait` exit with the code of the run.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2 // wrong usage or bad input, also a file that is not there
	exitNotFound    = 3
	exitNoDaemon    = 4
	exitBusy        = 5 // try again
	exitConflict    = 6 // a state does not allow it
	exitTimeout     = 124
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// exitCode is the one mapping from errors to exit codes.
func exitCode(err error) int {
	var (
		run      *runError
		answer   *rpc.Error
		wrong    *usageError
		problems document.Problems
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &run):
		return run.code
	case errors.As(err, &answer):
		return answerCode(answer.Code)
	case errors.As(err, &wrong), errors.As(err, &problems):
		return exitUsage
	case errors.Is(err, client.ErrNoDaemon):
		return exitNoDaemon
	case errors.Is(err, errWaitedTooLong):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		return exitFailed
	}
}

// answerCode is the exit code for an error that the daemon answered.
func answerCode(code int) int {
	switch code {
	case rpc.CodeInvalidParams, rpc.CodeInvalid, rpc.CodeInvalidRequest, rpc.CodeNoMethod:
		return exitUsage
	case rpc.CodeShuttingDown:
		return exitNoDaemon
	case rpc.CodeNotFound:
		return exitNotFound
	case rpc.CodeBusy:
		return exitBusy
	case rpc.CodeConflict:
		return exitConflict
	default:
		return exitFailed
	}
}

// errWaitedTooLong ends a wait that had a limit of its own.
var errWaitedTooLong = errors.New("waited too long")

// runError says that a run did not end well; its code is the command's.
type runError struct {
	code int
	text string
}

func (e *runError) Error() string { return e.text }

// usageError is a command line, an environment or a file that cannot be meant.
type usageError struct {
	err error
	// command is what to ask for help about; empty where help would not help.
	command string
}

func (e *usageError) Error() string {
	if e.command == "" {
		return e.err.Error()
	}
	return fmt.Sprintf("%s (see: %s --help)", e.err, e.command)
}

func (e *usageError) Unwrap() error { return e.err }

// usage says what is wrong with a command line, and which help to read.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), command: cmd.CommandPath()}
}

// badInput says what is wrong with something other than the command line.
func badInput(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// errorMessage is what to say about err after "heroproc: "; empty when there is
// nothing to say. Problems are given one a line.
func errorMessage(err error) string {
	var (
		answer      *rpc.Error
		interrupted *interruptedError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &interrupted):
		return interrupted.Error()
	case errors.As(err, &answer):
		return answerMessage(answer)
	case errors.Is(err, context.Canceled):
		return "interrupted"
	default:
		return err.Error()
	}
}

func answerMessage(answer *rpc.Error) string {
	if answer.Data == nil || len(answer.Data.Problems) == 0 {
		return answer.Message
	}
	lines := make([]string, 0, len(answer.Data.Problems))
	for _, problem := range answer.Data.Problems {
		if problem.Path == "" {
			lines = append(lines, problem.Text)
		} else {
			lines = append(lines, problem.Path+": "+problem.Text)
		}
	}
	return strings.Join(lines, "\n")
}
