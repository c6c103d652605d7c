package console

import "hardnode.dev/internal/wire/form"

// ownTime is a time that a program puts before its line: log/slog's, Go's log, RFC 3339 and what looks like it.
var ownTime = form.New(
	`^(time="?\d{4}-\d\d-\d\d[T ][0-9:.,]+(Z| ?[+-]\d\d:?\d\d)?( UTC)?"?|\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?(Z| ?[+-]\d\d:?\d\d)?( UTC)?\]?) +`)

// WithoutTime is a service's line without the time the service put before it: the terminal's line has one already.
func WithoutTime(line string) string { return line[len(ownTime.FindString(line)):] }
