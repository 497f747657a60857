package awswire

import (
	"encoding/base64"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// encodeXML is an action's whole answer.
func encodeXML(r *Request, s *Service, out any) []byte {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><` + r.Action + `Response xmlns="` + s.Namespace + `">`)
	if out != nil {
		b.WriteString("<" + r.Action + "Result>")
		encodeStruct(&b, reflect.ValueOf(out).Elem())
		b.WriteString("</" + r.Action + "Result>")
	}
	b.WriteString(`<ResponseMetadata><RequestId>` + r.ID + `</RequestId></ResponseMetadata></` + r.Action + `Response>`)
	return []byte(b.String())
}

func encodeStruct(b *strings.Builder, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		s := spell(v.Type().Field(i))
		if f.IsZero() && strings.Contains(v.Type().Field(i).Tag.Get("json"), ",omitempty") {
			continue
		}
		outer, entry, nested := strings.Cut(s.list, ".")
		if !nested {
			entry = s.list
		}
		if nested {
			b.WriteString("<" + outer + ">")
		}
		switch {
		case f.Kind() == reflect.Map:
			encodeMap(b, entry, s, f)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() != reflect.Uint8:
			for j := range f.Len() {
				encodeValue(b, entry, f.Index(j))
			}
		default:
			encodeValue(b, s.name, f)
		}
		if nested {
			b.WriteString("</" + outer + ">")
		}
	}
}

func encodeMap(b *strings.Builder, entry string, s spelling, m reflect.Value) {
	keys := make([]string, 0, m.Len())
	for _, k := range m.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	for _, k := range keys {
		b.WriteString("<" + entry + "><" + s.key + ">")
		escape(b, k)
		b.WriteString("</" + s.key + ">")
		encodeValue(b, s.value, m.MapIndex(reflect.ValueOf(k)))
		b.WriteString("</" + entry + ">")
	}
}

func encodeValue(b *strings.Builder, name string, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	b.WriteString("<" + name + ">")
	switch v.Kind() {
	case reflect.Struct:
		encodeStruct(b, v)
	case reflect.String:
		escape(b, v.String())
	case reflect.Int, reflect.Int64:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	default: // []byte
		b.WriteString(base64.StdEncoding.EncodeToString(v.Bytes()))
	}
	b.WriteString("</" + name + ">")
}
