package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Load reads the configuration: the defaults, over them the file at path ("" for
// none), over it the environment (as of os.Environ), over it the flags (by key:
// "listen", "store.shards"). The error is Problems: all that is wrong, with the
// place of each.
func Load(path string, env []string, flags map[string]string) (Config, error) {
	l := &loader{origins: origins{}}
	c := Default()
	if path != "" {
		l.file(path, &c)
	}
	l.environment(env, &c)
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		l.flag(key, flags[key], reflect.ValueOf(&c).Elem())
	}
	for i := range c.Accounts {
		c.Accounts[i].complete()
	}
	l.add(c.Validate())
	if len(l.problems) > 0 {
		l.problems.sort()
		return Config{}, l.problems
	}
	return c, nil
}

// loader collects where values came from and what is wrong with them.
type loader struct {
	origins  origins
	problems Problems
	unread   []string        // keys whose values could not be read
	used     map[string]bool // environment variables
}

func (l *loader) problem(at origin, key, text string) {
	l.problems = append(l.problems, Problem{at.source, at.line, at.column, key, text})
}

// unreadable is a problem of a value that is not what its key wants.
func (l *loader) unreadable(at origin, key, text string) {
	l.unread = append(l.unread, key)
	l.problem(at, key, text)
}

// add puts problems of values to the places these came from. What could not be
// read is not reported again for the value it has instead.
func (l *loader) add(found Problems) {
	for _, p := range found {
		about := func(key string) bool {
			rest, ok := strings.CutPrefix(p.Key, key)
			return ok && key != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
		}
		if !slices.ContainsFunc(l.unread, about) {
			l.problem(l.origins.of(p.Key), p.Key, p.Text)
		}
	}
}

// content sets a value to what is in a file, without line breaks at the end.
func (l *loader) content(at origin, path string, v reflect.Value, key string) {
	l.origins[key] = at
	text, err := os.ReadFile(path)
	if err != nil {
		v.SetString(masked) // it is given: that is not to be reported too
		l.unreadable(at, key, causeOf(err))
		return
	}
	v.SetString(strings.TrimRight(string(text), "\r\n"))
}

func (l *loader) flag(key, text string, v reflect.Value) {
	at := origin{source: "--" + strings.ReplaceAll(key, "_", "-")}
	for name := range strings.SplitSeq(key, ".") {
		found := false
		if v.Kind() == reflect.Struct {
			for _, f := range fields(v) {
				if f.key == name {
					v, found = f.value, true
				}
			}
		}
		if !found {
			l.problem(at, key, "unknown key")
			return
		}
	}
	l.origins[key] = at
	if err := setText(v, text); err != nil {
		l.unreadable(at, key, err.Error())
	}
}

// complete gives an account the block of its provider, if it has none at all.
func (a *Account) complete() {
	var own reflect.Value
	for _, f := range fields(reflect.ValueOf(a).Elem()) {
		if f.value.Kind() != reflect.Pointer {
			continue
		}
		if !f.value.IsNil() {
			return
		}
		if f.key == a.Provider {
			own = f.value
		}
	}
	if own.IsValid() {
		own.Set(made(own.Type().Elem()))
	}
}

// causeOf is why a file could not be read, with its name.
func causeOf(err error) string {
	if bad := (*fs.PathError)(nil); errors.As(err, &bad) {
		return "cannot read " + bad.Path + ": " + bad.Err.Error()
	}
	return err.Error()
}
