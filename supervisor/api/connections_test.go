package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/heroproc/heroproc/jobs"
	"golang.org/x/sys/unix"
)

// TestFailure43_ThousandsOfConnections: 5,000 connections on which nothing is
// asked neither fill the server nor keep 200 callers out.
func TestFailure43_ThousandsOfConnections(t *testing.T) {
	const idle, callers = 5000, 200
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < idle+2000 {
		t.Skipf("only %d files may be open: %v", limit.Cur, err)
	}
	b := setup(t, &fakeRuns{})
	most := b.limits.Connections
	for range idle {
		dialSoon(t, b)
		if open, _ := b.connections.count(); open > most {
			t.Fatalf("%d connections are open, and may be %d", open, most)
		}
	}
	// The kernel lets connections in by their order: when this one is answered, all
	// those before it were accepted.
	last := dialSoon(t, b)
	if _, err := io.WriteString(last, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(last), nil); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range 5 {
				if _, err := b.client.Info(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	stats, err := b.client.Stats(t.Context())
	if err != nil || stats.API.Connections > most || stats.API.Evicted < idle-uint64(most) {
		t.Errorf("got %+v, %v", stats.API, err)
	}
}

// dialSoon connects as soon as the kernel's queue has room: while it has not, the
// server is behind with accepting.
func dialSoon(t *testing.T, b *bench) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", b.config.Socket)
	for errors.Is(err, syscall.EAGAIN) {
		runtime.Gosched()
		conn, err = net.Dial("unix", b.config.Socket)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestAConnectionWaitsForRoom(t *testing.T) {
	t.Parallel()
	began, finish := make(chan struct{}, 2), make(chan struct{})
	b := setup(t, &fakeRuns{cancel: func(context.Context, int64) (jobs.Cancelled, error) {
		began <- struct{}{}
		<-finish
		return jobs.Cancelled{}, nil
	}}, limited(Limits{Connections: 2, Waits: 1}))
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() {
			if _, err := b.client.Cancel(t.Context(), 1); err != nil {
				t.Error(err)
			}
		})
		<-began
	}
	// Both connections are at work: the third is let in when one of them is not.
	third := b.dial(t)
	if _, err := io.WriteString(third, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	close(finish)
	response, err := http.ReadResponse(bufio.NewReader(third), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v", response, err)
	}
	callers.Wait()
}

func TestLargeRequestsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	began, finish := make(chan struct{}, 2), make(chan struct{})
	b := setup(t, &fakeRuns{cancel: func(context.Context, int64) (jobs.Cancelled, error) {
		began <- struct{}{}
		<-finish
		return jobs.Cancelled{}, nil
	}}, limited(Limits{LargeRequests: 1, CallTimeout: 50 * time.Millisecond}))
	large := strings.Repeat(" ", smallBytes) + `{"jsonrpc":"2.0","id":1,"method":"run.cancel","params":{"id":1}}`
	answer := make(chan string)
	go func() { answer <- b.post(t, large) }()
	<-began
	const want = `{"jsonrpc":"2.0","id":null,"error":{"code":-32002,"message":"1 large requests are being worked on already","data":{"retry_after_ms":100}}}`
	if got := b.post(t, large); got != want {
		t.Errorf("the second got %s", got)
	}
	if _, err := b.client.Info(t.Context()); err != nil {
		t.Errorf("a small one got %v", err)
	}
	close(finish)
	if got := <-answer; !strings.Contains(got, `"result"`) {
		t.Errorf("the first got %s", got)
	}
	if got := b.post(t, large); !strings.Contains(got, `"result"`) {
		t.Errorf("the third got %s", got)
	}
}

// TestFailure44_Slowloris: who sends a request byte by byte, or not at all, is
// given up.
func TestFailure44_Slowloris(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, sent, want string
	}{
		{"nothing is sent", "", ""},
		{"half a header is sent", "POST /rpc HTTP/1.1\r\nHost: x\r\nContent-", ""},
		{
			"half a body is sent", "POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"jsonrpc\":",
			"the request did not arrive whole",
		},
		{"nothing is sent after a call", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", `{"status":"ready"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			short := 50 * time.Millisecond
			b := setup(t, &fakeRuns{}, limited(Limits{HeaderTimeout: short, BodyTimeout: short, IdleTimeout: short}))
			conn := b.dial(t)
			if _, err := io.WriteString(conn, test.sent); err != nil {
				t.Fatal(err)
			}
			// ReadAll returns when the server has closed the connection.
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.Contains(string(answer), test.want) {
				t.Errorf("got %q, %v", answer, err)
			}
		})
	}
}

func TestAnHugeHeaderIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{})
	conn := b.dial(t)
	go func() {
		// The server stops reading before the end; then writing fails.
		_, _ = fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 4<<20))
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %v, %v", response, err)
	}
}
