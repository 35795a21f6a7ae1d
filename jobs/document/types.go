package document

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Unmarshaler reads itself from a Value, where a document may write something in
// more than one way or where a plain type error would not help. The error's text
// is reported at the value; Problems keep their places, their paths are taken
// from the value on.
type Unmarshaler interface {
	UnmarshalDocument(v *Value) error
}

// Presetter fills in what a document may leave out, before it is read. What the
// document says replaces it.
type Presetter interface {
	Preset()
}

// shape is how values of one Go type are read.
type shape uint8

const (
	shapeUnknown     shape = iota // a type that no document can fill
	shapeUnmarshaler              // reads itself
	shapeText                     // reads itself from text
	shapeAny
	shapeBool
	shapeInt
	shapeUint
	shapeFloat
	shapeString
	shapePointer
	shapeList
	shapeMap
	shapeStruct
)

// typeInfo is what the decoder knows about a Go type, worked out once.
type typeInfo struct {
	shape  shape
	preset bool
	// wanted describes the type in the first half of "expected X, got Y".
	wanted string
	// fields are those of a struct by the names that documents use, names the
	// same names sorted.
	fields map[string]field
	names  []string
}

// field is one field of a struct, its own or that of a struct embedded in it.
type field struct {
	index []int
	// number counts the fields of the struct from 0.
	number int
	hint   string
}

// types caches a *typeInfo by reflect.Type: looking at a type's methods and tags
// costs more than reading a value into it.
var types sync.Map

func infoOf(t reflect.Type) *typeInfo {
	if info, ok := types.Load(t); ok {
		return info.(*typeInfo)
	}
	info, _ := types.LoadOrStore(t, newTypeInfo(t))
	return info.(*typeInfo)
}

func newTypeInfo(t reflect.Type) *typeInfo {
	pointer := reflect.PointerTo(t)
	info := &typeInfo{
		shape:  shapeOf(t),
		preset: pointer.Implements(reflect.TypeFor[Presetter]()),
		wanted: describe(t),
	}
	if info.shape == shapeStruct {
		info.fields = map[string]field{}
		info.addFields(t, nil)
		for name := range info.fields {
			info.names = append(info.names, name)
		}
		slices.Sort(info.names)
	}
	return info
}

func shapeOf(t reflect.Type) shape {
	pointer := reflect.PointerTo(t)
	switch {
	case pointer.Implements(reflect.TypeFor[Unmarshaler]()):
		return shapeUnmarshaler
	case pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return shapeText
	}
	switch t.Kind() {
	case reflect.Bool:
		return shapeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return shapeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return shapeUint
	case reflect.Float32, reflect.Float64:
		return shapeFloat
	case reflect.String:
		return shapeString
	case reflect.Pointer:
		return shapePointer
	case reflect.Slice:
		return shapeList
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return shapeMap
		}
	case reflect.Struct:
		return shapeStruct
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return shapeAny
		}
	}
	return shapeUnknown
}

// addFields adds the exported fields of t, which is found at index from the
// struct the info is for. Embedded structs without a name flatten; where two
// fields have one name the outer one wins.
func (info *typeInfo) addFields(t reflect.Type, index []int) {
	var embedded []reflect.StructField
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			embedded = append(embedded, f)
		case f.IsExported():
			if name == "" {
				name = f.Name
			}
			if _, taken := info.fields[name]; !taken {
				info.fields[name] = field{
					index:  slices.Concat(index, f.Index),
					number: len(info.fields),
					hint:   f.Tag.Get("hint"),
				}
			}
		}
	}
	for _, f := range embedded {
		info.addFields(f.Type, slices.Concat(index, f.Index))
	}
}

// describe says what a document has to write for t.
func describe(t reflect.Type) string {
	switch shapeOf(t) {
	case shapeBool:
		return "true or false"
	case shapeInt, shapeUint:
		return "a whole number"
	case shapeFloat:
		return "a number"
	case shapeString, shapeText:
		return "a string"
	case shapePointer:
		return describe(t.Elem())
	case shapeList:
		return "a list" + describeElements(t.Elem())
	case shapeMap:
		return "a map" + describeElements(t.Elem())
	case shapeStruct:
		return "a map"
	case shapeAny:
		return "anything"
	default:
		return fmt.Sprintf("what a %s is made of", t)
	}
}

func describeElements(t reflect.Type) string {
	switch shapeOf(t) {
	case shapeBool:
		return " of booleans"
	case shapeInt, shapeUint:
		return " of whole numbers"
	case shapeFloat:
		return " of numbers"
	case shapeString, shapeText:
		return " of strings"
	case shapePointer:
		return describeElements(t.Elem())
	case shapeList:
		return " of lists"
	case shapeMap, shapeStruct:
		return " of maps"
	default:
		return ""
	}
}
