package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/jobs/logs"
	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// Runs is what the API asks of the floor below; *jobs.Runner is one. Its errors
// are those of package jobs, document.Problems, and those of package db.
type Runs interface {
	// Submit stores runs, all or none, and returns when they are on disk.
	Submit(ctx context.Context, runs []spec.Run) ([]jobs.Submitted, error)
	// Run shows a run with everything below it.
	Run(ctx context.Context, id int64) (jobs.RunDetail, error)
	// Runs lists runs before an id, newest first; before 0 begins with the newest.
	Runs(ctx context.Context, before int64, limit int) ([]db.Run, error)
	// Wait returns when the run is final, or, with how it stands, when ctx ends.
	Wait(ctx context.Context, id int64) (jobs.Outcome, error)
	// Cancel ends what is not final of a run.
	Cancel(ctx context.Context, id int64) (jobs.Cancelled, error)
	// Job shows a job with its attempts.
	Job(ctx context.Context, id int64) (jobs.JobDetail, error)
	// Jobs lists jobs before an id, newest first; before 0 begins with the newest.
	Jobs(ctx context.Context, before int64, limit int) ([]db.Job, error)
	// Output yields lines until the end, an error, or the end of ctx.
	Output(ctx context.Context, query jobs.OutputQuery) iter.Seq2[jobs.OutputLine, error]
	// Log reads a page of a job's output, and where the next page begins.
	Log(ctx context.Context, job, attempt int64, tail, limit int, after string) (lines []logs.Line, next string, err error)
	// Ready tells whether the recovery is complete, and what it is doing if not.
	Ready() (ready bool, detail string)
	// Stats counts what was done.
	Stats() jobs.Stats
}

// Config is what a server is made of. All of it is needed, but for Logger and
// Limits.
type Config struct {
	// Socket is the absolute path of the socket.
	Socket string
	// Runs does what the methods ask.
	Runs Runs
	// DB is asked for its counters.
	DB interface{ Stats() db.Stats }
	// Info says who we are.
	Info func() rpc.Info
	// Shutdown begins to end the daemon. It returns at once: the call that asked
	// for it is still to be answered.
	Shutdown func(leaveRunning bool)
	// Logger hears of faults of our own, and of strangers; default slog.Default().
	Logger *slog.Logger
	// Limits bounds what clients may ask; its zero value has the defaults.
	Limits Limits
}

// Server answers on one socket.
type Server struct {
	config      Config
	runs        Runs
	limits      Limits
	logger      *slog.Logger
	started     time.Time
	socket      *socket
	connections *connections
	http        *http.Server
	methods     map[string]Method
	waits       *waits
	// large has a place for each large request that is worked on.
	large    chan struct{}
	counters counters
	// stopping is what GET /health says, from Stopping on.
	stopping atomic.Bool
}

// counters count the calls since the start.
type counters struct{ calls, failed, panics atomic.Uint64 }

// Listen makes the socket, so that clients can connect; Serve answers them.
func Listen(config Config) (*Server, error) {
	limits, err := config.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	bound, err := bind(config.Socket)
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:      config,
		runs:        config.Runs,
		limits:      limits,
		logger:      cmp.Or(config.Logger, slog.Default()),
		started:     time.Now(),
		socket:      bound,
		connections: newConnections(bound, limits.Connections),
		methods:     make(map[string]Method),
		waits:       newWaits(limits.Waits),
		large:       make(chan struct{}, limits.LargeRequests),
	}
	for _, method := range Methods() {
		s.methods[method.Name] = method
	}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.route),
		ReadHeaderTimeout: limits.HeaderTimeout,
		ReadTimeout:       limits.BodyTimeout,
		WriteTimeout:      limits.WriteTimeout,
		IdleTimeout:       limits.IdleTimeout,
		ConnContext:       s.greet,
		ConnState:         s.connections.follow,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Serve answers calls until Shutdown.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.connections); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot accept connections on %s: %w", s.config.Socket, err)
	}
	return nil
}

// Stopping makes GET /health say that the daemon is being ended, which begins
// long before Shutdown: until then every call is answered as before.
func (s *Server) Stopping() { s.stopping.Store(true) }

// cutTimeout is how long the handlers may take to notice that their connections
// were cut.
const cutTimeout = 5 * time.Second

// Shutdown removes the socket, answers the calls that wait for something with
// CodeShuttingDown, and returns when every other call was answered. When ctx
// ends before that, the connections that are left are cut. It may be called
// again, and without Serve.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Stopping()
	s.connections.shut()
	// Runs that end because the daemon does are told to those who wait for them;
	// who still waits after that hears why nothing comes.
	defer s.waits.end()
	defer time.AfterFunc(waitGrace, s.waits.end).Stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("calls were cut off: %w", err), s.http.Close())
	}
	err = errors.Join(err, s.socket.Close())
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutTimeout)
	defer cancel()
	if left := s.connections.drain(last); left > 0 {
		err = errors.Join(err, fmt.Errorf("%d calls did not end", left))
	}
	return err
}

// waitGrace is how long those who wait for a run may take to read its end when
// the server is shut down: it is in memory, and on its way to them.
const waitGrace = time.Second

// strangerKey marks the connections of those who may not call.
type strangerKey struct{}

// greet asks the kernel who has connected.
func (s *Server) greet(ctx context.Context, conn net.Conn) context.Context {
	peer := peerOf(conn)
	if mayCall(peer) {
		return ctx
	}
	s.logger.Warn("a caller of another user is refused", "peer", peer)
	return context.WithValue(ctx, strangerKey{}, true)
}

// routes says what is answered where. A GET route answers HEAD, too.
var routes = map[string]struct {
	method string
	serve  func(*Server, http.ResponseWriter, *http.Request)
}{
	rpc.Path:       {http.MethodPost, (*Server).serveRPC},
	rpc.HealthPath: {http.MethodGet, (*Server).serveHealth},
	rpc.OutputPath: {http.MethodGet, (*Server).serveOutput},
}

// route answers one HTTP request.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	defer s.survive(w, r)
	if r.Context().Value(strangerKey{}) != nil {
		w.Header().Set("Connection", "close")
		s.refuse(w, r, http.StatusForbidden, &rpc.Error{Code: rpc.CodeForbidden,
			Message: "this daemon serves only its own user and root"})
		return
	}
	route, known := routes[r.URL.Path]
	switch {
	case !known:
		s.refuse(w, r, http.StatusNotFound, &rpc.Error{Code: rpc.CodeNotFound,
			Message: fmt.Sprintf("there is no %s; there are %s", r.URL.Path, strings.Join(slices.Sorted(maps.Keys(routes)), ", "))})
	case r.Method == route.method, r.Method == http.MethodHead && route.method == http.MethodGet:
		route.serve(s, w, r)
	default:
		w.Header().Set("Allow", route.method)
		s.refuse(w, r, http.StatusMethodNotAllowed, &rpc.Error{Code: rpc.CodeInvalidRequest,
			Message: fmt.Sprintf("%s takes %s, not %s", r.URL.Path, route.method, r.Method)})
	}
}

// survive makes a panic the fault of one request. The panic that cuts a stream
// on purpose goes on to the HTTP server, which knows it.
func (s *Server) survive(w http.ResponseWriter, r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(fault)
	}
	err := s.panicked(r.URL.Path, fault)
	s.refuse(w, r, http.StatusInternalServerError, s.translate(r.URL.Path, err))
}
