package executor

import (
	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/jobs/logs"
)

// stream is our end of the pipe that a child writes its stdout or stderr to.
type stream struct {
	fd    int // -1 when it is closed, or never was
	watch handle
	// big: the pipe was made larger, because its child writes much.
	big bool
	// tail is the last of what was read; kept for stderr only.
	tail []byte
}

const (
	// readBytes is how much one wake-up reads from one pipe at most, so that a
	// child that floods us starves no other.
	readBytes = 256 << 10
	// bigPipeBytes is the size of the pipe of a child that writes much: it was
	// measured to move 1.4 times as much as the usual 64 KiB. It is also what an
	// unprivileged process may ask for.
	bigPipeBytes = 1 << 20
	// smallPipeBytes is the size a pipe begins with.
	smallPipeBytes = 64 << 10
	// tailBytes is how much of stderr is kept with a failed attempt.
	tailBytes = 4 << 10
)

// open makes the pipe and answers the child's end.
func (s *stream) open() (childEnd int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return -1, err
	}
	// Only ours: each end has flags of its own, and children expect to block.
	if _, err := unix.FcntlInt(uintptr(ends[0]), unix.F_SETFL, unix.O_NONBLOCK); err != nil {
		closeAll(ends[:])
		return -1, err
	}
	s.fd = ends[0]
	return ends[1], nil
}

// watchStreams makes the loop hear of output. If the kernel refuses for the
// moment, it is tried again.
func (l *loop) watchStreams(c *child) {
	for i := range c.streams {
		s := &c.streams[i]
		if s.fd < 0 || s.watch != 0 {
			continue
		}
		h, err := l.poller.add(s.fd, unix.EPOLLIN, source{role: roleStdout + role(i), child: c})
		if err != nil {
			l.log.Error("cannot watch output", "attempt", c.order.Attempt, "pid", c.main.PID, "err", err)
			l.timers.arm(&c.young, l.now.Add(retryPause))
			return
		}
		s.watch = h
	}
}

// read moves what is in the pipe to the log, once. It answers false when the
// pipe is empty for now, or has been closed because nobody holds its other end.
func (l *loop) read(c *child, i int) bool {
	s := &c.streams[i]
	if s.fd < 0 {
		return false
	}
	n, err := unix.Read(s.fd, l.buffer)
	switch {
	case err == unix.EAGAIN:
		return false
	case err == unix.EINTR:
		return true
	case err != nil || n == 0:
		l.closeStream(s)
		return false
	}
	chunk := l.buffer[:n]
	c.output.Write(logs.Stdout+logs.Stream(i), chunk, l.now)
	if i == 1 {
		s.keepTail(chunk)
	}
	if n >= smallPipeBytes && !s.big {
		// A refusal (the user's pipes are too many already) costs only speed.
		_, _ = unix.FcntlInt(uintptr(s.fd), unix.F_SETPIPE_SZ, bigPipeBytes)
		s.big = true
	}
	return true
}

// readDry reads what is in the pipes now. It is bounded, since somebody may be
// writing at the same time: everything that was in a pipe when it is called
// fits into that.
func (l *loop) readDry(c *child) {
	for i := range c.streams {
		for range 2 + bigPipeBytes/readBytes {
			if !l.read(c, i) {
				break
			}
		}
	}
}

// held tells whether somebody may still write to the child's pipes.
func (c *child) held() bool {
	return c.streams[0].fd >= 0 || c.streams[1].fd >= 0
}

func (l *loop) closeStreams(c *child) {
	for i := range c.streams {
		l.closeStream(&c.streams[i])
	}
}

func (l *loop) closeStream(s *stream) {
	if s.fd < 0 {
		return
	}
	l.poller.remove(s.fd, s.watch)
	unix.Close(s.fd)
	s.fd, s.watch = -1, 0
}

// keepTail keeps the last tailBytes of all chunks.
func (s *stream) keepTail(chunk []byte) {
	if len(chunk) >= tailBytes {
		s.tail = append(s.tail[:0], chunk[len(chunk)-tailBytes:]...)
		return
	}
	if over := len(s.tail) + len(chunk) - tailBytes; over > 0 {
		s.tail = append(s.tail[:0], s.tail[over:]...)
	}
	s.tail = append(s.tail, chunk...)
}
