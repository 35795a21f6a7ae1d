package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/heroproc/heroproc/jobs/document"
)

// Method is one thing that can be called. The table of all of them is what the
// dispatcher looks into, and what a description of the API is made from.
type Method struct {
	// Name is the noun and the verb, such as "run.submit".
	Name string
	// Doc says in a sentence what it does.
	Doc string
	// Params and Result are the types that are decoded and encoded.
	Params, Result reflect.Type
	// waits says that it may take as long as its caller asks.
	waits bool
	// handle decodes the parameters, nil where there are none, and calls the
	// handler.
	handle func(s *Server, ctx context.Context, params []byte) (any, error)
}

// Methods is the table, noun by noun.
func Methods() []Method {
	return slices.Concat(runMethods(), jobMethods(), systemMethods())
}

// define makes a Method of a handler; its types say how to decode and encode.
func define[P, R any](name, doc string, handler func(*Server, context.Context, P) (R, error)) Method {
	return Method{
		Name:   name,
		Doc:    doc,
		Params: reflect.TypeFor[P](),
		Result: reflect.TypeFor[R](),
		handle: func(s *Server, ctx context.Context, params []byte) (any, error) {
			var p P
			if err := decodeParams(params, &p); err != nil {
				return nil, err
			}
			return handler(s, ctx, p)
		},
	}
}

// waiting marks a method that may take as long as its caller asks.
func waiting(m Method) Method {
	m.waits = true
	return m
}

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
