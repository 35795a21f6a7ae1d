package journal

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// appenderVariable makes the test binary a process that appends to the journal
// in the directory it names, until it is killed.
const appenderVariable = "HEROPROC_TEST_JOURNAL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(appenderVariable); dir != "" {
		err := appendForEver(dir)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// appendForEver says each number on standard output once it is appended.
func appendForEver(dir string) error {
	s, err := Open(dir, Options{SegmentBytes: 64 << 10})
	if err != nil {
		return err
	}
	w, err := s.NewEpoch()
	if err != nil {
		return err
	}
	for {
		number, err := w.Append(payload(w.Last() + 1))
		if err != nil {
			return err
		}
		if _, err := fmt.Println(number); err != nil {
			return err
		}
	}
}

// payload makes the payload that tests expect under a number; its length
// differs from number to number and crosses pages now and then.
func payload(number uint64) []byte {
	return fmt.Appendf(nil, "%0*d", 1+number*number*37%5000, number)
}
