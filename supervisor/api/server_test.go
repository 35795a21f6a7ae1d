package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heroproc/heroproc/jobs"
	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

func TestRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{})
	tests := []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/", 404, `{"code":-32000,"message":"there is no /; there are /health, /logs, /rpc"}`},
		{"POST", "/rpc/", 404, `{"code":-32000,"message":"there is no /rpc/; there are /health, /logs, /rpc"}`},
		{"GET", "/rpc", 405, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"/rpc takes POST, not GET"}}`},
		{"DELETE", "/logs", 405, `{"code":-32600,"message":"/logs takes GET, not DELETE"}`},
		{"POST", "/health", 405, `{"code":-32600,"message":"/health takes GET, not POST"}`},
		{"GET", "/health", 200, `{"status":"ready"}`},
		{"HEAD", "/health", 200, ``},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			t.Parallel()
			response, text := b.do(t, test.method, test.path, nil)
			if response.StatusCode != test.status || text != test.want {
				t.Errorf("HTTP %d: %s", response.StatusCode, text)
			}
			if got := response.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("the content type is %q", got)
			}
			if test.status == 405 && response.Header.Get("Allow") == "" {
				t.Error("the answer does not say what is allowed")
			}
		})
	}
}

func TestHealthIsHonest(t *testing.T) {
	t.Parallel()
	ready := false
	b := setup(t, &fakeRuns{ready: func() (bool, string) { return ready, "12 of 40 attempts are known" }})
	check := func(status int, want rpc.Health) {
		t.Helper()
		response, text := b.do(t, http.MethodGet, "/health", nil)
		var got rpc.Health
		if err := json.Unmarshal([]byte(text), &got); err != nil || response.StatusCode != status || got != want {
			t.Errorf("HTTP %d: %s", response.StatusCode, text)
		}
		if health, err := b.client.Health(t.Context()); err != nil || health != want {
			t.Errorf("the client reads %v, %v", health, err)
		}
	}
	check(http.StatusServiceUnavailable, rpc.Health{Status: rpc.HealthRecovering, Detail: "12 of 40 attempts are known"})
	ready = true
	check(http.StatusOK, rpc.Health{Status: rpc.HealthReady})
	b.Stopping()
	check(http.StatusServiceUnavailable, rpc.Health{Status: rpc.HealthStopping})
}

func TestSystem(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{})
	info, err := b.client.Info(t.Context())
	if err != nil || info.Home != "/home" {
		t.Errorf("system.info: %+v, %v", info, err)
	}
	stats, err := b.client.Stats(t.Context())
	if err != nil || stats.Jobs.Started != 7 || stats.API.Calls != 2 || stats.API.Connections != 1 || stats.HeapBytes == 0 || stats.Goroutines == 0 || stats.WAL.Pages != 9 {
		t.Errorf("system.stats: %+v, %v", stats, err)
	}
	result, err := b.client.Shutdown(t.Context(), true)
	if err != nil || result.PID != os.Getpid() || !<-b.asked {
		t.Errorf("system.shutdown: %+v, %v", result, err)
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()

	t.Run("answers the calls that are under way", func(t *testing.T) {
		t.Parallel()
		began, finish := make(chan struct{}), make(chan struct{})
		b := setup(t, &fakeRuns{cancel: func(context.Context, int64) (jobs.Cancelled, error) {
			close(began)
			<-finish
			return jobs.Cancelled{ID: 5, State: jobs.RunCancelled, Final: 3}, nil
		}})
		answer := make(chan error, 1)
		go func() {
			result, err := b.client.Cancel(t.Context(), 5)
			if result.Cancelled != 3 {
				err = errors.Join(err, errors.New("the wrong answer"))
			}
			answer <- err
		}()
		<-began
		ended := make(chan struct{})
		go func() {
			b.end(t)
			close(ended)
		}()
		<-b.served // the socket is closed, the call goes on
		b.served <- nil
		close(finish)
		if err := <-answer; err != nil {
			t.Error(err)
		}
		<-ended
	})

	t.Run("cuts them when its time is over", func(t *testing.T) {
		t.Parallel()
		began := make(chan struct{})
		b := setup(t, &fakeRuns{cancel: func(ctx context.Context, _ int64) (jobs.Cancelled, error) {
			close(began)
			<-ctx.Done()
			return jobs.Cancelled{}, ctx.Err()
		}})
		answer := make(chan error, 1)
		go func() {
			_, err := b.client.Cancel(t.Context(), 5)
			answer <- err
		}()
		<-began
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Shutdown(over); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown says %v", err)
		}
		if err := <-answer; !errors.Is(err, client.ErrNoDaemon) {
			t.Errorf("the client got %v", err)
		}
		if open, _ := b.connections.count(); open != 0 {
			t.Errorf("%d connections are open", open)
		}
	})

	t.Run("does not wait for those who ask nothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t, &fakeRuns{})
		if _, err := b.client.Info(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			b.dial(t)
		}
		b.end(t)
	})

	t.Run("works twice, and before Serve", func(t *testing.T) {
		t.Parallel()
		socket := filepath.Join(privateDir(t), "rpc.sock")
		s, err := Listen(Config{Socket: socket, Runs: &fakeRuns{}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := s.Serve(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(socket); !os.IsNotExist(err) {
			t.Errorf("the socket is still there: %v", err)
		}
	})

	t.Run("under load leaves nothing and answers everybody", func(t *testing.T) {
		t.Parallel()
		for range 5 {
			b := setup(t, &fakeRuns{})
			var callers sync.WaitGroup
			started := make(chan struct{}, 16)
			for range 16 {
				callers.Go(func() {
					for i := 0; ; i++ {
						if i == 1 {
							started <- struct{}{}
						}
						if _, err := b.client.Info(t.Context()); err != nil {
							if !errors.Is(err, client.ErrNoDaemon) {
								t.Errorf("got %v", err)
							}
							return
						}
					}
				})
			}
			for range 16 {
				<-started
			}
			b.end(t)
			callers.Wait()
		}
	})
}

func TestLimitsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for want, limits := range map[string]Limits{
		"would leave none for other calls": {Waits: 10, Connections: 10},
		"is below zero":                    {IdleTimeout: -time.Second},
	} {
		if _, err := Listen(Config{Socket: "/nowhere", Limits: limits}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", limits, err)
		}
	}
}
