package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/heroproc/heroproc/jobs/spec"
	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// Submit a run, print what it prints, and see how it ended.
func Example() {
	daemon := startDaemon() // here a small stand-in
	defer daemon.stop()

	ctx := context.Background()
	c := client.New(daemon.socket) // rpc.sock in the daemon's home
	defer c.Close()

	submitted, err := c.Submit(ctx, spec.Run{
		Name: "greeting",
		Jobs: map[string]spec.Job{"main": {Action: spec.Action{Command: []string{"echo", "hello"}}}},
	})
	switch refused := new(rpc.Error); {
	case errors.Is(err, client.ErrNoDaemon):
		log.Fatal("start one with: heroproc daemon")
	case errors.As(err, &refused):
		log.Fatalf("the daemon refused, code %d: %s", refused.Code, refused.Message)
	case err != nil:
		log.Fatal(err)
	}

	if err := c.Output(ctx, rpc.OutputQuery{Run: submitted.ID, Follow: true}, os.Stdout); err != nil {
		log.Fatal(err)
	}
	result, err := c.Wait(ctx, submitted.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.State, *result.ExitCode)
	// Output:
	// hello
	// succeeded 0
}
