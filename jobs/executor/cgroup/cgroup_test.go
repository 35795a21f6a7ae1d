package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup opens a branch for one test, which must leave nothing in it.
func setup(t *testing.T) *Root {
	t.Helper()
	r, err := Open("heroproc-test-" + strings.ToLower(strings.NewReplacer("/", "-").Replace(t.Name())))
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		leaves, err := r.Leaves()
		if err != nil {
			t.Error(err)
		}
		for _, leaf := range leaves {
			t.Errorf("leaf %s is left", leaf.Path())
			_ = leaf.Remove()
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// start starts a shell inside a leaf.
func start(t *testing.T, leaf *Leaf, script string) *exec.Cmd {
	t.Helper()
	fd, err := leaf.FD()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", script)
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

func populated(t *testing.T, leaf *Leaf) bool {
	t.Helper()
	p, err := leaf.Populated()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestLeaf(t *testing.T) {
	t.Parallel()

	t.Run("HoldsAndKillsWhateverIsStartedInIt", func(t *testing.T) {
		t.Parallel()
		r := setup(t)
		pool := r.Pool("a", 1)
		leaf, err := pool.Lend()
		if err != nil {
			t.Fatal(err)
		}
		if populated(t, leaf) {
			t.Error("a new leaf is populated")
		}
		c := start(t, leaf, "setsid sleep 999 & setsid sleep 999 & exit 3")
		_ = c.Wait() // it ends with 3
		if !populated(t, leaf) {
			t.Error("nobody is left")
		}
		until(t, "both to be there", func() bool {
			pids, err := leaf.PIDs()
			return err == nil && len(pids) == 2
		})
		leaf.Rest()
		if again, ok := r.Leaf(leaf.Path()); !ok || !populated(t, again) {
			t.Error("it cannot be found again")
		} else {
			again.Rest()
		}
		if err := leaf.Kill(); err != nil {
			t.Error(err)
		}
		until(t, "all to be gone", func() bool { return !populated(t, leaf) })
		if err := pool.Return(leaf); err != nil {
			t.Error(err)
		}
		if populated(t, leaf) {
			t.Error("a leaf that was removed is populated")
		}
		if err := leaf.Kill(); err != nil {
			t.Errorf("killing a leaf that was removed: %v", err)
		}
	})

	t.Run("IsFoundInItsBranchAlone", func(t *testing.T) {
		t.Parallel()
		r := setup(t)
		for _, path := range []string{"", "/", "/init.scope", filepath.Join(r.path, "no-such"), filepath.Join(r.path, "a", "b"), filepath.Join(r.path, "cgroup.procs")} {
			if leaf, ok := r.Leaf(path); ok {
				t.Errorf("%q is found as %s", path, leaf.Path())
			}
		}
	})
}

func TestPool(t *testing.T) {
	t.Parallel()
	r := setup(t)
	pool := r.Pool("a", 1)
	defer pool.Close()
	lend := func() *Leaf {
		t.Helper()
		leaf, err := pool.Lend()
		if err != nil {
			t.Fatal(err)
		}
		return leaf
	}
	giveBack := func(leaf *Leaf) {
		t.Helper()
		if err := pool.Return(leaf); err != nil {
			t.Error(err)
		}
	}

	first := lend()
	giveBack(first)
	if again := lend(); again != first {
		t.Error("a leaf is not lent again")
	}
	second := lend()
	giveBack(first)
	giveBack(second) // one too many is removed
	if leaves, err := r.Leaves(); err != nil || len(leaves) != 1 {
		t.Errorf("leaves are %v, %v", leaves, err)
	}

	killed := lend()
	if err := killed.Kill(); err != nil {
		t.Error(err)
	}
	giveBack(killed)
	next := lend()
	if next == killed {
		t.Error("a leaf that was killed is lent again")
	}
	if err := start(t, next, "exit 0").Wait(); err != nil {
		t.Errorf("a process in a leaf that came after it: %v", err)
	}

	if err := os.MkdirAll(filepath.Join(next.mount, next.path, "of its own", "deeper"), 0o755); err != nil {
		t.Fatal(err)
	}
	giveBack(next)
	frozen := lend()
	if frozen == next {
		t.Error("a leaf with cgroups in it is lent again")
	}
	if err := os.WriteFile(frozen.file("cgroup.freeze"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	until(t, "the leaf to be frozen", func() bool { return !frozen.reusable() })
	giveBack(frozen)
	last := lend()
	if last == frozen {
		t.Error("a frozen leaf is lent again")
	}
	giveBack(last)
}

func TestOpenSaysWhyNot(t *testing.T) {
	t.Parallel()
	if _, err := Open("no/such/branch"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const info = "24 1 8:1 / / rw - ext4 /dev/sda rw\n" +
		"34 24 0:30 / /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu\n" +
		"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:3 master:1 - cgroup2 cgroup2 rw\n"
	if mount, ok := parseMount([]byte(info)); !ok || mount != "/sys/fs/cgroup/unified" {
		t.Errorf("the mount is %q, %v", mount, ok)
	}
	for text, want := range map[string]string{
		"0::/\n":                            "/",
		"9:name=systemd:/x\n0::/user/a:b\n": "/user/a:b",
		"9:name=systemd:/x\n":               "",
		"0::relative\n":                     "",
		"":                                  "",
	} {
		if place, ok := parsePlace([]byte(text)); place != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", text, place, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n0::/a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if mount, ok := parseMount(text); ok && !strings.Contains(string(text), mount) {
			t.Errorf("mount %q", mount)
		}
		if place, ok := parsePlace(text); ok && !strings.HasPrefix(place, "/") {
			t.Errorf("place %q", place)
		}
	})
}

func BenchmarkLend(b *testing.B) {
	r, err := Open(fmt.Sprintf("heroproc-bench-%d", os.Getpid()))
	if err != nil {
		b.Skip(err)
	}
	for name, idle := range map[string]int{"new": 0, "pooled": 1} {
		b.Run(name, func(b *testing.B) {
			pool := r.Pool(name, idle)
			for b.Loop() {
				leaf, err := pool.Lend()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := leaf.FD(); err != nil {
					b.Fatal(err)
				}
				if err := pool.Return(leaf); err != nil {
					b.Fatal(err)
				}
			}
			pool.Close()
		})
	}
	if err := r.Close(); err != nil {
		b.Error(err)
	}
}
