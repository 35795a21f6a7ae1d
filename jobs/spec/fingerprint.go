package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Fingerprint tells whether two runs ask for the same: the SHA-256, in
// hexadecimal, of the run's JSON with its defaults filled in and without its
// idempotency key. A run from YAML, from TOML and from JSON has the same one.
func (r *Run) Fingerprint() string {
	same := *r
	same.Key = ""
	same.FillIn()
	text, err := json.Marshal(&same)
	if err != nil {
		// Strings, numbers and maps with string keys always have a JSON form, but
		// for a jitter that is no number, which Validate refuses.
		panic(fmt.Sprintf("internal error: cannot encode a run: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
