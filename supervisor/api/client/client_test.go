package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
	"golang.org/x/sys/unix"
)

// daemon is a stand-in that answers what its handler says.
type daemon struct {
	socket string
	dir    string
	server *http.Server
	served chan struct{}
}

// startHandler serves HTTP on a socket.
func startHandler(handler http.Handler) *daemon {
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		panic(err)
	}
	d := &daemon{dir: dir, socket: filepath.Join(dir, "rpc.sock"), server: &http.Server{Handler: handler}, served: make(chan struct{})}
	listener, err := net.Listen("unix", d.socket)
	if err != nil {
		panic(err)
	}
	go func() {
		defer close(d.served)
		_ = d.server.Serve(listener)
	}()
	return d
}

func (d *daemon) stop() {
	d.server.Close()
	<-d.served
	os.RemoveAll(d.dir)
}

// startDaemon answers a run that prints hello and succeeds.
func startDaemon() *daemon {
	return startHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == rpc.OutputPath {
			fmt.Fprintln(w, "hello")
			return
		}
		body, _ := io.ReadAll(r.Body)
		result := `{"id":1,"uid":"u","state":"running"}`
		if strings.Contains(string(body), `"run.wait"`) {
			result = `{"id":1,"state":"succeeded","exit_code":0,"reason":{"code":"","text":""}}`
		}
		answerWith(w, string(body), `"result":`+result)
	}))
}

// answerWith writes an answer with the id of the request.
func answerWith(w io.Writer, request, rest string) {
	_, after, _ := strings.Cut(request, `"id":`)
	id, _, _ := strings.Cut(after, ",")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, id, rest)
}

// setup is a client of a stand-in.
func setup(t *testing.T, handle http.HandlerFunc) *client.Client {
	t.Helper()
	d := startHandler(handle)
	t.Cleanup(d.stop)
	c := client.New(d.socket)
	t.Cleanup(c.Close)
	return c
}

func TestNoDaemon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	missing := filepath.Join(dir, "missing")
	for socket, want := range map[string]string{
		missing: "cannot call system.info: no daemon answers: there is no socket " + missing,
		stale:   "cannot call system.info: no daemon answers: nobody listens on " + stale,
	} {
		_, err := client.New(socket).Info(t.Context())
		if !errors.Is(err, client.ErrNoDaemon) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := client.New(socket).Output(t.Context(), rpc.OutputQuery{Run: 1}, io.Discard); !errors.Is(err, client.ErrNoDaemon) {
			t.Errorf("Output: %v", err)
		}
		if _, err := client.New(socket).Health(t.Context()); !errors.Is(err, client.ErrNoDaemon) {
			t.Errorf("Health: %v", err)
		}
	}
}

func TestAPathThatIsTooLongSaysSo(t *testing.T) {
	t.Parallel()
	_, err := client.New("/" + strings.Repeat("x", 107)).Info(t.Context())
	if err == nil || errors.Is(err, client.ErrNoDaemon) || !strings.Contains(err.Error(), "has 108 bytes, and the kernel allows 107") {
		t.Errorf("got %v", err)
	}
}

func TestASocketOfOthersSaysSo(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may use every socket")
	}
	d := startDaemon()
	defer d.stop()
	if err := os.Chmod(d.socket, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := client.New(d.socket).Info(t.Context()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

func TestASocketWhoseQueueIsFullIsBusy(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "full")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: socket}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = client.New(socket).Info(t.Context())
	var refused *rpc.Error
	if !errors.As(err, &refused) || refused.Code != rpc.CodeBusy || refused.Data.RetryAfterMs != 100 {
		t.Errorf("got %v", err)
	}
}

func TestADaemonThatGoesAwayDuringACall(t *testing.T) {
	t.Parallel()
	c := setup(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := c.Info(t.Context()); !errors.Is(err, client.ErrNoDaemon) || !strings.Contains(err.Error(), "went away during the call") {
		t.Errorf("got %v", err)
	}
}

func TestACallerWhoGivesUp(t *testing.T) {
	t.Parallel()
	gone := errors.New("enough")
	ctx, leave := context.WithCancelCause(t.Context())
	c := setup(t, func(_ http.ResponseWriter, r *http.Request) {
		// Only a body that was read to its end lets the server notice who leaves.
		_, _ = io.Copy(io.Discard, r.Body)
		leave(gone)
		<-r.Context().Done()
	})
	if _, err := c.Info(ctx); !errors.Is(err, gone) || errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("got %v", err)
	}
}

func TestAnswersThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no JSON":          "<html>",
		"another's answer": `{"jsonrpc":"2.0","id":99,"result":{}}`,
		"another type":     `{"jsonrpc":"2.0","id":1,"result":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
			if _, err := c.Info(t.Context()); err == nil {
				t.Error("it was believed")
			}
			if _, err := c.Health(t.Context()); err == nil {
				t.Error("it was believed to be health")
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := setup(t, func(w http.ResponseWriter, r *http.Request) {
		const refusal = `{"code":-32002,"message":"busy","data":{"retry_after_ms":100}}`
		w.WriteHeader(http.StatusServiceUnavailable)
		if r.URL.Path != rpc.Path {
			_, _ = io.WriteString(w, refusal)
			return
		}
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":`+refusal+`}`)
	})
	_, info := c.Info(t.Context())
	_, health := c.Health(t.Context())
	output := c.Output(t.Context(), rpc.OutputQuery{Run: 1}, io.Discard)
	for name, err := range map[string]error{"info": info, "health": health, "output": output} {
		var refused *rpc.Error
		if !errors.As(err, &refused) || refused.Code != rpc.CodeBusy || refused.Data.RetryAfterMs != 100 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOutputThatIsCut(t *testing.T) {
	t.Parallel()
	c := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "one")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	var got strings.Builder
	if err := c.Output(t.Context(), rpc.OutputQuery{Run: 1}, &got); !errors.Is(err, client.ErrCut) || got.String() != "one\n" {
		t.Errorf("got %q, %v", got.String(), err)
	}
}

func TestWaitGoesOnWhileTheRunRuns(t *testing.T) {
	t.Parallel()
	calls := 0
	c := setup(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, _ := io.ReadAll(r.Body)
		if calls < 3 {
			answerWith(w, string(body), `"result":{"id":1,"state":"running","reason":{}}`)
			return
		}
		answerWith(w, string(body), `"result":{"id":1,"state":"failed","exit_code":7,"reason":{}}`)
	})
	result, err := c.Wait(t.Context(), 1)
	if err != nil || *result.ExitCode != 7 || calls != 3 {
		t.Errorf("after %d calls: %+v, %v", calls, result, err)
	}
}

func TestManyCallersShareAClient(t *testing.T) {
	t.Parallel()
	c := setup(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answerWith(w, string(body), `"result":{"home":"/h"}`)
	})
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 50 {
				if info, err := c.Info(t.Context()); err != nil || info.Home != "/h" {
					t.Errorf("got %+v, %v", info, err)
					return
				}
			}
		})
	}
	callers.Wait()
}

func TestParametersThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	err := client.New("/nowhere").Call(t.Context(), "x", make(chan int), nil)
	if err == nil || errors.Is(err, client.ErrNoDaemon) || errors.Is(err, syscall.ENOENT) {
		t.Errorf("got %v", err)
	}
}
