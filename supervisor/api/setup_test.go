package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/jobs/logs"
	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// fakeRuns does what its fields say. A method whose field is nil panics, which
// the server makes an internal error of.
type fakeRuns struct {
	submit func(context.Context, []spec.Run) ([]jobs.Submitted, error)
	run    func(context.Context, int64) (jobs.RunDetail, error)
	list   func(ctx context.Context, before int64, limit int) ([]db.Run, error)
	wait   func(context.Context, int64) (jobs.Outcome, error)
	cancel func(context.Context, int64) (jobs.Cancelled, error)
	output func(context.Context, jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error]
	log    func(ctx context.Context, job, attempt int64, tail, limit int, after string) ([]logs.Line, string, error)
	ready  func() (bool, string)
	jobs   []db.Job
}

func (f *fakeRuns) Submit(ctx context.Context, runs []spec.Run) ([]jobs.Submitted, error) {
	return f.submit(ctx, runs)
}

func (f *fakeRuns) Run(ctx context.Context, id int64) (jobs.RunDetail, error) { return f.run(ctx, id) }

func (f *fakeRuns) Runs(ctx context.Context, before int64, limit int) ([]db.Run, error) {
	return f.list(ctx, before, limit)
}

func (f *fakeRuns) Wait(ctx context.Context, id int64) (jobs.Outcome, error) { return f.wait(ctx, id) }

func (f *fakeRuns) Cancel(ctx context.Context, id int64) (jobs.Cancelled, error) {
	return f.cancel(ctx, id)
}

func (f *fakeRuns) Job(_ context.Context, id int64) (jobs.JobDetail, error) {
	for _, job := range f.jobs {
		if job.ID == id {
			return jobs.JobDetail{Job: job, Needs: []string{"fetch"}}, nil
		}
	}
	return jobs.JobDetail{}, jobs.ErrNotFound
}

func (f *fakeRuns) Jobs(context.Context, int64, int) ([]db.Job, error) { return f.jobs, nil }

func (f *fakeRuns) Output(ctx context.Context, query jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error] {
	return f.output(ctx, query)
}

func (f *fakeRuns) Log(ctx context.Context, job, attempt int64, tail, limit int, after string) ([]logs.Line, string, error) {
	return f.log(ctx, job, attempt, tail, limit, after)
}

func (f *fakeRuns) Ready() (bool, string) {
	if f.ready == nil {
		return true, ""
	}
	return f.ready()
}

func (f *fakeRuns) Stats() jobs.Stats { return jobs.Stats{Slots: 2, Started: 7} }

type fakeDB struct{}

func (fakeDB) Stats() db.Stats { return db.Stats{WAL: db.WALStats{Pages: 9}} }

// bench is a server that runs, and a client of it.
type bench struct {
	*Server
	runs   *fakeRuns
	client *client.Client
	log    *safeBuffer
	// served is what Serve has returned.
	served chan error
	// asked hears what Config.Shutdown is called with.
	asked chan bool
}

// option changes what setup makes.
type option func(*Config, *Server)

// limited sets limits.
func limited(limits Limits) option {
	return func(c *Config, s *Server) {
		if c != nil {
			c.Limits = limits
		}
	}
}

// method adds one to the table.
func method[P, R any](name string, handler func(context.Context, P) (R, error)) option {
	return func(_ *Config, s *Server) {
		if s != nil {
			s.methods[name] = define(name, "", func(_ *Server, ctx context.Context, p P) (R, error) { return handler(ctx, p) })
		}
	}
}

// setup serves on a socket of the test's own until the test ends.
func setup(t testing.TB, runs *fakeRuns, options ...option) *bench {
	t.Helper()
	b := &bench{runs: runs, log: new(safeBuffer), served: make(chan error, 1), asked: make(chan bool, 1)}
	config := Config{
		Socket: filepath.Join(privateDir(t), "rpc.sock"),
		Runs:   runs,
		DB:     fakeDB{},
		Info:   func() rpc.Info { return rpc.Info{Home: "/home", Instance: "one"} },
		Shutdown: func(leaveRunning bool) {
			select {
			case b.asked <- leaveRunning:
			default:
			}
		},
		Logger: slog.New(slog.NewTextHandler(b.log, nil)),
	}
	for _, o := range options {
		o(&config, nil)
	}
	server, err := Listen(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		o(nil, server)
	}
	b.Server = server
	b.client = client.New(config.Socket)
	go func() { b.served <- server.Serve() }()
	t.Cleanup(func() {
		b.client.Close()
		b.end(t)
	})
	return b
}

// end shuts the server down; it must leave nothing.
func (b *bench) end(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	select {
	case err := <-b.served:
		b.served <- err
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	case <-ctx.Done():
		t.Error("Serve has not returned")
	}
	if _, err := os.Lstat(b.config.Socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// privateDir is a directory like a home, ours alone. Its path is short: that of a
// socket has 107 bytes, and t.TempDir has the name of the test in it.
func privateDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// do sends one HTTP request on a connection of its own.
func (b *bench) do(t testing.TB, method, target string, body io.Reader) (*http.Response, string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.config.Socket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://x"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: cannot read the answer: %v", method, target, err)
	}
	return response, string(text)
}

// post sends a body to /rpc and answers the body of the answer.
func (b *bench) post(t testing.TB, body string) string {
	t.Helper()
	_, text := b.do(t, http.MethodPost, rpc.Path, strings.NewReader(body))
	return text
}

// call makes one JSON-RPC call and answers it decoded.
func (b *bench) call(t testing.TB, method, params string) rpc.Response {
	t.Helper()
	text := b.post(t, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+cmp.Or(params, "{}")+`}`)
	var response rpc.Response
	if err := json.Unmarshal([]byte(text), &response); err != nil {
		t.Fatalf("%s answered %q: %v", method, text, err)
	}
	return response
}

// refusal is the error of a call that must fail.
func (b *bench) refusal(t testing.TB, method, params string) *rpc.Error {
	t.Helper()
	response := b.call(t, method, params)
	if response.Error == nil {
		t.Fatalf("%s %s succeeded: %s", method, params, response.Result)
	}
	return response.Error
}

// dial makes a bare connection.
func (b *bench) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", b.config.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// safeBuffer is a buffer that several write into.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
