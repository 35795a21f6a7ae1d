// Command heroproc is the whole of heroproc in one binary: the daemon that
// keeps services alive and runs jobs, the executor that is the parent of every
// process, and the command line that talks to the daemon. It is the one place
// where the floors below are wired together.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
