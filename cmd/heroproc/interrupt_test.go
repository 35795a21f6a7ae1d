package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInterruptLeavesTheRunAlone presses Ctrl-C while a run is waited for.
func TestInterruptLeavesTheRunAlone(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), "home")
	daemon := &daemonProcess{home: home}
	t.Cleanup(func() {
		if err := daemon.cleanUp(); err != nil {
			t.Error(err)
		}
	})
	if err := daemon.start(); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	submit := exec.Command("heroproc", "--home", home, "submit", "--wait", "--", "sleep", "60")
	submit.Stderr = &stderr
	out, err := submit.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := submit.Start(); err != nil {
		t.Fatal(err)
	}
	if id, err := bufio.NewReader(out).ReadString('\n'); err != nil || id != "1\n" {
		t.Errorf("the id: got %q, %v", id, err)
	}
	if err := submit.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := submit.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("the exit: got %v", err)
	}
	if want := "heroproc: run 1 goes on; cancel it with: heroproc --home " + home + " run cancel 1\n"; stderr.String() != want {
		t.Errorf("the hint: got %q, want %q", stderr.String(), want)
	}
	shown, err := exec.Command("heroproc", "--home", home, "run", "show", "1").Output()
	if err != nil || !strings.Contains(string(shown), "running") {
		t.Errorf("the run: got %s, %v", shown, err)
	}
}
