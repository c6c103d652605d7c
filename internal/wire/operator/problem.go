package operator

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Code is the closed list of error codes at the outer border.
type Code string

// The codes.
const (
	Invalid     Code = "invalid"
	NotFound    Code = "not_found"
	Conflict    Code = "conflict"
	Denied      Code = "denied"
	Exhausted   Code = "exhausted"
	Unavailable Code = "unavailable"
	Internal    Code = "internal"
)

var statusOf = map[Code]int{
	Invalid: http.StatusUnprocessableEntity, NotFound: http.StatusNotFound, Conflict: http.StatusConflict, Denied: http.StatusForbidden,
	Exhausted: http.StatusInsufficientStorage, Unavailable: http.StatusServiceUnavailable, Internal: http.StatusInternalServerError,
}

// Status is the HTTP status of a code.
func (c Code) Status() int {
	if s, ok := statusOf[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Known is c, or Internal if c is none of the codes: a newer program may have more.
func (c Code) Known() Code {
	if _, ok := statusOf[c]; ok {
		return c
	}
	return Internal
}

// CodeOf is the code of an HTTP status; a status without one is Internal (5xx) or Invalid (4xx).
func CodeOf(status int) Code {
	for c, s := range statusOf {
		if s == status {
			return c
		}
	}
	switch {
	case status == http.StatusUnauthorized:
		return Denied
	case status == http.StatusPreconditionFailed, status == http.StatusPreconditionRequired:
		return Conflict
	case status >= 400 && status < 500:
		return Invalid
	}
	return Internal
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Problem is an error as a person reads it (RFC 9457, application/problem+json): what it is about, why, and what to do next.
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   Code   `json:"code"`
	Object string `json:"object,omitempty" doc:"What the error is about, e.g. environments/hello or layers[0].template"`
	Reason string `json:"detail" doc:"Why"`
	Next   string `json:"next,omitempty" doc:"What to do about it"`
	// After is when to try again, sent as Retry-After in whole seconds; 0: nothing is said.
	After time.Duration `json:"-"`
	// Errors are all that is wrong, when it is more than one thing; the first is the Problem itself.
	Errors []Fault `json:"errors,omitempty" doc:"All that is wrong, when it is more than one thing; the first is the problem itself"`
}

// Fault is one of several things that are wrong with what was sent.
type Fault struct {
	Object string `json:"object,omitempty" doc:"The field, e.g. layers[0].nodes"`
	Reason string `json:"detail" doc:"Why"`
	Next   string `json:"next,omitempty" doc:"What to do about it"`
}

// All makes one Problem of several: the first, with all of them listed. Nil of none.
func All(problems []*Problem) *Problem {
	if len(problems) == 0 {
		return nil
	}
	p := *problems[0]
	if len(problems) > 1 {
		p.Errors = nil
		for _, x := range problems {
			p.Errors = append(p.Errors, Fault{x.Object, x.Reason, x.Next})
		}
	}
	return &p
}

// Error is the problem in one line: object, reason, next step; a line for each when it is several.
func (p *Problem) Error() string {
	if len(p.Errors) > 1 {
		lines := make([]string, len(p.Errors))
		for i, f := range p.Errors {
			lines[i] = (&Problem{Object: f.Object, Reason: f.Reason, Next: f.Next}).Error()
		}
		return strings.Join(lines, "\n")
	}
	s := p.Reason
	switch {
	case p.Object != "" && s != "":
		s = p.Object + ": " + s
	case p.Object != "":
		s = p.Object
	case s == "":
		s = p.Title
	}
	if p.Next != "" {
		s += " (" + p.Next + ")"
	}
	return s
}

// RetryAfter is After as the header has it; "" is none.
func (p *Problem) RetryAfter() string {
	if p.After <= 0 {
		return ""
	}
	return strconv.FormatInt(int64((p.After+time.Second-1)/time.Second), 10)
}

// TooMany is a Problem with status 429.
func TooMany(object, reason, next string, after time.Duration) *Problem {
	p := NewProblem(Unavailable, object, reason, next)
	p.Status, p.Title, p.After = http.StatusTooManyRequests, http.StatusText(http.StatusTooManyRequests), after
	return p
}

// GetStatus makes Problem a huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType makes huma send it as application/problem+json.
func (p *Problem) ContentType(string) string { return ProblemType }

// NewProblem makes a Problem. Reason and next are sentences for a person.
func NewProblem(code Code, object, reason, next string) *Problem {
	return &Problem{Title: http.StatusText(code.Status()), Status: code.Status(), Code: code, Object: object, Reason: reason, Next: next}
}

// AsProblem is err as a Problem; an unknown error becomes Internal and its text is not shown.
func AsProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return NewProblem(Internal, "", "something went wrong inside the orchestrator",
		"see the orchestrator's log: hnctl node logs --component orchestrator")
}

// WriteProblem answers a request with err as a Problem and its status. Headers of the answer that say more are set before.
func WriteProblem(w http.ResponseWriter, err error) {
	p := AsProblem(err)
	w.Header().Set("Content-Type", ProblemType)
	if after := p.RetryAfter(); after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) // the only error is a caller that has gone
}
