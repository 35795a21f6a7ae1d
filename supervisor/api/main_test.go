package api

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(strangerEnv); socket != "" {
		callAsStranger(socket)
	}
	goleak.VerifyTestMain(m)
}
