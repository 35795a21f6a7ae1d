package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolveHome(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, flag string
		env        map[string]string
		uid        int
		want       string
	}{
		{name: "FlagFirst", flag: "/flag", env: map[string]string{"HEROPROC_SOCKET": "/job/rpc.sock", "HEROPROC_HOME": "/env"}, want: "/flag"},
		{name: "InsideAJob", env: map[string]string{"HEROPROC_SOCKET": "/job/rpc.sock", "HEROPROC_HOME": "/env"}, want: "/job"},
		{name: "Environment", env: map[string]string{"HEROPROC_HOME": "/env", "HOME": "/home/me"}, want: "/env"},
		{name: "Root", env: map[string]string{"HOME": "/root", "XDG_STATE_HOME": "/state"}, want: "/var/lib/heroproc"},
		{name: "StateHome", env: map[string]string{"HOME": "/home/me", "XDG_STATE_HOME": "/state"}, uid: 1000, want: "/state/heroproc"},
		{name: "User", env: map[string]string{"HOME": "/home/me"}, uid: 1000, want: "/home/me/.local/state/heroproc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			home, err := ResolveHome(test.flag, func(key string) string { return test.env[key] }, test.uid)
			if err != nil || home.Path != test.want {
				t.Errorf("got %q, %v; want %q", home.Path, err, test.want)
			}
		})
	}
	t.Run("RefusesWhatItCannotTell", func(t *testing.T) {
		t.Parallel()
		_, err := ResolveHome("", func(string) string { return "" }, 1000)
		if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "--home") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("RefusesAPathTooLongForASocket", func(t *testing.T) {
		t.Parallel()
		nobody := func(string) string { return "" }
		longest := "/" + strings.Repeat("x", 107-len("//executor.sock"))
		if _, err := ResolveHome(longest, nobody, 0); err != nil {
			t.Errorf("the longest path that fits: %v", err)
		}
		_, err := ResolveHome(longest+"x", nobody, 0)
		if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "at most 107") {
			t.Errorf("one byte more: got %v", err)
		}
	})
}

func TestHomePrepare(t *testing.T) {
	t.Parallel()
	t.Run("MakesItPrivate", func(t *testing.T) {
		t.Parallel()
		home := Home{Path: filepath.Join(t.TempDir(), "a", "b")}
		for range 2 {
			if err := home.Prepare(); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(home.Path)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("got %v, %v", info.Mode(), err)
		}
	})
	t.Run("RefusesSomebodyElses", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			t.Skip("only root can make a directory of somebody else's")
		}
		home := Home{Path: filepath.Join(t.TempDir(), "theirs")}
		if err := os.Mkdir(home.Path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(home.Path, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if err := home.Prepare(); err == nil || !strings.Contains(err.Error(), "belongs to uid 12345") {
			t.Errorf("got %v", err)
		}
	})
}

func TestHomeLock(t *testing.T) {
	t.Parallel()
	home := Home{Path: t.TempDir()}
	first, err := home.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := home.Lock(); err == nil || !strings.Contains(err.Error(), "already (pid ") {
		t.Errorf("the second lock: got %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := home.Lock()
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
