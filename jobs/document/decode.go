package document

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// decoder fills Go values from Values and collects what is wrong.
type decoder struct {
	problems Problems
	// trail leads from the root to the value being read. It becomes a Path only
	// when there is a problem.
	trail []step
}

// step is one step down: to the member of a map that has the name, or to the
// item of a list.
type step struct {
	name  string
	index int // -1 for a member
}

// decode fills into, a pointer that is not nil, from v.
func decode(v *Value, into any) Problems {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return Problems{{Text: fmt.Sprintf("internal error: cannot decode into a %T, only into a pointer", into)}}
	}
	var d decoder
	d.value(v, target.Elem(), "")
	return d.problems
}

// value fills target, which is settable, from v. The hint is what the target's
// field says would help when v has the wrong type.
func (d *decoder) value(v *Value, target reflect.Value, hint string) {
	if v.kind == Invalid {
		d.report(v, v.text)
		return
	}
	info := infoOf(target.Type())
	if info.preset {
		target.Addr().Interface().(Presetter).Preset()
	}
	ok := false
	switch info.shape {
	case shapeUnmarshaler:
		d.reportError(v, target.Addr().Interface().(Unmarshaler).UnmarshalDocument(v))
		return
	case shapeText:
		if ok = v.kind == String; ok {
			d.reportError(v, target.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(v.text)))
		}
	case shapeAny:
		if x := d.any(v); x == nil {
			target.SetZero()
		} else {
			target.Set(reflect.ValueOf(x))
		}
		return
	case shapeBool:
		if ok = v.kind == Bool; ok {
			target.SetBool(v.text == "true")
		}
	case shapeInt, shapeUint, shapeFloat:
		if ok = v.kind == Number; ok {
			d.number(v, target, info)
		}
	case shapeString:
		if ok = v.kind == String; ok {
			target.SetString(v.text)
		}
	case shapePointer:
		if v.kind == Null {
			target.SetZero()
			return
		}
		element := reflect.New(target.Type().Elem())
		d.value(v, element.Elem(), hint)
		target.Set(element)
		return
	case shapeList:
		ok = d.list(v, target)
	case shapeMap:
		ok = d.mapping(v, target)
	case shapeStruct:
		if ok = v.kind == Map; ok {
			d.structure(v, target, info)
		}
	case shapeUnknown:
		d.report(v, fmt.Sprintf("internal error: no document can fill a %s", target.Type()))
		return
	}
	if !ok {
		d.reportType(v, info, hint)
	}
}

// number fills an integer or a float. What does not fit is refused, never
// rounded or cut.
func (d *decoder) number(v *Value, target reflect.Value, info *typeInfo) {
	var err error
	bits := target.Type().Bits()
	switch info.shape {
	case shapeInt:
		var n int64
		n, err = strconv.ParseInt(v.text, 10, bits)
		target.SetInt(n)
	case shapeUint:
		var n uint64
		n, err = strconv.ParseUint(v.text, 10, bits)
		target.SetUint(n)
	default:
		var n float64
		n, err = strconv.ParseFloat(v.text, bits)
		if math.IsNaN(n) || math.IsInf(n, 0) && err == nil {
			d.report(v, "expected a number, got one that is not finite")
			n = 0
		}
		target.SetFloat(n)
	}
	switch {
	case err == nil:
		return
	case errors.Is(err, strconv.ErrRange):
		d.report(v, fmt.Sprintf("%s is out of range", clip(v.text)))
	case info.shape == shapeUint && strings.HasPrefix(v.text, "-"):
		d.report(v, fmt.Sprintf("expected a whole number from 0, got %s", clip(v.text)))
	default:
		d.report(v, "expected a whole number, got "+v.got())
	}
	target.SetZero()
}

// list fills a slice. Nothing is an empty one.
func (d *decoder) list(v *Value, target reflect.Value) bool {
	switch v.kind {
	case Null:
		target.SetZero()
		return true
	case List:
	default:
		return false
	}
	list := reflect.MakeSlice(target.Type(), len(v.items), len(v.items))
	for i := range v.items {
		d.trail = append(d.trail, step{index: i})
		d.value(&v.items[i], list.Index(i), "")
		d.trail = d.trail[:len(d.trail)-1]
	}
	target.Set(list)
	return true
}

// mapping fills a Go map. Nothing is an empty one. A member that could not be
// read is there all the same, as far as it could be.
func (d *decoder) mapping(v *Value, target reflect.Value) bool {
	switch v.kind {
	case Null:
		target.SetZero()
		return true
	case Map:
	default:
		return false
	}
	t := target.Type()
	filled := reflect.MakeMapWithSize(t, len(v.members))
	for i := range v.members {
		m := &v.members[i]
		key := reflect.ValueOf(m.name).Convert(t.Key())
		if filled.MapIndex(key).IsValid() {
			d.reportTwice(m)
			continue
		}
		element := reflect.New(t.Elem()).Elem()
		d.member(m, element, "")
		filled.SetMapIndex(key, element)
	}
	target.Set(filled)
	return true
}

// structure fills the fields of a struct that v names; the others stay as they
// are.
func (d *decoder) structure(v *Value, target reflect.Value, info *typeInfo) {
	seen := make([]bool, len(info.fields))
	for i := range v.members {
		m := &v.members[i]
		switch f, known := info.fields[m.name]; {
		case !known:
			d.reportUnknown(m, info)
		case seen[f.number]:
			d.reportTwice(m)
		default:
			seen[f.number] = true
			d.member(m, target.FieldByIndex(f.index), f.hint)
		}
	}
}

func (d *decoder) member(m *member, target reflect.Value, hint string) {
	d.trail = append(d.trail, step{name: m.name, index: -1})
	d.value(&m.value, target, hint)
	d.trail = d.trail[:len(d.trail)-1]
}

// any is v in the types that encoding/json uses, except that a whole number is
// an int64 where it fits, and a date is a string.
func (d *decoder) any(v *Value) any {
	switch v.kind {
	case Bool:
		return v.text == "true"
	case Number:
		if n, err := strconv.ParseInt(v.text, 10, 64); err == nil {
			return n
		}
		var n float64
		d.value(v, reflect.ValueOf(&n).Elem(), "")
		return n
	case String, Time:
		return v.text
	case List:
		list := []any{}
		d.list(v, reflect.ValueOf(&list).Elem())
		return list
	case Map:
		m := map[string]any{}
		d.mapping(v, reflect.ValueOf(&m).Elem())
		return m
	default:
		return nil
	}
}

// reportType says that v has another type than the target's.
func (d *decoder) reportType(v *Value, info *typeInfo, hint string) {
	text := "expected " + info.wanted + ", got " + v.got()
	switch {
	case hint != "":
		text += "; " + hint
	case info.wanted == "a string" && (v.kind == Number || v.kind == Bool || v.kind == Time):
		text += "; write " + strconv.Quote(clip(v.text))
	}
	d.report(v, text)
}

// reportUnknown says that no field has the member's name. A name that could not
// be read is no name to look for.
func (d *decoder) reportUnknown(m *member, info *typeInfo) {
	text := "unknown key"
	if near := DidYouMean(m.name, info.names); near != "" {
		text += near
	} else if len(info.names) > 0 {
		text += "; known are " + strings.Join(info.names, ", ")
	}
	if m.value.kind == Invalid {
		text = m.value.text
	}
	d.reportAt(m.place, d.path().Key(m.name), text)
}

func (d *decoder) reportTwice(m *member) {
	d.reportAt(m.place, d.path().Key(m.name), "is given twice; only one can count")
}

// reportError reports what a type has to say about its own value.
func (d *decoder) reportError(v *Value, err error) {
	var problems Problems
	switch {
	case err == nil:
	case errors.As(err, &problems):
		for _, problem := range problems.Under(d.path()) {
			d.problems.Add(problem)
		}
	default:
		d.report(v, err.Error())
	}
}

func (d *decoder) report(v *Value, text string) {
	d.reportAt(v.place, d.path(), text)
}

func (d *decoder) reportAt(at place, path Path, text string) {
	d.problems.Add(Problem{Line: int(at.line), Column: int(at.column), Path: path, Text: text})
}

// path is the trail as a Path.
func (d *decoder) path() Path {
	var path Path
	for _, s := range d.trail {
		if s.index < 0 {
			path = path.Key(s.name)
		} else {
			path = path.Index(s.index)
		}
	}
	return path
}
