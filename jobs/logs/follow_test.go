package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// follow collects what a follower gets.
func (b *bench) follow(ctx context.Context, q Query, ended <-chan Place) (lines []kept, err error) {
	for line, err := range b.reader.Follow(ctx, q, ended) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, keep(line))
	}
	return lines, nil
}

// watches is how many directories are watched, and for how many followers.
func (b *bench) watches() (dirs, followers int) {
	b.reader.watcher.mu.Lock()
	defer b.reader.watcher.mu.Unlock()
	for _, f := range b.reader.watcher.followers {
		followers += len(f)
	}
	return len(b.reader.watcher.followers), followers
}

// TestFollowersGetEverything lets many followers of several attempts read while
// the attempts go from shared segments to their own and through many of both.
func TestFollowersGetEverything(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			b := setup(t, Options{SegmentBytes: 2_000, OwnAfterBytes: random.Int64N(5_000)})
			const attempts, followersEach = 4, 3
			var outputs [attempts]*Output
			var ended [attempts]chan Place
			var got [attempts][followersEach][]kept
			var followers sync.WaitGroup
			for i := range attempts {
				// The budget is never used up. It is there for its small segments.
				outputs[i] = b.writer.Open(int64(i+1), 8*minOwnSegment, noon)
				place := outputs[i].Place()
				ended[i] = make(chan Place, followersEach)
				for j := range followersEach {
					followers.Go(func() {
						var err error
						got[i][j], err = b.follow(t.Context(), Query{Attempt: int64(i + 1), Place: place}, ended[i])
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
			var printed [attempts][]byte
			for range 400 {
				i := random.IntN(attempts)
				chunk := numbered(random.IntN(1000), random.IntN(20), 50)
				chunk = chunk[:random.IntN(len(chunk)+1)]
				outputs[i].Write(Stdout, chunk, noon)
				printed[i] = append(printed[i], chunk...)
				if random.IntN(5) == 0 {
					b.flush()
				}
			}
			// Something of every attempt's own, big enough for several segments.
			for i, o := range outputs {
				chunk := numbered(0, 4*minOwnSegment/1000, 1000)
				o.Write(Stdout, chunk, noon)
				printed[i] = append(printed[i], chunk...)
			}
			for i, o := range outputs {
				place, _, _ := o.Close(noon)
				b.flush()
				for range followersEach {
					ended[i] <- place
				}
			}
			followers.Wait()
			for i := range attempts {
				for j, lines := range got[i] {
					if out := raw(lines, Stdout); !bytes.Equal(out, printed[i]) || said(lines) != nil {
						t.Errorf("attempt %d printed %d bytes, follower %d got %d and was told %q",
							i+1, len(printed[i]), j, len(out), said(lines))
					}
				}
			}
			if dirs, followers := b.watches(); dirs != 0 || followers != 0 {
				t.Errorf("%d directories are still watched for %d followers", dirs, followers)
			}
		})
	}
}

// TestASlowFollowerIsToldWhatItMissed keeps a follower from reading while the
// budget removes what it would have read next.
func TestASlowFollowerIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	o := b.writer.Open(1, MinAttemptBudget, noon)
	ended := make(chan Place, 1)
	var printed, got, told int64
	write := func() {
		chunk := numbered(0, 10_000, 100)
		o.Write(Stdout, chunk, noon)
		b.flush()
		printed += int64(len(chunk))
	}
	o.Write(Stdout, []byte("first\n"), noon)
	b.flush()
	printed += 6
	lines := 0
	for line, err := range b.reader.Follow(t.Context(), Query{Attempt: 1, Place: o.Place()}, ended) {
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		if _, err := fmt.Sscanf(string(line.Text), "dropped %d bytes: the attempt's log budget is used up", &n); err == nil {
			told += n
		}
		got += line.outputBytes()
		// The writer runs away whenever the follower has read some lines.
		if lines++; lines%500 == 1 && lines < 5000 {
			write()
		}
		if lines == 5000 {
			place, _, _ := o.Close(noon)
			b.flush()
			ended <- place
		}
	}
	if got+told != printed || told == 0 || printed < 10*MinAttemptBudget {
		t.Errorf("got %d bytes and was told of %d, %d were printed", got, told, printed)
	}
}

func TestFollowBeginsWithTheLastLines(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	o := b.writer.Open(1, 0, noon)
	o.Write(Stdout, []byte("1\n2\n3\n"), noon)
	b.flush()
	ended := make(chan Place, 1)
	var got []string
	for line, err := range b.reader.Follow(t.Context(), Query{Attempt: 1, Place: o.Place(), Tail: 2}, ended) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, string(line.Text)); len(got) == 2 {
			o.Write(Stdout, []byte("4\n"), noon)
			place, _, _ := o.Close(noon)
			b.flush()
			ended <- place
		}
	}
	if want := "[2 3 4]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) (*bench, Query) {
		b := setup(t, Options{})
		o := b.writer.Open(1, 0, noon)
		o.Write(Stdout, []byte("one\ntwo\n"), noon)
		b.flush()
		return b, Query{Attempt: 1, Place: o.Place()}
	}
	t.Run("WithItsContext", func(t *testing.T) {
		t.Parallel()
		b, q := open(t)
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		lines := 0
		for _, err := range b.reader.Follow(ctx, q, nil) {
			if lines++; lines == 2 {
				cancel(why)
			} else if lines == 3 && !errors.Is(err, why) {
				t.Errorf("error %v", err)
			}
		}
		if lines != 3 {
			t.Errorf("%d lines and errors", lines)
		}
	})
	t.Run("WithItsReader", func(t *testing.T) {
		t.Parallel()
		b, q := open(t)
		lines := 0
		for _, err := range b.reader.Follow(t.Context(), q, nil) {
			if lines++; lines == 2 {
				if err := b.reader.Close(); err != nil {
					t.Error(err)
				}
			} else if lines == 3 && !errors.Is(err, ErrReaderClosed) {
				t.Errorf("error %v", err)
			}
		}
		if lines != 3 {
			t.Errorf("%d lines and errors", lines)
		}
	})
	t.Run("WithItsCaller", func(t *testing.T) {
		t.Parallel()
		b, q := open(t)
		for range b.reader.Follow(t.Context(), q, nil) {
			break
		}
		if dirs, followers := b.watches(); dirs != 0 || followers != 0 {
			t.Errorf("%d directories are still watched for %d followers", dirs, followers)
		}
	})
	t.Run("WithAnAttemptThatIsLost", func(t *testing.T) {
		t.Parallel()
		b, q := open(t)
		ended := make(chan Place)
		close(ended)
		lines, err := b.follow(t.Context(), q, ended)
		if err != nil || string(raw(lines, Stdout)) != "one\ntwo\n" {
			t.Errorf("lines %v, error %v", lines, err)
		}
	})
}

// writerProcessDir tells the test binary to be a writer, and where.
const writerProcessDir = "HEROPROC_TEST_WRITER_DIR"

// writerProcess writes attempt 1 and prints its final place.
func writerProcess(dir string) int {
	w, err := NewWriter(Options{Dir: dir, OwnAfterBytes: 5_000}, 1)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o := w.Open(1, 0, time.Now())
	for i := range 1000 {
		o.Write(Stdout, numbered(i*10, 10, 60), time.Now())
		if err := w.Flush(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	place, _, _ := o.Close(time.Now())
	if err := errors.Join(w.Close(), json.NewEncoder(os.Stdout).Encode(place)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestFollowAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	b := &bench{T: t, dir: dir, reader: NewReader(dir)}
	defer func() {
		if err := b.reader.Close(); err != nil {
			t.Error(err)
		}
	}()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	writer := exec.Command(self)
	writer.Env = append(os.Environ(), writerProcessDir+"="+dir)
	writer.Stderr = os.Stderr
	ended := make(chan Place, 1)
	var process sync.WaitGroup
	process.Go(func() {
		defer close(ended)
		out, err := writer.Output()
		var place Place
		if err = errors.Join(err, json.Unmarshal(out, &place)); err != nil {
			t.Error(err)
			return
		}
		ended <- place
	})
	// The place an attempt is given when it is opened as the first of its loop.
	lines, err := b.follow(t.Context(), Query{Attempt: 1, Place: Place{Epoch: 1, First: 1}}, ended)
	process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := raw(lines, Stdout), numbered(0, 10_000, 60); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %d were written", len(got), len(want))
	}
}
