package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/heroproc/heroproc/supervisor/api/client"
)

// TestMain makes the test binary answer as heroproc when it is called by that
// name, so that scripts, daemons and executors run the very code under test.
func TestMain(m *testing.M) {
	testscript.Main(leakCheck{m}, map[string]func(){"heroproc": main})
}

// leakCheck fails a run of tests that leaves a goroutine behind.
type leakCheck struct{ *testing.M }

func (l leakCheck) Run() int {
	code := l.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon": daemonScript,
		},
		Setup: func(env *testscript.Env) error {
			examples, err := filepath.Abs("examples")
			if err != nil {
				return err
			}
			env.Setenv("HEROPROC_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("EXAMPLES", examples)
			env.Vars = append(env.Vars, quickEnd)
			p := &daemonProcess{dir: env.WorkDir, home: filepath.Join(env.WorkDir, "home")}
			env.Values[daemonKey{}] = p
			env.Defer(func() {
				if err := p.cleanUp(); err != nil {
					env.T().Log(err)
				}
			})
			return nil
		},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

// quickEnd is for the environment of processes under test: the race detector
// makes each of them rest for a second at its end.
const quickEnd = "GORACE=atexit_sleep_ms=0"

// daemonKey finds the daemon of a script among the script's values.
type daemonKey struct{}

// daemonScript is what scripts say about their daemon:
//
//	daemon start [ARG...]  starts one and returns when it is ready
//	daemon kill            kills it at once, as a crash would
//	daemon stop            shuts it down and waits until its executor is gone
func daemonScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: daemon start|kill|stop")
	}
	p := ts.Value(daemonKey{}).(*daemonProcess)
	switch args[0] {
	case "start":
		ts.Check(p.start(args[1:]...))
	case "kill":
		ts.Check(p.kill())
	case "stop":
		ts.Check(p.stop())
	default:
		ts.Fatalf("usage: daemon start|kill|stop")
	}
}

// daemonProcess is a real daemon in a home of its own.
type daemonProcess struct {
	dir, home string
	cmd       *exec.Cmd
}

// start returns when the daemon has said that it is ready.
func (p *daemonProcess) start(args ...string) error {
	var log strings.Builder
	if err := p.startWith(&log, args); err != nil {
		return fmt.Errorf("%w; it logged:\n%s", err, log.String())
	}
	return nil
}

// startLogged is start for somebody who reads the daemon's log.
func (p *daemonProcess) startLogged(t *testing.T) *bufio.Reader {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	defer writer.Close() // the daemon has it now
	if err := p.startWith(writer, nil); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(reader)
}

func (p *daemonProcess) startWith(log io.Writer, args []string) error {
	binary, err := exec.LookPath("heroproc")
	if err != nil {
		return err
	}
	p.cmd = exec.Command(binary, append([]string{"daemon"}, args...)...)
	p.cmd.Dir = p.dir
	p.cmd.Env = append(os.Environ(), "HEROPROC_HOME="+p.home, "HEROPROC_SOCKET=", quickEnd)
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "is ready") {
		return errors.Join(fmt.Errorf("the daemon did not become ready: it printed %q", line), err, p.kill())
	}
	return nil
}

func (p *daemonProcess) kill() error {
	if p.cmd == nil {
		return errors.New("no daemon was started")
	}
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it says that it was killed
	p.cmd = nil
	return err
}

// stop shuts the daemon down and returns when it and its executor are gone.
func (p *daemonProcess) stop() error {
	if p.cmd == nil {
		return errors.New("no daemon was started")
	}
	if _, err := client.New(filepath.Join(p.home, "rpc.sock")).Shutdown(context.Background(), false); err != nil {
		return errors.Join(err, p.kill())
	}
	err := p.cmd.Wait()
	p.cmd = nil
	return errors.Join(err, awaitLock(filepath.Join(p.home, "executor.lock")))
}

// cleanUp leaves no process behind, whatever the script has done: only a daemon
// can tell an executor to end, so one is started where none is left.
func (p *daemonProcess) cleanUp() error {
	if p.cmd != nil {
		if _, err := client.New(filepath.Join(p.home, "rpc.sock")).Health(context.Background()); err == nil {
			return p.stop()
		}
		if err := p.kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	if !isLocked(filepath.Join(p.home, "executor.lock")) {
		return nil
	}
	if err := p.start(); err != nil {
		return err
	}
	return p.stop()
}

// isLocked tells whether somebody holds the lock file.
func isLocked(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	return unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// awaitLock returns when nobody holds the lock file.
func awaitLock(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return unix.Flock(int(file.Fd()), unix.LOCK_SH)
}
