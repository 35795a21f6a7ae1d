package logs

// Place is where an attempt's output lies. It is kept with the attempt, so that
// reading never searches. An attempt writes at first into segments it shares with
// others of the same executor loop, each record tagged with the attempt's id;
// once it has written or lived long it writes into segments of its own, which are
// found by its id.
type Place struct {
	// Epoch names the shared segments' series; 0 means that nothing is known yet.
	Epoch uint64 `json:"epoch"`
	// First and FirstOffset are the number of the shared segment and the byte at
	// which the attempt's output begins.
	First       uint64 `json:"first"`
	FirstOffset int64  `json:"first_offset"`
	// Last and LastOffset are where its shared part ends (exclusive). Last 0 means
	// that the attempt has not ended, so that its end is not known: it is in
	// segment First or the one after it, further an attempt never writes there.
	Last       uint64 `json:"last,omitempty"`
	LastOffset int64  `json:"last_offset,omitempty"`
	// Own says that segments of its own follow the shared part.
	Own bool `json:"own,omitempty"`
}

// sharedSpan is how many shared segments an attempt may write to, beginning with
// the one that is current when it is opened. It bounds what a reader searches
// through while the end of the shared part is not known.
const sharedSpan = 2

// lastShared is the number of the last shared segment that may have output.
func (p Place) lastShared() uint64 {
	if p.Last != 0 {
		return p.Last
	}
	return p.First + sharedSpan - 1
}

// emptyShared says that nothing of the output is in shared segments.
func (p Place) emptyShared() bool {
	return p.Epoch == 0 || p.First == p.Last && p.FirstOffset == p.LastOffset
}
