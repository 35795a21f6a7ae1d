package logs

import (
	"testing"
	"time"
)

func TestWriterRefusesAnEpochThatHasBeenUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := NewWriter(Options{Dir: dir}, 7)
	if err != nil {
		t.Fatal(err)
	}
	o := w.Open(1, 0, time.Now())
	o.Write(Stdout, []byte("hello\n"), time.Now())
	o.Close(time.Now())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for epoch, wantErr := range map[uint64]bool{0: true, 7: true, 8: false} {
		if _, err := NewWriter(Options{Dir: dir}, epoch); (err != nil) != wantErr {
			t.Errorf("epoch %d: error %v, want one: %v", epoch, err, wantErr)
		}
	}
}
