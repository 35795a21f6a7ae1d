package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/supervisor/api/client"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// stubborn is a run that does not obey the signal which asks it to end.
const stubborn = `
jobs:
  stubborn:
    script: |
      trap '' TERM
      echo trapped
      while :; do read -r line < never; done
    stop: {timeout: 1s}
`

// TestSecondSignalHurries tells a daemon twice to end while a job takes its
// time: it leaves at once and says so, and the job is left to the executor.
func TestSecondSignalHurries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	daemon := &daemonProcess{home: filepath.Join(dir, "home")}
	t.Cleanup(func() {
		if err := daemon.cleanUp(); err != nil {
			t.Error(err)
		}
	})
	log := daemon.startLogged(t)
	if err := unix.Mkfifo(filepath.Join(dir, "never"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "stubborn.yaml")
	if err := os.WriteFile(file, []byte(stubborn), 0o600); err != nil {
		t.Fatal(err)
	}
	awaitTrap(t, daemon.home, file)

	if err := daemon.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, log, "msg=stopping")
	awaitHealth(t, daemon.home, rpc.HealthStopping)
	if err := daemon.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, log, "told twice")
	if _, err := io.Copy(io.Discard, log); err != nil {
		t.Error(err)
	}
	_ = daemon.cmd.Wait() // the exit code is asked for below
	if code := daemon.cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("the daemon exited with %d, want %d: it did not do all it was to do", code, exitFailed)
	}
	daemon.cmd = nil
}

// awaitTrap submits the stubborn run and returns when it has set its trap.
func awaitTrap(t *testing.T, home, file string) {
	t.Helper()
	follow := exec.Command("heroproc", "--home", home, "submit", "-f", file, "--follow")
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = follow.Process.Kill() // it may have ended with the daemon
		_ = follow.Wait()
	})
	awaitLine(t, bufio.NewReader(out), "trapped")
}

// awaitHealth asks the daemon until it is no longer ready, and wants it to say
// why.
func awaitHealth(t *testing.T, home, want string) {
	t.Helper()
	api := client.New(Home{Path: home}.Socket())
	defer api.Close()
	for {
		health, err := api.Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if health.Status == rpc.HealthReady {
			continue
		}
		if health.Status != want {
			t.Errorf("the daemon says %+v, want %s", health, want)
		}
		return
	}
}

// awaitLine reads until a line has the text.
func awaitLine(t *testing.T, in *bufio.Reader, text string) {
	t.Helper()
	var read strings.Builder
	for {
		line, err := in.ReadString('\n')
		read.WriteString(line)
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("%q did not come: %v\n%s", text, err, read.String())
		}
	}
}
