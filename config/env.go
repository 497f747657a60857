package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// prefix of all environment variables.
const prefix = "FANFARE"

// environment sets values from variables: store.min_free is
// FANFARE_STORE_MIN_FREE, a list is separated by commas, and an empty variable
// counts as none. An account is FANFARE_ACCOUNTS_NAME_…, with the keys of its
// block right there (FANFARE_ACCOUNTS_MAIN_AUTH_TOKEN); one that is not in the
// file is created by its …_PROVIDER, an API key by its …_HASH, an access key by
// its …_ID.
func (l *loader) environment(env []string, c *Config) {
	e := envReader{l, map[string]string{}}
	for _, line := range env {
		name, text, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, prefix+"_") && text != "" {
			e.vars[name] = text
		}
	}
	l.used = map[string]bool{}
	e.section(reflect.ValueOf(c).Elem(), "", prefix)
}

// Unused are the variables that look like ours but set nothing, perhaps
// misspelt. They are no error: a cluster may set FANFARE_SERVICE_HOST.
func Unused(path string, env []string) []string {
	l := &loader{origins: origins{}}
	c := Default()
	if path != "" {
		l.file(path, &c)
	}
	l.environment(env, &c)
	var unused []string
	for _, line := range env {
		name, text, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, prefix+"_") && text != "" && !l.used[name] {
			unused = append(unused, name)
		}
	}
	return unused
}

type envReader struct {
	*loader
	vars map[string]string
}

// envName is a key or name as part of a variable's name.
func envName(key string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
}

func (e envReader) section(v reflect.Value, key, name string) {
	for _, f := range fields(v) {
		full, variable := join(key, f.key), name+"_"+envName(f.key)
		switch t := f.value.Type(); {
		case t.Kind() == reflect.Pointer:
			e.block(v, f, full, name)
		case t.Kind() == reflect.Struct:
			e.section(f.value, full, variable)
		case t.Kind() == reflect.Slice && isSection(t.Elem()):
			e.elements(f.value, full, variable)
		case t.Kind() == reflect.Map:
			e.table(f.value, full, variable)
		default:
			e.single(f.value, full, variable)
		}
	}
}

// block is the provider's block of an account; its variables do not repeat the
// provider's name.
func (e envReader) block(account reflect.Value, f field, key, name string) {
	if f.key != account.FieldByName("Provider").String() {
		return
	}
	block, before := f.value, len(e.used)
	if block.IsNil() {
		block = made(f.value.Type().Elem())
	}
	if e.section(block.Elem(), key, name); len(e.used) > before {
		f.value.Set(block)
	}
}

// elements are accounts or keys. All begin with their name, and the
// second field says that there is one.
func (e envReader) elements(v reflect.Value, key, name string) {
	known := map[string]bool{}
	for i := range v.Len() {
		known[envName(v.Index(i).Field(0).String())] = true
	}
	second := "_" + envName(fields(made(v.Type().Elem()).Elem())[1].key)
	for _, variable := range slices.Sorted(maps.Keys(e.vars)) {
		rest, ours := strings.CutPrefix(variable, name+"_")
		own, creates := strings.CutSuffix(rest, second)
		if !ours || !creates || known[own] {
			continue
		}
		element := made(v.Type().Elem()).Elem()
		element.Field(0).SetString(strings.ToLower(strings.ReplaceAll(own, "_", "-")))
		e.origins[fmt.Sprintf("%s[%d]", key, v.Len())] = origin{source: variable}
		v.Set(reflect.Append(v, element))
	}
	for i := range v.Len() {
		if own := envName(v.Index(i).Field(0).String()); own != "" {
			e.section(v.Index(i), fmt.Sprintf("%s[%d]", key, i), name+"_"+own)
		}
	}
}

func (e envReader) table(v reflect.Value, key, name string) {
	for _, variable := range slices.Sorted(maps.Keys(e.vars)) {
		if own, ok := strings.CutPrefix(variable, name+"_"); ok {
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			own = strings.ToLower(own)
			e.use(join(key, own), variable)
			v.SetMapIndex(reflect.ValueOf(own), reflect.ValueOf(e.vars[variable]))
		}
	}
}

func (e envReader) use(key, variable string) {
	e.used[variable] = true
	e.origins[key] = origin{source: variable}
}

func (e envReader) single(v reflect.Value, key, variable string) {
	text, set := e.vars[variable]
	if path, ok := e.vars[variable+"_FILE"]; ok && fromFile(v.Type()) {
		e.use(key, variable+"_FILE")
		e.content(origin{source: variable + "_FILE"}, path, v, key)
		if set {
			e.used[variable] = true
			e.problem(origin{source: variable}, key, variable+"_FILE is set too")
		}
		return
	}
	if !set {
		return
	}
	e.use(key, variable)
	if v.Kind() == reflect.Slice {
		list := strings.Split(text, ",")
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
		v.Set(reflect.ValueOf(list))
		maps.DeleteFunc(e.origins, func(element string, _ origin) bool { return strings.HasPrefix(element, key+"[") })
		return
	}
	if err := setText(v, text); err != nil {
		e.unreadable(origin{source: variable}, key, err.Error())
	}
}
