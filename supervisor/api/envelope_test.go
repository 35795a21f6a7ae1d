package api

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzWalk holds the walk through JSON against encoding/json.
func FuzzWalk(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, ` { "a" : 1 , "b":[ {}, "x\"]" ] } `, `[1,"\\",{"a":"}"},null,-1.5e3]`, `{"\u0061":{"b":{"c":[]}},"":true}`, `[[],[[]],[]]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		text = bytes.Trim(text, " \n\t\r")
		if checkText(text) != nil {
			return
		}
		switch text[0] {
		case '{':
			var want map[string]json.RawMessage
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			got := make(map[string]json.RawMessage)
			for key, value := range members(text) {
				got[key] = value
			}
			if len(got) != len(want) {
				t.Fatalf("%s: got %q, want %q", text, got, want)
			}
			for key, value := range want {
				if !bytes.Equal(got[key], value) {
					t.Fatalf("%s: %q is %s, want %s", text, key, got[key], value)
				}
			}
		case '[':
			var want []json.RawMessage
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			i := 0
			for value := range elements(text) {
				if i >= len(want) || !bytes.Equal(value, want[i]) {
					t.Fatalf("%s: element %d is %s", text, i, value)
				}
				i++
			}
			if i != len(want) {
				t.Fatalf("%s: %d elements, want %d", text, i, len(want))
			}
		}
	})
}
