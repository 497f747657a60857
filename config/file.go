package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// fileReader sets a Config from YAML. It goes by the syntax tree, not by
// yaml.Unmarshal, which stops at the first unknown key or bad value.
type fileReader struct {
	*loader
	path    string
	anchors map[string]ast.Node
}

func (l *loader) file(path string, c *Config) {
	content, err := os.ReadFile(path)
	if err != nil {
		l.problem(origin{source: path}, "", causeOf(err))
		return
	}
	r := fileReader{l, path, map[string]ast.Node{}}
	tree, err := parser.ParseBytes(content, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return
	}
	for i, doc := range tree.Docs {
		switch {
		case doc.Body == nil:
		case i > 0:
			l.problem(r.at(doc.Body), "", "the file must hold one document, not several")
		default:
			r.value(doc.Body, reflect.ValueOf(c).Elem(), "")
		}
	}
}

// syntax reports a YAML error without the excerpt of the file it comes with:
// there may be secrets in it.
func (r fileReader) syntax(err error) {
	at := origin{source: r.path}
	text := "is no YAML"
	if bad := yaml.Error(nil); errors.As(err, &bad) {
		text = bad.GetMessage()
		if t := bad.GetToken(); t != nil {
			at = r.position(t)
		}
	}
	r.problem(at, "", text)
}

func (r fileReader) value(n ast.Node, v reflect.Value, key string) {
	switch n := n.(type) {
	case *ast.AnchorNode:
		r.value(n.Value, v, key)
		r.anchors[n.Name.GetToken().Value] = n.Value // after: an anchor cannot hold itself
		return
	case *ast.AliasNode:
		if target, ok := r.anchors[n.Value.GetToken().Value]; ok {
			r.value(target, v, key)
		} else {
			r.unreadable(r.at(n), key, "there is no such anchor before this line")
		}
		return
	case *ast.TagNode:
		r.value(n.Value, v, key)
		return
	case *ast.NullNode: // "store:" without anything: the defaults
		return
	}
	switch t := v.Type(); {
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(made(t.Elem()))
		}
		r.value(n, v.Elem(), key)
	case t.Kind() == reflect.Struct:
		r.section(n, v, key)
	case t.Kind() == reflect.Slice:
		r.list(n, v, key)
	case t.Kind() == reflect.Map:
		r.table(n, v, key)
	default:
		r.single(n, v, key)
	}
}

func (r fileReader) section(n ast.Node, v reflect.Value, key string) {
	all, given := fields(v), r.entries(n, key)
	for _, e := range given {
		full := join(key, e.name)
		known := false
		for _, f := range all {
			switch {
			case f.key == e.name:
				known = true
				r.origins[full] = e.at
				r.value(e.value, f.value, full)
			case f.key+"_file" == e.name && fromFile(f.value.Type()):
				known = true
				if slices.ContainsFunc(given, func(other entry) bool { return other.name == f.key }) {
					r.problem(e.at, full, f.key+" is given too")
				}
				r.valueFile(e.value, f.value, join(key, f.key))
			}
		}
		if !known {
			r.problem(e.at, full, "unknown key; there are "+names(all))
		}
	}
}

func names(all []field) string {
	keys := make([]string, len(all))
	for i, f := range all {
		keys[i] = f.key
	}
	return strings.Join(keys, ", ")
}

// valueFile reads a value from the file an entry names, relative to the
// configuration file's folder.
func (r fileReader) valueFile(n ast.Node, v reflect.Value, key string) {
	var path string
	r.single(n, reflect.ValueOf(&path).Elem(), key+"_file")
	if path == "" {
		return
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.path), path)
	}
	r.content(r.at(n), path, v, key)
}

// entry is a key of a mapping with its value.
type entry struct {
	name  string
	at    origin
	value ast.Node
}

// entries are the keys of a mapping in their order, each once.
func (r fileReader) entries(n ast.Node, key string) []entry {
	mapping, ok := n.(ast.MapNode)
	if !ok {
		r.unreadable(r.at(n), key, "must be a section of keys")
		return nil
	}
	var out []entry
	lines := map[string]int{}
	for i := mapping.MapRange(); i.Next(); {
		t := i.Key().GetToken()
		if line, twice := lines[t.Value]; twice {
			r.problem(r.position(t), join(key, t.Value), fmt.Sprintf("is given twice, first in line %d", line))
			continue
		}
		lines[t.Value] = t.Position.Line
		out = append(out, entry{t.Value, r.position(t), i.Value()})
	}
	return out
}

func (r fileReader) list(n ast.Node, v reflect.Value, key string) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		r.unreadable(r.at(n), key, "must be a list")
		return
	}
	for i, element := range sequence.Values {
		full := fmt.Sprintf("%s[%d]", key, i)
		r.origins[full] = r.at(element)
		e := made(v.Type().Elem()).Elem()
		r.value(element, e, full)
		v.Set(reflect.Append(v, e))
	}
}

func (r fileReader) table(n ast.Node, v reflect.Value, key string) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range r.entries(n, key) {
		full := join(key, e.name)
		r.origins[full] = e.at
		text := reflect.New(v.Type().Elem()).Elem()
		r.single(e.value, text, full)
		v.SetMapIndex(reflect.ValueOf(e.name), text)
	}
}

// single sets a value from its text as written: +15551234567 is no number.
func (r fileReader) single(n ast.Node, v reflect.Value, key string) {
	var text string
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		text = n.GetToken().Value
	default:
		r.unreadable(r.at(n), key, "must be a single value")
		return
	}
	r.origins[key] = r.at(n)
	if err := setText(v, text); err != nil {
		r.unreadable(r.at(n), key, err.Error())
	}
}

// at is where a node begins.
func (r fileReader) at(n ast.Node) origin {
	if mapping, ok := n.(ast.MapNode); ok {
		if i := mapping.MapRange(); i.Next() {
			return r.position(i.Key().GetToken())
		}
	}
	return r.position(n.GetToken())
}

func (r fileReader) position(t *token.Token) origin {
	return origin{r.path, t.Position.Line, t.Position.Column}
}
