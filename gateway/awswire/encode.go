package awswire

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"reflect"
	"slices"
	"strconv"
)

// encodeXML is an action's whole answer.
func encodeXML(r *Request, s *Service, out output) []byte {
	var b bytes.Buffer
	b.Grow(512)
	b.WriteString(`<?xml version="1.0"?><` + r.Action + `Response xmlns="` + s.Namespace + `">`)
	if out.value != nil {
		result := r.Action + "Result"
		open(&b, result)
		begin := b.Len()
		if encodeStruct(&b, out.shape, reflect.ValueOf(out.value).Elem()); b.Len() > begin {
			closing(&b, result)
		} else { // as AWS writes an empty result, which some look for as a text
			b.Truncate(begin - 1)
			b.WriteString("/>")
		}
	}
	b.WriteString(`<ResponseMetadata><RequestId>` + r.ID + `</RequestId></ResponseMetadata></` + r.Action + `Response>`)
	return b.Bytes()
}

func encodeStruct(b *bytes.Buffer, s *shape, v reflect.Value) {
	for i := range s.members {
		m := &s.members[i]
		f := v.FieldByIndex(m.index)
		if m.omit && f.IsZero() {
			continue
		}
		if m.outer != "" {
			open(b, m.outer)
		}
		switch m.part.kind {
		case table:
			encodeMap(b, m, f)
		case list:
			for j := range f.Len() {
				encodeValue(b, m.entry, m.part.elem, f.Index(j))
			}
		default:
			encodeValue(b, m.name, &m.part, f)
		}
		if m.outer != "" {
			closing(b, m.outer)
		}
	}
}

func encodeMap(b *bytes.Buffer, m *member, v reflect.Value) {
	keys := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	for _, k := range keys {
		open(b, m.entry)
		open(b, m.key)
		escape(b, k)
		closing(b, m.key)
		encodeValue(b, m.value, m.part.elem, v.MapIndex(reflect.ValueOf(k)))
		closing(b, m.entry)
	}
}

func encodeValue(b *bytes.Buffer, name string, p *part, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	open(b, name)
	switch v.Kind() {
	case reflect.Struct:
		encodeStruct(b, p.shape, v)
	case reflect.String:
		escape(b, v.String())
	case reflect.Int, reflect.Int64:
		b.Write(strconv.AppendInt(b.AvailableBuffer(), v.Int(), 10))
	case reflect.Bool:
		b.Write(strconv.AppendBool(b.AvailableBuffer(), v.Bool()))
	default: // []byte
		b.Write(base64.StdEncoding.AppendEncode(b.AvailableBuffer(), v.Bytes()))
	}
	closing(b, name)
}

func open(b *bytes.Buffer, name string) {
	b.WriteByte('<')
	b.WriteString(name)
	b.WriteByte('>')
}

func closing(b *bytes.Buffer, name string) {
	b.WriteString("</")
	b.WriteString(name)
	b.WriteByte('>')
}

func escape(b *bytes.Buffer, text string) {
	_ = xml.EscapeText(b, []byte(text)) // a bytes.Buffer takes everything
}
