package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heroproc/heroproc/db"
	"github.com/heroproc/heroproc/jobs"
)

// oneRun is a run of one job, as run.show reads it.
func oneRun(_ context.Context, id int64) (jobs.RunDetail, error) {
	return jobs.RunDetail{
		Run: db.Run{
			ID: id, UID: "0190a8f0-7c4e-7a54-b0a1-3d5a3a1e7c11", Name: "hello", Context: "core", Tags: `["nightly"]`,
			State: "succeeded", ReasonCode: "succeeded", ReasonText: "every job succeeded", CreatedAt: 1, StartedAt: new(int64(2)), FinishedAt: new(int64(3)),
		},
		ExitCode: new(0),
		Jobs: []jobs.JobDetail{{
			Job: db.Job{
				ID: 1, RunID: id, Name: "main", State: "succeeded", ReasonCode: "succeeded", ReasonText: "exit code 0",
				Attempt: 1, Action: `{"command":["echo","hello"],"dir":"/tmp"}`, CreatedAt: 1, ExitCode: new(int64(0)),
			},
			Attempts: []db.Attempt{{ID: 1, Number: 1, PID: new(int64(4711)), CreatedAt: 1, StartedAt: new(int64(2)), FinishedAt: new(int64(3))}},
		}},
	}, nil
}

var benchmarks = []struct{ name, body string }{
	{"system.info", `{"jsonrpc":"2.0","id":1,"method":"system.info"}`},
	{"run.show", `{"jsonrpc":"2.0","id":1,"method":"run.show","params":{"id":7}}`},
}

// BenchmarkDispatch is a call without HTTP and socket.
func BenchmarkDispatch(b *testing.B) {
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			s := setup(b, &fakeRuns{run: oneRun})
			body := []byte(bm.body)
			b.ReportAllocs()
			for b.Loop() {
				out := newPage()
				s.dispatch(b.Context(), body, out)
				out.release()
			}
		})
	}
}

// BenchmarkBareHTTP is the base line of BenchmarkKeptConnection: a constant
// answer of the same size as system.info's, by net/http alone.
func BenchmarkBareHTTP(b *testing.B) {
	socket := filepath.Join(privateDir(b), "bare.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	answer := []byte(strings.Repeat("x", 170))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(answer)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	ask := bareCaller(b, socket, benchmarks[0].body)
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
	b.StopTimer()
	server.Close()
	<-served
}

// BenchmarkKeptConnection is a call over one connection, by a client that does
// nothing but write and read.
func BenchmarkKeptConnection(b *testing.B) {
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			s := setup(b, &fakeRuns{run: oneRun})
			ask := bareCaller(b, s.config.Socket, bm.body)
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}

// Benchmark64Connections is the same over 64 connections at once.
func Benchmark64Connections(b *testing.B) {
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			s := setup(b, &fakeRuns{run: oneRun})
			b.SetParallelism(32) // times GOMAXPROCS, which is 2 on the machine of the figures
			b.RunParallel(func(pb *testing.PB) {
				ask := bareCaller(b, s.config.Socket, bm.body)
				for pb.Next() {
					ask()
				}
			})
		})
	}
}

// BenchmarkClient is a call by package client, over one connection.
func BenchmarkClient(b *testing.B) {
	b.Run("system.info", func(b *testing.B) {
		s := setup(b, &fakeRuns{})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.client.Info(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("run.show", func(b *testing.B) {
		s := setup(b, &fakeRuns{run: oneRun})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.client.Run(b.Context(), 7); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// bareCaller sends one request again and again.
func bareCaller(b *testing.B, socket, body string) func() {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	request := fmt.Sprintf("POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	reader := bufio.NewReader(conn)
	return func() {
		if _, err := io.WriteString(conn, request); err != nil {
			b.Error(err)
			return
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != http.StatusOK {
			b.Error(response, err)
			return
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			b.Error(err)
		}
	}
}
