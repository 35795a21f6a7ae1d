package api

import (
	"context"
	"reflect"
	"slices"
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
