package logs

// Place is where an attempt's output lies: it is kept with the attempt, so that
// reading never searches. An attempt writes at first into a segment it shares
// with others of the same executor loop, each line tagged with the attempt's
// id; once it has written or lived long it writes into segments of its own,
// which are found by its id.
type Place struct {
	// Epoch names the shared segments' series; 0 means that nothing is known yet.
	Epoch uint64 `json:"epoch"`
	// First and FirstOffset are the number of the shared segment and the byte at
	// which the attempt's output begins.
	First       uint64 `json:"first"`
	FirstOffset int64  `json:"first_offset"`
	// Last and LastOffset are where its shared part ends (exclusive). Last 0 means
	// that the attempt has not ended, so that its end is not known.
	Last       uint64 `json:"last,omitempty"`
	LastOffset int64  `json:"last_offset,omitempty"`
	// Own says that segments of its own follow the shared part.
	Own bool `json:"own,omitempty"`
}
