package spec

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/heroproc/heroproc/jobs/document"
)

const (
	// MaxArgument bounds one argument or one NAME=VALUE in bytes. It is the
	// kernel's limit of 32 pages, less the zero byte at the end (execve(2)).
	MaxArgument = 32*4096 - 1
	// MaxArguments bounds in bytes what is handed to a process in all: arguments
	// and environment, each with its zero byte and its pointer. It is the 2 MiB
	// that the kernel grants with the usual stack of 8 MiB (execve(2)), less
	// 64 KiB for what every job is given beside its own.
	MaxArguments = 2<<20 - 64<<10
	// MaxAttempts bounds the tries of a job: what fails so often needs somebody
	// to look at it.
	MaxAttempts = 1000

	// reserved begins the names of the variables that say who a job is. A job
	// that could set them could pass for another.
	reserved = "HEROPROC_"
	// maxDir bounds a directory in bytes: the kernel's PATH_MAX less its zero
	// byte.
	maxDir = 4095
	// perString is what the kernel needs for a string beside its bytes: the zero
	// byte and a pointer.
	perString = 1 + 8
)

// notUTF8 is said of text that JSON could not carry.
const notUTF8 = "is not UTF-8"

// action checks the action at a path. The environment it inherits takes so many
// bytes.
func (c *checker) action(at document.Path, a *Action, inherited int) {
	switch {
	case len(a.Command) == 0 && a.Script == "":
		c.report(at, "has neither a command nor a script")
	case len(a.Command) > 0 && a.Script != "":
		c.report(at, "has both a command and a script; keep one of them")
	case len(a.Command) > 0 && len(a.Interpreter) > 0:
		c.report(at.Key("interpreter"), "belongs to a script, and this is a command")
	}
	c.commandLine(at, "command", a.Command)
	c.commandLine(at, "interpreter", a.Interpreter)
	c.script(at, "script", a.Script)
	c.env(at, "env", a.Env)
	c.dir(at, "dir", a.Dir)
	if size := argvBytes(a.Argv()) + inherited + envBytes(a.Env); size > MaxArguments {
		c.report(at, fmt.Sprintf("its arguments and environment take %d bytes; the kernel takes at most %d: put some into a file", size, MaxArguments))
	}
	c.limit(at, "timeout", a.Timeout)
	c.tags(at, "tags", a.Tags)
	if a.Retry != nil {
		c.retry(at.Key("retry"), a.Retry)
	}
	switch a.OnLost {
	case "", OnLostFail, OnLostRetry:
	default:
		c.report(at.Key("on_lost"), fmt.Sprintf("is %s or %s, not %.40q", OnLostFail, OnLostRetry, a.OnLost))
	}
	if a.Stop != nil {
		c.stop(at.Key("stop"), a.Stop)
	}
}

// commandLine checks a program and its arguments.
func (c *checker) commandLine(at document.Path, key string, argv []string) {
	for i, argument := range argv {
		text := kernelText(argument)
		switch {
		case i == 0 && strings.TrimSpace(argument) == "":
			text = "is blank; it names the program"
		case len(argument) > MaxArgument:
			text = fmt.Sprintf("is %d bytes long; the kernel takes at most %d for one argument", len(argument), MaxArgument)
		}
		if text != "" {
			c.report(at.Key(key).Index(i), text)
		}
	}
}

// script checks the text of a script, where there is one.
func (c *checker) script(at document.Path, key, script string) {
	text := kernelText(script)
	switch {
	case script != "" && strings.TrimSpace(script) == "":
		text = "is blank"
	case len(script) > MaxArgument:
		text = fmt.Sprintf("is %d bytes long; the kernel takes at most %d: put it into a file", len(script), MaxArgument)
	}
	if text != "" {
		c.report(at.Key(key), text)
	}
}

// kernelText says what keeps text from being a string of the kernel's; nothing
// if it can be one.
func kernelText(text string) string {
	switch {
	case strings.IndexByte(text, 0) >= 0:
		return "has a zero byte, which the kernel takes for the end"
	case !utf8.ValidString(text):
		return notUTF8
	default:
		return ""
	}
}

func (c *checker) env(at document.Path, key string, env map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		text := cmp.Or(kernelText(name), kernelText(value))
		switch size := len(name) + 1 + len(value); {
		case name == "" || strings.Contains(name, "="):
			text = "a variable's name has at least one character and no ="
		case strings.HasPrefix(name, reserved):
			text = "names that begin with " + reserved + " are reserved"
		case size > MaxArgument:
			text = fmt.Sprintf("is %d bytes long; the kernel takes at most %d for one variable: put it into a file", size, MaxArgument)
		}
		if text != "" {
			c.report(at.Key(key).Key(name), text)
		}
	}
}

// dir checks a working directory, where one is given.
func (c *checker) dir(at document.Path, key, dir string) {
	text := kernelText(dir)
	switch {
	case dir == "":
	case dir[0] == '~':
		text = "~ is known to shells only; write the directory out"
	case !filepath.IsAbs(dir):
		text = fmt.Sprintf("%.40q is not absolute", dir)
	case len(dir) > maxDir:
		text = fmt.Sprintf("is %d bytes long; the kernel takes at most %d", len(dir), maxDir)
	}
	if text != "" {
		c.report(at.Key(key), text)
	}
}

// limit checks a time limit: nothing, or a span that can be kept.
func (c *checker) limit(at document.Path, key string, d Duration) {
	if d != 0 {
		c.span(at, key, d)
	}
}

// span checks a duration that cannot be nothing.
func (c *checker) span(at document.Path, key string, d Duration) {
	switch {
	case d < 0:
		c.report(at.Key(key), fmt.Sprintf("is negative: %s", d))
	case d < MinDuration:
		c.report(at.Key(key), fmt.Sprintf("must be at least %s, got %s", MinDuration, d))
	case d > MaxDuration:
		c.report(at.Key(key), fmt.Sprintf("must be at most %s, got %s", MaxDuration, d))
	}
}

// retry checks the policy at a path.
func (c *checker) retry(at document.Path, r *Retry) {
	if r.Attempts < 1 || r.Attempts > MaxAttempts {
		c.report(at.Key("attempts"), fmt.Sprintf("says how often to try, from 1 to %d; it is %d", MaxAttempts, r.Attempts))
	}
	c.span(at, "backoff", r.Backoff)
	c.span(at, "max_backoff", r.MaxBackoff)
	if r.Backoff > r.MaxBackoff {
		c.report(at.Key("backoff"), fmt.Sprintf("is longer than max_backoff: %s, %s", r.Backoff, r.MaxBackoff))
	}
	if inside := r.Jitter >= 0 && r.Jitter <= 1; !inside { // neither is what is no number
		c.report(at.Key("jitter"), fmt.Sprintf("must be from 0 to 1, got %v", r.Jitter))
	}
	for i, code := range r.OnExitCodes {
		if code < 1 || code > 255 {
			c.report(at.Key("on_exit_codes").Index(i), fmt.Sprintf("exit codes that fail are from 1 to 255, got %d", code))
		}
	}
}

// stop checks the stop at a path.
func (c *checker) stop(at document.Path, s *Stop) {
	if _, known := SignalNumber(s.Signal); !known {
		c.report(at.Key("signal"), fmt.Sprintf("there is no signal called %.40q; the usual ones are TERM, INT, HUP, QUIT, USR1, USR2 and KILL", s.Signal))
	}
	c.span(at, "timeout", s.Timeout)
}

// argvBytes is what the kernel needs for the arguments.
func argvBytes(argv []string) int {
	size := 0
	for _, argument := range argv {
		size += len(argument) + perString
	}
	return size
}

// envBytes is what the kernel needs for the variables.
func envBytes(env map[string]string) int {
	size := 0
	for name, value := range env {
		size += len(name) + 1 + len(value) + perString
	}
	return size
}
