package awswire

import (
	"reflect"
	"strings"
)

// shape is how a struct is spelled on the wire, found out once.
type shape struct{ members []member }

// member is a field of a struct.
type member struct {
	index        []int
	name         string // in JSON; of a plain value also in a form
	list         string // of a list's or map's entries in a form: "Tags.member"
	outer, entry string // the same in XML: "Tags" or "", "member"
	key, value   string // of a map
	omit         bool   // if empty
	part         part
}

// part is how a value is read and written.
type part struct {
	kind  kind
	shape *shape // of a struct
	elem  *part  // of a list's or map's entries
}

type kind uint8

const (
	plain kind = iota // text, number, boolean, bytes, or a pointer to one
	structure
	pointer // to a structure
	list
	table
)

// shapeOf finds a struct's shape. Structs must not contain themselves.
func shapeOf(t reflect.Type) *shape {
	s := &shape{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous { // its fields are as good as t's own, as in JSON
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		m := member{index: f.Index, name: name, omit: strings.Contains(options, "omitempty"), part: partOf(f.Type)}
		tag := strings.Split(f.Tag.Get("query"), ",")
		m.list = tag[0]
		if len(tag) == 3 {
			m.key, m.value = tag[1], tag[2]
		}
		m.entry = m.list
		if outer, entry, nested := strings.Cut(m.list, "."); nested {
			m.outer, m.entry = outer, entry
		}
		s.members = append(s.members, m)
	}
	return s
}

func partOf(t reflect.Type) part {
	switch {
	case t.Kind() == reflect.Struct:
		return part{kind: structure, shape: shapeOf(t)}
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		return part{kind: pointer, shape: shapeOf(t.Elem())}
	case t.Kind() == reflect.Map, t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		elem := partOf(t.Elem())
		if t.Kind() == reflect.Map {
			return part{kind: table, elem: &elem}
		}
		return part{kind: list, elem: &elem}
	}
	return part{}
}
