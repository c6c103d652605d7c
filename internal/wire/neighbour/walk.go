package neighbour

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// required checks that the fields without omitempty are there, in a document that has been read into v.
func required(raw []byte, v any) (foreign bool, err error) {
	s := of(reflect.TypeOf(v))
	if s == nil {
		return false, nil
	}
	c := cursor{b: raw}
	err = c.check(s, "")
	return c.foreign, err
}

// cursor goes through JSON that is known to be well formed.
type cursor struct {
	b       []byte
	at      int
	foreign bool // check has met a field that the type does not have
}

func (c *cursor) space() {
	for c.at < len(c.b) && (c.b[c.at] == ' ' || c.b[c.at] == '\t' || c.b[c.at] == '\n' || c.b[c.at] == '\r') {
		c.at++
	}
}

// peek is the next byte that is no white space.
func (c *cursor) peek() byte {
	c.space()
	if c.at >= len(c.b) {
		return 0
	}
	return c.b[c.at]
}

// text is the string that begins here, without its quotes.
func (c *cursor) text() string {
	from := c.at
	c.skip()
	raw := c.b[from:c.at]
	if inner := raw[1 : len(raw)-1]; !slices.Contains(inner, '\\') {
		return string(inner)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// skip goes past the value that begins here.
func (c *cursor) skip() {
	c.space()
	depth := 0
	for c.at < len(c.b) {
		switch c.b[c.at] {
		case '{', '[':
			depth++
			c.at++
		case '}', ']':
			depth--
			c.at++
		case '"':
			for c.at++; c.at < len(c.b) && c.b[c.at] != '"'; c.at++ {
				if c.b[c.at] == '\\' {
					c.at++
				}
			}
			c.at++
		case ' ', '\t', '\n', '\r', ',', ':':
			c.at++
			continue
		default: // a number or a word
			for c.at < len(c.b) && !ends(c.b[c.at]) {
				c.at++
			}
		}
		if depth == 0 {
			return
		}
	}
}

func ends(b byte) bool {
	switch b {
	case ' ', '\t', '\n', '\r', ',', ':', '}', ']':
		return true
	}
	return false
}

// members calls f for each field of the object that begins here, with the cursor at its value; f goes past that value.
func (c *cursor) members(f func(name string) error) error {
	c.at++
	for c.peek() != '}' {
		if c.peek() == ',' {
			c.at++
			c.space()
		}
		name := c.text()
		c.space()
		c.at++ // the colon
		c.space()
		if err := f(name); err != nil {
			return err
		}
	}
	c.at++
	return nil
}

// elements is members for a list.
func (c *cursor) elements(f func(i int) error) error {
	c.at++
	for i := 0; c.peek() != ']'; i++ {
		if c.peek() == ',' {
			c.at++
			c.space()
		}
		if err := f(i); err != nil {
			return err
		}
	}
	c.at++
	return nil
}

// check goes past the value that begins here, and fails if it lacks a required field of s.
func (c *cursor) check(s *shape, path string) error {
	first := c.peek()
	switch {
	case s == nil:
	case first == '{' && s.fields != nil:
		return c.checkObject(s, path)
	case first == '{' && s.each != nil && !s.list:
		return c.members(func(name string) error { return c.check(s.each, join(path, name)) })
	case first == '[' && s.list:
		return c.elements(func(i int) error { return c.check(s.each, path+"["+strconv.Itoa(i)+"]") })
	}
	c.skip()
	return nil
}

func (c *cursor) checkObject(s *shape, path string) error {
	missing := s.must
	seen := make([]string, 0, 16)
	err := c.members(func(name string) error {
		f, known := s.fields[name]
		c.foreign = c.foreign || !known
		if known && f.must && !slices.Contains(seen, name) {
			missing--
			seen = append(seen, name)
		}
		return c.check(f.shape, join(path, name))
	})
	if err != nil || missing == 0 {
		return err
	}
	var names []string
	for name, f := range s.fields {
		if f.must && !slices.Contains(seen, name) {
			names = append(names, join(path, name))
		}
	}
	slices.Sort(names)
	return fmt.Errorf("field %q is missing", names[0])
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
