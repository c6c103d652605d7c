package app

import (
	"context"
	"errors"
	"strings"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/day0"
)

func ExitCode(err error) int {
	var c *CodeError
	var p *operator.Problem
	var d *document.Error
	var n interface{ Timeout() bool }
	var i *day0.InputError
	switch {
	case errors.As(err, &c):
		return c.Code
	case errors.As(err, &p):
		return codes[p.Code]
	case errors.As(err, &d), errors.As(err, &i):
		return ExitUsage
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &n) && n.Timeout():
		return ExitTimeout
	case errors.Is(err, license.ErrExpired), errors.Is(err, license.ErrSignature), errors.Is(err, license.ErrWrongKey):
		return ExitDenied
	}
	return ExitFailed
}

// codes is the exit code of each of the API's error codes.
var codes = map[operator.Code]int{
	operator.Invalid: ExitUsage, operator.NotFound: ExitNotFound, operator.Denied: ExitDenied, operator.Conflict: ExitConflict,
	operator.Exhausted: ExitFailed, operator.Unavailable: ExitFailed, operator.Internal: ExitFailed,
}

// Explain is an error as a person reads it.
func Explain(err error) string {
	s := err.Error()
	next := ""
	var p *operator.Problem
	var n interface{ Next() string }
	switch {
	case errors.As(err, &p) && err == error(p) && len(p.Errors) < 2:
		s, next = (&operator.Problem{Title: p.Title, Object: p.Object, Reason: p.Reason}).Error(), p.Next
	case errors.As(err, &n):
		next = n.Next()
	}
	if s = strings.TrimRight(s, ": \n"); s == "" {
		s = "it failed and gave no reason"
	}
	if next != "" {
		s += "\n  next: " + next
	}
	return s
}
