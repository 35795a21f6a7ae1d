package logs

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRecordHasTheDocumentedForm(t *testing.T) {
	t.Parallel()
	var s stamper
	at := time.Date(2026, 11, 23, 16, 4, 5, 60_000_000, time.FixedZone("", 3600))
	h := appendHeader(nil, s.stamp(at), Stderr, 1234)
	if got, want := string(h.bytes), "2026-11-23T15:04:05.060000000Z stderr F:1234 "; got != want {
		t.Errorf("header %q, want %q", got, want)
	}
	h.setPartial(true)
	line, attempt, ok := parseRecord(append(h.bytes, "a text"...))
	if !ok || attempt != 1234 || !line.At.Equal(at) || line.Stream != Stderr || !line.Partial || string(line.Text) != "a text" {
		t.Errorf("parsed %+v of attempt %d, %v", line, attempt, ok)
	}
}

func TestParseRecordRefusesWhatNoWriterWrites(t *testing.T) {
	t.Parallel()
	const stamp = "2026-11-23T15:04:05.060000000Z"
	for name, record := range map[string]string{
		"Empty":          "",
		"NoTag":          stamp + " stdout text",
		"NoSpaceAtEnd":   stamp + " stdout F:1",
		"UnknownStream":  stamp + " stdin F:1 text",
		"UnknownTag":     stamp + " stdout X:1 text",
		"NoID":           stamp + " stdout F: text",
		"NegativeID":     stamp + " stdout F:-1 text",
		"PaddedID":       stamp + " stdout F:01 text",
		"HugeID":         stamp + " stdout F:9999999999999999999 text",
		"NoTime":         "yesterday stdout F:1 text",
		"NULs":           string(make([]byte, 100)),
		"TextTooLong":    stamp + " stdout F:1 " + string(make([]byte, maxText+1)),
		"TextMuchToLong": stamp + " stdout F:1 " + string(make([]byte, 2*maxText)),
	} {
		if line, attempt, ok := parseRecord([]byte(record)); ok {
			t.Errorf("%s: parsed as %+v of attempt %d", name, line, attempt)
		}
	}
}

func TestStampIsWhatTimeFormats(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s stamper
		at := time.Unix(rapid.Int64Range(-1e9, 1e12).Draw(t, "second"), 0)
		for range 20 {
			// Steps both within a second and over its end, in both directions.
			at = at.Add(time.Duration(rapid.Int64Range(-2e9, 2e9).Draw(t, "step")))
			if got, want := string(s.stamp(at)), at.UTC().Format(stampLayout); got != want {
				t.Fatalf("stamp %q, want %q", got, want)
			}
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("2026-11-23T15:04:05.06Z stdout F:1 text"))
	f.Add([]byte("2026-11-23T15:04:05.060000000Z heroproc P:9223372036854775807 \xff\x00\r"))
	f.Add([]byte("  F:1 "))
	f.Fuzz(func(t *testing.T, record []byte) {
		line, attempt, ok := parseRecord(record)
		if !ok {
			return
		}
		if !bytes.HasSuffix(record, line.Text) {
			t.Fatalf("text %q is not the end of %q", line.Text, record)
		}
		// What is parsed is what is written again, but for how the time is spelt.
		var s stamper
		h := appendHeader(nil, s.stamp(line.At), line.Stream, attempt)
		h.setPartial(line.Partial)
		again, attemptAgain, ok := parseRecord(append(h.bytes, line.Text...))
		if !ok || attemptAgain != attempt || !again.At.Equal(line.At) || again.Stream != line.Stream ||
			again.Partial != line.Partial || !bytes.Equal(again.Text, line.Text) {
			t.Fatalf("%+v became %+v", line, again)
		}
	})
}

func TestParseCursor(t *testing.T) {
	t.Parallel()
	for _, c := range []Cursor{{}, {segment: 3, offset: 17}, {own: true}, {own: true, segment: 65536, offset: 1 << 40}, beforeOwn} {
		got, err := ParseCursor(c.String())
		if err != nil || got != c {
			t.Errorf("%+v as %q became %+v, %v", c, c, got, err)
		}
	}
	for _, text := range []string{"s", "oo", "o-1-0", "x1-1", "s0-1", "s1", "s1-", "s-1-1", "o1--1", "o99999999999999999999-1", "../../etc-1", "é"} {
		if c, err := ParseCursor(text); err == nil {
			t.Errorf("%q was read as %+v", text, c)
		}
	}
}
