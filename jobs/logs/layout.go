package logs

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Names below a log directory. Numbers are padded so that a listing is in order,
// and read as numbers so that nothing depends on the padding.
const (
	sharedFolder = "shared"
	ownFolder    = "own"
	extension    = ".log"
	// attemptsPerFolder keeps own/ listable when there have been millions.
	attemptsPerFolder = 1000
)

// sharedPath is the shared segment with this number of the epoch's series.
func sharedPath(dir string, epoch, number uint64) string {
	return filepath.Join(dir, sharedFolder, fmt.Sprintf("%010d-%010d%s", epoch, number, extension))
}

// ownFolders are the folders that lead to an attempt's own segments, outermost
// first. Only the first exists from the start.
func ownFolders(dir string, attempt int64) [3]string {
	own := filepath.Join(dir, ownFolder)
	thousand := filepath.Join(own, strconv.FormatInt(attempt/attemptsPerFolder, 10))
	return [3]string{own, thousand, filepath.Join(thousand, strconv.FormatInt(attempt, 10))}
}

// ownPath is the attempt's own segment that begins after offset bytes of output.
func ownPath(dir string, attempt, offset int64) string {
	return filepath.Join(ownFolders(dir, attempt)[2], fmt.Sprintf("%016d%s", offset, extension))
}

// parseOwnName is the reverse of [ownPath], for a name without its folder.
func parseOwnName(name string) (offset int64, ok bool) {
	base, isLog := strings.CutSuffix(name, extension)
	offset, err := strconv.ParseInt(base, 10, 64)
	return offset, isLog && err == nil && offset >= 0
}
