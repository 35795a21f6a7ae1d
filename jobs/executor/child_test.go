package executor

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
)

// runChild is a child that does what no shell can.
func runChild(args []string) int {
	switch args[0] {
	case "noise": // SEED BYTES: binary noise, and its checksum in the output file
		seed, _ := strconv.ParseUint(args[1], 10, 64)
		n, _ := strconv.ParseInt(args[2], 10, 64)
		if _, err := io.CopyN(os.Stdout, noise(seed), n); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	case "closefds": // closes its output and lives on until its input ends
		os.Stdout.Close()
		os.Stderr.Close()
		select {}
	}
	return 2
}

// noise is an endless sequence of all bytes, the same for the same seed.
func noise(seed uint64) io.Reader {
	return rand.NewChaCha8(sha256.Sum256(strconv.AppendUint(nil, seed, 10)))
}
