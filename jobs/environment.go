package jobs

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/heroproc/heroproc/jobs/executor"
)

// environment builds what a job is given: clean by default, so that a job runs
// the same whoever started the daemon, and from wherever.
type environment struct {
	// base is PATH, HOME, USER, LANG and TZ as the daemon has them.
	base []string
	// socket is the daemon's own, so that a job can talk back.
	socket string
	// outputs is the directory of the files named by HEROPROC_OUTPUT.
	outputs string
	// drain and logBudget are those of Config.
	drain     time.Duration
	logBudget int64
}

// defaultPath is the PATH of a job when the daemon itself has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func newEnvironment(home string, drain time.Duration, logBudget int64) *environment {
	values := map[string]string{"PATH": defaultPath, "HOME": "/"}
	if who, err := user.Current(); err == nil {
		values["HOME"], values["USER"] = who.HomeDir, who.Username
	}
	for _, key := range []string{"PATH", "HOME", "USER", "LANG", "TZ"} {
		if value := os.Getenv(key); value != "" {
			values[key] = value
		}
	}
	env := &environment{
		socket: filepath.Join(home, "rpc.sock"), outputs: filepath.Join(home, "outputs"),
		drain: drain, logBudget: logBudget,
	}
	for key, value := range values {
		env.base = append(env.base, key+"="+value)
	}
	slices.Sort(env.base)
	return env
}

// order is what the executor is told to start an attempt; limit is how long it
// may run, 0 for ever.
func (e *environment) order(c *candidate, limit time.Duration) executor.Order {
	return executor.Order{
		Attempt: c.attemptID, Token: c.token, Command: c.action.Argv(), Env: e.of(c), Dir: c.action.Dir,
		Timeout: limit, Stop: c.stopSequence(), Drain: e.drain, LogBudget: e.logBudget, OutputFile: e.outputFile(c.attemptID),
	}
}

// of is the whole environment of one attempt. What the spec names wins over the
// base; what heroproc says of itself wins over both.
func (e *environment) of(c *candidate) []string {
	list := make([]string, 0, len(e.base)+len(c.action.Env)+8)
	for _, pair := range e.base {
		if _, named := c.action.Env[key(pair)]; !named {
			list = append(list, pair)
		}
	}
	for name, value := range c.action.Env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return append(list,
		"HEROPROC_RUN_ID="+strconv.FormatInt(c.runID, 10),
		"HEROPROC_JOB_ID="+strconv.FormatInt(c.jobID, 10),
		"HEROPROC_JOB="+c.name,
		"HEROPROC_ATTEMPT="+strconv.FormatInt(c.number, 10),
		"HEROPROC_TOKEN="+c.token,
		"HEROPROC_CONTEXT="+c.context,
		"HEROPROC_SOCKET="+e.socket,
		"HEROPROC_OUTPUT="+e.outputFile(c.attemptID),
	)
}

// key is the part of KEY=VALUE before the sign.
func key(pair string) string {
	for i := range len(pair) {
		if pair[i] == '=' {
			return pair[:i]
		}
	}
	return pair
}

// outputFile is the file whose content becomes the attempt's output value; it is
// only there once the job has written it.
func (e *environment) outputFile(attempt int64) string {
	return filepath.Join(e.outputs, strconv.FormatInt(attempt, 10))
}
