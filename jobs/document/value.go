package document

import (
	"strconv"
	"strings"
)

// Kind is what a Value is.
type Kind uint8

const (
	// Invalid is a value that its format allows and a document does not, such as
	// a YAML tag nobody knows; Text says why. The decoder reports it.
	Invalid Kind = iota
	// Null is a value that is not there: null, ~ or nothing after the colon.
	Null
	// Bool is true or false.
	Bool
	// Number is any number; Text is its literal, so that no digit is lost.
	Number
	// String is text.
	String
	// Time is a date or a time of day that was not quoted, which YAML and TOML
	// take for more than text.
	Time
	// List is a sequence of values.
	List
	// Map is named values.
	Map
)

// String is the kind with its article, as messages use it.
func (k Kind) String() string {
	switch k {
	case Null:
		return "nothing"
	case Bool:
		return "true or false"
	case Number:
		return "a number"
	case String:
		return "a string"
	case Time:
		return "a date"
	case List:
		return "a list"
	case Map:
		return "a map"
	default:
		return "an invalid value"
	}
}

// Value is one value of a document, with its place. It is read-only. What lies
// inside of it is read by Decode.
type Value struct {
	place
	kind    Kind
	text    string
	items   []Value
	members []member
}

// member is one named value of a Map. A name that is written twice is there
// twice: the decoder reports it.
type member struct {
	place
	name  string
	value Value
}

// place is where something begins; zero where nobody asked for it.
type place struct {
	line, column int32
}

// Kind is what the value is.
func (v *Value) Kind() Kind { return v.kind }

// Text is the text of a String, the literal of a Number or a Time, "true" or
// "false".
func (v *Value) Text() string { return v.text }

// Decode fills into, which is a pointer, and reports every problem as Problems
// whose paths begin at this value. It lets an Unmarshaler use the same strict
// decoder for a part of itself.
func (v *Value) Decode(into any) error {
	return decode(v, into).Err()
}

// got describes the value in the second half of "expected X, got Y". Strings are
// not repeated: they may be secret.
func (v *Value) got() string {
	switch v.kind {
	case Bool:
		return v.text
	case Number:
		return "the number " + clip(v.text)
	case Time:
		return "the date " + clip(v.text)
	default:
		return v.kind.String()
	}
}

// floatLiteral is the literal of a number that was written as a fraction. It
// stays one, so that 1.0 is no more a whole number in YAML than it is in JSON.
func floatLiteral(f float64) string {
	literal := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(literal, ".eNI") { // N and I are for NaN and Inf
		literal += ".0"
	}
	return literal
}

func invalid(at place, why string) Value {
	return Value{place: at, kind: Invalid, text: why}
}
