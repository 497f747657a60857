package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Schema is the JSON Schema of the configuration file, for editors.
func Schema() []byte {
	root := schemaOf(reflect.ValueOf(Default()))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Fanfare"
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("config: schema: %v", err)) // maps, texts and numbers only
	}
	return append(text, '\n')
}

type schema = map[string]any

// schemaOf describes a section; v holds its defaults.
func schemaOf(v reflect.Value) schema {
	properties, required := schema{}, []string{}
	for _, f := range fields(v) {
		s := schemaOfValue(f.value, f.tag)
		s["description"] = f.tag.Get("doc")
		properties[f.key] = s
		if fromFile(f.value.Type()) {
			properties[f.key+"_file"] = schema{"type": "string", "description": "name of a file that holds " + f.key}
		}
		if f.key == "name" { // all else may come from the environment
			required = append(required, f.key)
		}
	}
	s := schema{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func schemaOfValue(v reflect.Value, tag reflect.StructTag) schema {
	switch t := v.Type(); t.Kind() {
	case reflect.Pointer:
		return schemaOf(made(t.Elem()).Elem())
	case reflect.Struct:
		return schemaOf(v)
	case reflect.Slice:
		if isSection(t.Elem()) {
			return schema{"type": []string{"array", "null"}, "items": schemaOf(made(t.Elem()).Elem())}
		}
		return schema{"type": []string{"array", "null"}, "items": schemaOfValue(reflect.New(t.Elem()).Elem(), tag)}
	case reflect.Map:
		return schema{"type": []string{"object", "null"}, "additionalProperties": schema{"type": "string"}}
	}
	s := schemaOfText(v, tag)
	if !v.IsZero() {
		s["default"] = fmt.Sprint(v.Interface())
		if v.Kind() == reflect.Int || v.Kind() == reflect.Float64 {
			s["default"] = v.Interface()
		}
	}
	return s
}

// schemaOfText describes a single value.
func schemaOfText(v reflect.Value, tag reflect.StructTag) schema {
	switch v.Interface().(type) {
	case Size:
		return schema{"type": []string{"string", "integer"}, "pattern": `^[0-9]+ *([kKMGTP]i?B|B)?$`, "examples": []string{tag.Get("max")}}
	case time.Duration:
		return schema{"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`, "examples": []string{tag.Get("max")}}
	}
	switch v.Kind() {
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Float64:
		kind := map[reflect.Kind]string{reflect.Int: "integer", reflect.Float64: "number"}[v.Kind()]
		return schema{"type": kind, "minimum": json.Number(tag.Get("min")), "maximum": json.Number(tag.Get("max"))}
	}
	// An unquoted phone number or account id is a number to YAML, a text to us.
	s := schema{"type": []string{"string", "number"}}
	if enum := tag.Get("enum"); enum != "" {
		s["enum"] = strings.Split(enum, ",")
	} else if form, ok := forms[tag.Get("form")]; ok {
		s["$comment"] = form.want
	}
	return s
}
