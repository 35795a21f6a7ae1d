package api

import (
	"bytes"
	"encoding/json"
	"sync"
)

// page is a buffer that is used again, with an encoder that writes into it.
type page struct {
	bytes.Buffer
	encoder *json.Encoder
}

// pages are used again, but for those that one large call has blown up.
var pages = sync.Pool{New: func() any {
	p := new(page)
	p.encoder = json.NewEncoder(&p.Buffer)
	p.encoder.SetEscapeHTML(false)
	return p
}}

// smallBytes is what nearly every call fits into: the largest buffer that is
// kept, and the largest request that needs no turn.
const smallBytes = 64 << 10

func newPage() *page { return pages.Get().(*page) }

func (p *page) release() {
	if p.Cap() <= smallBytes {
		p.Reset()
		pages.Put(p)
	}
}

// encode appends a value as JSON, or nothing where that fails.
func (p *page) encode(value any) error {
	before := p.Len()
	if err := p.encoder.Encode(value); err != nil {
		p.Truncate(before)
		return err
	}
	p.Truncate(p.Len() - 1) // the newline that an Encoder adds
	return nil
}
