package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"syscall"

	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// What a caller may act on, beside the *rpc.Error of a daemon that refuses.
var (
	// ErrNoDaemon: no daemon answers on the socket. There is none, or it went away
	// during the call, which may then have taken effect or not.
	ErrNoDaemon = errors.New("no daemon answers")
	// ErrCut: a stream of output ended before its end, because the daemon went
	// away, is stopping, or could not read on. What was copied before is right.
	ErrCut = errors.New("the output was cut off: the daemon went away or could not read on")
)

// dialAgainMs is what a caller is told to wait when the socket's queue is full:
// it holds some thousand connections, and the daemon lets in tens of thousands a
// second.
const dialAgainMs = 100

// lostError names the socket in a transport's error and tells what would help.
func lostError(socket string, err error) error {
	if request := new(url.Error); errors.As(err, &request) {
		// It begins with a URL, and on a unix socket that tells nothing.
		err = request.Err
	}
	switch {
	case len(socket) > rpc.MaxSocketPath:
		return fmt.Errorf("the socket path %s has %d bytes, and the kernel allows %d: use a shorter home",
			socket, len(socket), rpc.MaxSocketPath)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no socket %s", ErrNoDaemon, socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on %s", ErrNoDaemon, socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may be used only by its owner: %w", socket, fs.ErrPermission)
	case errors.Is(err, syscall.EAGAIN):
		// The kernel says for the daemon what the daemon would say itself.
		return &rpc.Error{
			Code:    rpc.CodeBusy,
			Message: fmt.Sprintf("more programs connect to %s than the daemon can let in; try again", socket),
			Data:    &rpc.ErrorData{RetryAfterMs: dialAgainMs},
		}
	case isDial(err):
		return fmt.Errorf("cannot connect to %s: %w", socket, err)
	default:
		return fmt.Errorf("%w: the one on %s went away during the call: %w", ErrNoDaemon, socket, err)
	}
}

// isDial tells whether a connection was never made.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// httpError reads the error that a path other than /rpc answers.
func httpError(status string, text []byte) error {
	refused := new(rpc.Error)
	if err := json.Unmarshal(text, refused); err != nil || refused.Code == 0 {
		return fmt.Errorf("cannot understand the answer: HTTP %s", status)
	}
	return refused
}
