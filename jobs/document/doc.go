// Package document reads what people and programs write, YAML, TOML or JSON,
// into Go types, and says everything that is wrong with it at once, each thing
// with its place.
//
// A document goes three steps:
//
//	text → tree of Values, each with its line → Go value
//
// The libraries judge the syntax of a format; what they accept becomes a tree.
// From there on the three formats are the same: one decoder fills Go types from
// the tree, strictly. A key that no field has, a key given twice, a value of
// another type than the field's: each is a [Problem], and nothing is guessed. A
// number is not a string and a string is not a list of one.
//
// Names are those of the json tags. Three things make a Go type richer than
// its fields, all optional:
//
//   - an [Unmarshaler] reads itself from a Value;
//   - a [Presetter] fills in what a document may leave out;
//   - a `hint:"..."` tag on a field says what would help when the value has the
//     wrong type.
//
// The same decoder reads the parameters of a call by [JSON], where there are no
// lines to speak of.
package document
