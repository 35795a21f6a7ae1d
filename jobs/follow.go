package jobs

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/heroproc/heroproc/jobs/logs"
)

// followShare is how much longer than it took to look at a run a follower waits
// before it looks again: it takes at most a tenth of one reader, however large
// the run is and however fast its jobs end.
const followShare = 10

// follow reads what there is and goes on with what comes: the run's bell says
// when to look for further attempts, and each of them that still writes has a
// follower of its own.
func (o *output) follow(ctx context.Context) error {
	watch := o.runner.rec.watchers.add(o.run, false)
	defer o.runner.rec.watchers.remove(o.run, watch)
	ctx, cancel := context.WithCancel(ctx)
	f := &followers{output: o, lines: make(chan followed), attempts: make(map[int64]*follower), last: make(map[int64]chan struct{})}
	defer f.parts.Wait()
	defer cancel()

	stopped := o.runner.stopped
	for last := false; ; {
		began := time.Now()
		sources, final, err := o.sources(ctx)
		if err != nil {
			return err
		}
		for i := range sources {
			if err := f.take(ctx, &sources[i]); err != nil || o.left {
				return err
			}
		}
		if last && !final {
			return ErrStopping
		}
		rest := time.NewTimer(followShare * time.Since(began))
		for looking := false; !looking; {
			if final && f.open == 0 {
				return nil
			}
			var bell chan struct{}
			if rest == nil {
				bell = watch.bell
			}
			select {
			case one := <-f.lines:
				if err := f.pass(one); err != nil || o.left {
					return err
				}
			case <-timerOf(rest):
				rest = nil
			case <-bell:
				looking = true
			case <-stopped:
				// What ended with the daemon is on disk by now: one more look.
				stopped, looking, last = nil, true, true
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// timerOf is the timer's channel, or one on which nothing comes.
func timerOf(t *time.Timer) <-chan time.Time {
	if t == nil {
		return nil
	}
	return t.C
}

// followers are the attempts of one reading that still write. Their goroutines
// end with the context, and what they read meets in one channel.
type followers struct {
	*output
	parts    sync.WaitGroup
	lines    chan followed
	attempts map[int64]*follower
	// last is closed when the latest attempt of a job, by the job's id, has been
	// read to its end, so that a job's attempts are shown one after the other.
	last map[int64]chan struct{}
	// open counts those that have not been read to their end.
	open int
}

// follower is one attempt of those.
type follower struct {
	ended chan logs.Place
	told  bool
}

// followed is a line, an error, or the end of one attempt.
type followed struct {
	line OutputLine
	err  error
	done bool
}

// take begins with an attempt that was not seen before, or tells its follower
// that it has ended. What had ended before it was first seen is read at once.
func (f *followers) take(ctx context.Context, s *source) error {
	if known := f.attempts[s.attempt.ID]; known != nil {
		if s.ended() && !known.told {
			known.told = true
			known.ended <- s.place
		}
		return nil
	}
	one := &follower{ended: make(chan logs.Place, 1)}
	f.attempts[s.attempt.ID] = one
	if s.ended() && f.last[s.job.ID] == nil {
		one.told = true
		return f.readAll(ctx, []source{*s})
	}
	if s.ended() {
		one.told = true
		one.ended <- s.place
	}
	before, done := f.last[s.job.ID], make(chan struct{})
	f.last[s.job.ID] = done
	f.open++
	f.parts.Go(func() {
		defer close(done)
		if before != nil {
			select {
			case <-before:
			case <-ctx.Done():
			}
		}
		for line, err := range f.runner.logs.Follow(ctx, f.logQuery(s), one.ended) {
			line.Text = slices.Clone(line.Text) // the reader's own only until its next
			if !f.send(ctx, followed{line: s.line(line), err: err}) {
				return
			}
		}
		f.send(ctx, followed{done: true})
	})
	return nil
}

func (f *followers) send(ctx context.Context, one followed) bool {
	select {
	case f.lines <- one:
		return true
	case <-ctx.Done():
		return false
	}
}

// pass hands on what a follower read.
func (f *followers) pass(one followed) error {
	switch {
	case one.err != nil:
		return one.err
	case one.done:
		f.open--
	default:
		f.left = !f.yield(one.line, nil)
	}
	return nil
}
