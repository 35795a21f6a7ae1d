package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ClientOptions say where the executor of a home is, how to start one, and what
// the daemon knows already.
type ClientOptions struct {
	// Home is the directory with executor.sock, executor.lock, executor.log and
	// the directories journal and logs.
	Home string
	// Command starts an executor: an absolute path and arguments, such as
	// ["/proc/self/exe", "executor"]. Appended are "--home HOME --after-epoch N
	// --ready-fd FD".
	Command []string
	// AfterEpoch is the highest epoch the daemon has ever heard of: an executor
	// started here uses greater ones, even if the journal was lost.
	AfterEpoch uint64
	// Positions are the numbers of the last events applied, by epoch; the
	// executor sends what comes after them.
	Positions map[uint64]uint64
	// AnswerTimeout is how long an executor may say nothing while somebody
	// attaches; default DefaultAnswerTimeout.
	AnswerTimeout time.Duration
	// Logger is told of starts of executors; default slog.Default.
	Logger *slog.Logger
}

// DefaultAnswerTimeout is some thousand times what an executor needs to answer
// on an idle machine: who is silent for so long does not hang for want of time.
const DefaultAnswerTimeout = 10 * time.Second

// Info is who the executor is.
type Info struct {
	PID       int
	StartedAt time.Time
	Version   string
	Protocol  uint32
	BootID    string
	// Loops is how many event loops it has, Epochs the epoch of each.
	Loops  int
	Epochs []uint64
}

// Attached is what the executor knew when the daemon attached.
type Attached struct {
	Info Info
	// Whole says that the journals of all former executors are: an attempt whose
	// token is in no event and not in Live was never started.
	Whole bool
	// Events are those after the positions, earlier epochs first, in order within
	// each epoch.
	Events []Event
	// Live are the attempts it holds now.
	Live []Live
}

// ErrDetached is the answer of a [Client] that is closed, or whose executor is
// gone: what was asked for may or may not have reached it. A new Attach tells.
var ErrDetached = errors.New("detached from the executor")

// ErrBacklog is the answer to an order or a stop that an executor which reads
// nothing leaves no room for. Nothing of it was kept; the executor should be
// taken for hanging.
var ErrBacklog = errors.New("the executor does not take what it is sent")

// UnansweredError says that an executor holds the home but cannot be talked to.
// There is never a second one: two would start everything twice.
type UnansweredError struct {
	// PID is the process that holds the lock, as it says there; 0 if it does not.
	PID  int
	Home string
	Err  error
}

func (e *UnansweredError) Error() string {
	return fmt.Sprintf("executor (pid %d) holds %s but does not answer: %v; "+
		"if it hangs, end it with kill -9 %d: its children live on and the next executor finds them",
		e.PID, lockPath(e.Home), e.Err, e.PID)
}

func (e *UnansweredError) Unwrap() error { return e.Err }

// ProtocolError says that the running executor speaks another version of the
// protocol.
type ProtocolError struct {
	PID           int
	Version       string
	Theirs, Ours  uint32
	TheirsFailure string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("executor %s (pid %d) speaks protocol %d, this daemon %d: "+
		"let the daemon of the other version end its runs, or end that executor when it has none: %s",
		e.Version, e.PID, e.Theirs, e.Ours, e.TheirsFailure)
}

// Client is the daemon's side of the executor: one connection to each of its
// event loops. Its methods may be called by several goroutines. Only Serve
// waits; the others leave their message to a goroutine that sends whatever is
// there with one system call.
type Client struct {
	links   []*link
	senders sync.WaitGroup

	ending sync.Once
	cause  error // why it has ended; nil after Close
}

// Serve hands over what happens from now on, until the connection ends or Close
// is called, and answers why it ended: nil after Close. It is called once. The
// handler gets the events that one reading brought, and owns the slice; it is
// called by one goroutine for each loop, in order within an epoch. While it
// does not return the executor keeps that loop's events in its journal.
func (c *Client) Serve(ctx context.Context, handle func([]Event)) error {
	stop := context.AfterFunc(ctx, func() { c.leave(context.Cause(ctx)) })
	defer stop()
	var receivers sync.WaitGroup
	for _, l := range c.links {
		receivers.Go(func() { c.lose(l.receive(handle)) })
	}
	receivers.Wait()
	c.senders.Wait()
	return c.cause
}

// Start orders the start of an attempt. It does not wait: that the order was
// taken is known from the attempt's events.
func (c *Client) Start(o Order) error {
	if err := push(c.link(o.Attempt), frameOrder, appendOrder, &o); err != nil {
		return fmt.Errorf("cannot order the start of attempt %d: %w", o.Attempt, err)
	}
	return nil
}

// Stop asks for the end of an attempt. For an attempt the executor does not hold
// nothing happens: its exit is among the events.
func (c *Client) Stop(s Stop) error {
	if err := push(c.link(s.Attempt), frameStop, appendStop, s); err != nil {
		return fmt.Errorf("cannot order the end of attempt %d: %w", s.Attempt, err)
	}
	return nil
}

// Ack says that every event of an epoch up to number is applied and on disk, so
// that the executor may forget it. It is sent with the next order or after a
// moment; only the newest of an epoch is.
func (c *Client) Ack(epoch, number uint64) error {
	// The events of former executors are in the care of the first loop.
	to := c.links[0]
	for _, l := range c.links {
		if l.welcome.epoch == epoch {
			to = l
		}
	}
	if err := to.pushAck(ack{epoch: epoch, number: number}); err != nil {
		return fmt.Errorf("cannot acknowledge events: %w", err)
	}
	return nil
}

// Shutdown asks the executor to end itself as soon as it has no children. Each
// loop is told, behind what was ordered from it before, which is still carried
// out. A daemon that attaches before the end takes the wish back: it needs the
// executor.
func (c *Client) Shutdown() error {
	for _, l := range c.links {
		if err := push(l, frameShutdown, appendNothing, struct{}{}); err != nil {
			return fmt.Errorf("cannot shut the executor down: %w", err)
		}
	}
	return nil
}

func appendNothing(b []byte, _ struct{}) []byte { return b }

// Close detaches: what was accepted before is still sent if the executor takes
// it within a second; the executor and its children stay. It may be called
// twice.
func (c *Client) Close() error {
	c.leave(nil)
	return nil
}

// leave ends the client because we want to: the executor is well, so what was
// accepted before is still sent.
func (c *Client) leave(why error) {
	if why != nil {
		why = fmt.Errorf("%w: %w", ErrDetached, why)
	}
	c.end(why)
	c.senders.Wait()
	c.disconnect()
}

// link answers the connection to the loop an attempt belongs to.
func (c *Client) link(attempt int64) *link {
	return c.links[loopOf(attempt, len(c.links))]
}

// lose ends the client because of an error; whoever is first names the cause.
func (c *Client) lose(err error) {
	c.end(fmt.Errorf("%w: %w", ErrDetached, err))
	c.disconnect()
}

// end makes everything that is asked for from now on be refused.
func (c *Client) end(cause error) {
	c.ending.Do(func() {
		c.cause = cause
		for _, l := range c.links {
			l.end(cmp.Or(cause, ErrDetached))
		}
	})
}

func (c *Client) disconnect() {
	for _, l := range c.links {
		// An error of closing says that it is closed already.
		_ = l.conn.Close()
	}
}
