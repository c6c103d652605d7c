package document

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// scalar is a value's text as it is written, and whether it was quoted or in a block; false when it is no single value.
func scalar(n ast.Node) (text string, quoted, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		t := n.GetToken().Type
		return n.Value, t == token.DoubleQuoteType || t == token.SingleQuoteType, true
	case *ast.LiteralNode:
		return n.Value.Value, true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode, *ast.NullNode:
		return n.GetToken().Value, false, true
	}
	return "", false, false
}

// absent tells whether nothing is written behind the colon.
func absent(n ast.Node) bool {
	null, ok := n.(*ast.NullNode)
	return ok && null.GetToken().Type == token.ImplicitNullType
}

// kindOf says what is written, for people.
func kindOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	default:
		if text, quoted, ok := scalar(n); ok {
			if quoted {
				return fmt.Sprintf("the text %q", shortened(text))
			}
			return shortened(text)
		}
	}
	return "something else"
}

func shortened(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

func (f *filler) number(n ast.Node, v reflect.Value, path string) {
	text, quoted, ok := scalar(n)
	switch {
	case !ok, quoted && !whole.MatchString(text):
		f.fault(n, path, "is %s, want a whole number", kindOf(n))
	case quoted:
		f.fault(n, path, "is %s, want a whole number: leave the quotes out", kindOf(n))
	case absent(n):
		f.fault(n, path, "is required: write a whole number")
	case !whole.MatchString(text) && numeric.MatchString(text):
		f.fault(n, path, "is %s, want a whole number in decimal digits, without leading zeros or signs", shortened(text))
	case !whole.MatchString(text):
		f.fault(n, path, "is %s, want a whole number", kindOf(n))
	case v.CanInt():
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			f.fault(n, path, "is %s, which is too large", shortened(text))
			return
		}
		v.SetInt(i)
	default:
		u, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			f.fault(n, path, "is %s, want 0 to %d", shortened(text), uint64(1)<<v.Type().Bits()-1)
			return
		}
		v.SetUint(u)
	}
}

// text fills a type that reads its own text: an address, a prefix.
func (f *filler) text(n ast.Node, v reflect.Value, path string) {
	text, _, ok := scalar(n)
	if !ok {
		f.fault(n, path, "is %s, want a text", kindOf(n))
		return
	}
	if absent(n) {
		f.fault(n, path, "has no value: write one, or leave it out")
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		f.fault(n, path, "%q: %s", shortened(text), innerName.ReplaceAllString(err.Error(), ""))
	}
}
