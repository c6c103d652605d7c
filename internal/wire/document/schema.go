package document

import (
	"encoding/json"
	"net/netip"
	"reflect"

	"hardnode.dev/internal/wire/boot"
)

// HostSchema is the JSON Schema (draft 2020-12) of a host's configuration, for editors: its fields as they are read, and what is asked of
// one field alone. What fields ask of each other is not in it: what it accepts may still be refused.
func HostSchema() []byte {
	s := described(reflect.TypeFor[boot.HostConfig](), "", boot.Shapes())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Hardnode host configuration"
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("BUG: a schema does not encode: " + err.Error())
	}
	return append(raw, '\n')
}

// described is the schema of a type at a path.
func described(t reflect.Type, path string, shapes map[string]boot.Shape) map[string]any {
	shape := shapes[path]
	switch {
	case t.Kind() == reflect.Pointer:
		return described(t.Elem(), path, shapes)
	case t == reflect.TypeFor[netip.Addr]():
		return map[string]any{"type": "string", "anyOf": []any{map[string]any{"format": "ipv4"}, map[string]any{"format": "ipv6"}}}
	case t == reflect.TypeFor[netip.Prefix]():
		return map[string]any{"type": "string", "pattern": `^[0-9A-Fa-f:.]+/[0-9]{1,3}$`}
	}
	switch t.Kind() {
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		for _, f := range fieldsOf(t) {
			at := join(path, f.name)
			properties[f.name] = described(t.Field(f.index).Type, at, shapes)
			if shapes[at].Required {
				required = append(required, f.name)
			}
		}
		out := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
		if len(required) > 0 {
			out["required"] = required
		}
		return out
	case reflect.Slice:
		out := map[string]any{"type": "array", "items": described(t.Elem(), path+"[]", shapes)}
		bounded(out, "minItems", shape.MinItems)
		bounded(out, "maxItems", shape.MaxItems)
		return out
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		out := map[string]any{"type": "string"}
		bounded(out, "maxLength", shape.Max)
		if len(shape.Choices) > 0 {
			out["enum"] = shape.Choices
		}
		if expr := shape.Form.String(); expr != "" {
			out["pattern"] = expr
		}
		return out
	}
	out := map[string]any{"type": "integer"}
	if shape.Most == 0 {
		return out
	}
	out["minimum"], out["maximum"] = shape.Least, shape.Most
	if shape.OrZero {
		return map[string]any{"anyOf": []any{map[string]any{"const": 0}, out}}
	}
	return out
}

func bounded(out map[string]any, name string, n int) {
	if n > 0 {
		out[name] = n
	}
}
