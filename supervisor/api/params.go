package api

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/heroproc/heroproc/jobs/document"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// decodeParams fills in parameters strictly: an unknown key or a wrong type is a
// problem with its path.
func decodeParams[P any](text []byte, into *P) error {
	if text == nil {
		text = []byte("{}")
	}
	if text[0] == '[' {
		return paramsError{document.Problems{{Text: "the parameters are a list, and no method takes them by position: " +
			`send an object, such as {"id": 1}`}}}
	}
	err := document.JSON(text, into)
	if content, ok := any(into).(interface{ Validate() error }); ok && err != nil {
		// The handler will not come to look at the content: its problems are told
		// together with those of the shape.
		err = document.Join(err, content.Validate())
	}
	return asParams(err)
}

// asParams marks problems as being about the shape of the parameters.
func asParams(err error) error {
	var problems document.Problems
	if errors.As(err, &problems) {
		return paramsError{problems}
	}
	return err
}

// checks collects what is wrong with the values of parameters.
type checks struct{ problems document.Problems }

// within refuses a number outside of a range.
func (c *checks) within(path document.Path, n, least, most int64) {
	if n < least || n > most {
		c.problems.Add(document.Problem{Path: path, Text: fmt.Sprintf("expected a number from %d to %d, got %d", least, most, n)})
	}
}

// id refuses what cannot be an id.
func (c *checks) id(n int64) {
	if n < 1 {
		c.problems.Add(document.Problem{Path: "id", Text: fmt.Sprintf("expected an id, a number from 1 on, got %d", n)})
	}
}

// err is what was found, or nil.
func (c *checks) err() error { return asParams(c.problems.Err()) }

// checkID refuses what cannot be an id.
func checkID(id int64) error {
	var c checks
	c.id(id)
	return c.err()
}

// checkPage answers how many rows a page of a list has.
func checkPage(p rpc.ListParams) (limit int, err error) {
	var c checks
	limit = cmp.Or(p.Limit, rpc.DefaultList)
	c.within("limit", int64(limit), 1, rpc.MaxList)
	c.within("before", p.Before, 0, math.MaxInt64)
	return limit, c.err()
}

// cutPage cuts off the row beyond a page, which is asked for only to tell
// whether another page follows, and answers where that one begins; 0 where there
// is none.
func cutPage[Row any](rows []Row, limit int, id func(Row) int64) (page []Row, next int64) {
	if len(rows) <= limit {
		return rows, 0
	}
	return rows[:limit], id(rows[limit-1])
}
