package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// executorLogName is the file an executor's standard output and error go to;
	// beyond executorLogBytes the next executor begins a new one and keeps the old
	// one under executorLogOld.
	executorLogName  = "executor.log"
	executorLogOld   = "executor.log.1"
	executorLogBytes = 1 << 20
	// complaintBytes is how much of its last words a failed start is reported
	// with.
	complaintBytes = 2 << 10
	// readyFD is the descriptor of the readiness pipe in the new process: the
	// first after the standard ones.
	readyFD = 3
)

// spawned is an executor that this process has started. It belongs to itself:
// whoever started it may go at any time.
type spawned struct {
	pid     int
	logPath string
	logFrom int64         // where its own lines begin
	gone    chan struct{} // closed when it has ended
	state   *os.ProcessState
}

// spawn starts an executor in a session of its own and waits until it says that
// it listens, or cannot say anything any more. Its zombie is taken care of for
// as long as this process lives.
func spawn(ctx context.Context, o ClientOptions) (*spawned, error) {
	if len(o.Command) == 0 {
		return nil, errors.New("cannot start an executor: no command is given")
	}
	log, err := openExecutorLog(o.Home)
	if err != nil {
		return nil, fmt.Errorf("cannot start an executor: %w", err)
	}
	defer log.Close()
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("cannot start an executor: %w", err)
	}
	ready, readyWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start an executor: %w", err)
	}
	defer ready.Close()

	after := o.AfterEpoch
	for epoch := range o.Positions {
		after = max(after, epoch)
	}
	command := exec.Command(o.Command[0], append(o.Command[1:len(o.Command):len(o.Command)],
		"--home", o.Home,
		"--after-epoch", strconv.FormatUint(after, 10),
		"--ready-fd", strconv.Itoa(readyFD))...)
	command.Dir = "/" // it outlives us, and must hold nobody's directory
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{readyWriter}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = command.Start()
	readyWriter.Close() // so that the pipe ends with the executor
	if err != nil {
		return nil, fmt.Errorf("cannot start an executor: %w", err)
	}
	s := &spawned{pid: command.Process.Pid, logPath: log.Name(), logFrom: from, gone: make(chan struct{})}
	go func() {
		defer close(s.gone)
		_ = command.Wait() // what it says is in ProcessState
		s.state = command.ProcessState
	}()
	o.Logger.Info("started an executor", "pid", s.pid)
	return s, s.awaitReady(ctx, ready, o)
}

// awaitReady returns nil also when the pipe ends without a word: whether there
// is an executor then, its lock tells.
func (s *spawned) awaitReady(ctx context.Context, ready *os.File, o ClientOptions) error {
	if err := ready.SetReadDeadline(time.Now().Add(o.AnswerTimeout)); err != nil {
		return fmt.Errorf("cannot wait for executor %d: %w", s.pid, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := ready.Read(make([]byte, 1))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("it was started %v ago and does not listen yet", o.AnswerTimeout)
		return &UnansweredError{PID: s.pid, Home: o.Home, Err: err}
	}
	return nil
}

// failure says why there is no executor although this one was started.
func (s *spawned) failure(ctx context.Context, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.gone:
	case <-timer.C:
		return fmt.Errorf("executor %d runs but does not hold the lock; its last words: %s", s.pid, s.lastWords())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return fmt.Errorf("executor %d ended at once (%v); its last words: %s", s.pid, s.state, s.lastWords())
}

// lastWords answers the end of what the executor has logged.
func (s *spawned) lastWords() string {
	f, err := os.Open(s.logPath)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err.Error()
	}
	from := max(s.logFrom, end-complaintBytes)
	text, err := io.ReadAll(io.NewSectionReader(f, from, end-from))
	if err != nil {
		return err.Error()
	}
	if words := strings.ToValidUTF8(strings.TrimSpace(string(text)), "?"); words != "" {
		return words
	}
	return "none; see " + s.logPath
}

// openExecutorLog opens the file executors complain to, and sets a large one
// aside.
func openExecutorLog(home string) (*os.File, error) {
	path := filepath.Join(home, executorLogName)
	if info, err := os.Lstat(path); err == nil && info.Size() > executorLogBytes {
		if err := os.Rename(path, filepath.Join(home, executorLogOld)); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
}
