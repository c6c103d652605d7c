package serve

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/operator"
)

func ask(h http.Handler, method, path, body string) (status int, text string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestAnswers(t *testing.T) {
	s := &Server{Known: func(*http.Request) bool { return true },
		Use: func(_ context.Context, q metering.Question, _ time.Time) (operator.Usage, error) {
			switch q.Account {
			case "wrong":
				return operator.Usage{}, operator.NewProblem(operator.Invalid, "usage", "no such thing", "correct it")
			case "broken":
				return operator.Usage{}, errors.New("disk I/O error")
			}
			return operator.Usage{Items: []operator.UsageRow{{CloudletHours: 7}}}, nil
		}}
	const rest = `"from":0,"to":3600,"step":"hour","by":"node"`
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"good":           {"POST", metering.PathUsage, "{" + rest + "}", 200, `"cloudletHours":7`},
		"of later days":  {"POST", metering.PathUsage, `{"more":[1],` + rest + "}", 200, `"cloudletHours":7`},
		"no document":    {"POST", metering.PathUsage, "what", 422, "compare the versions"},
		"refused":        {"POST", metering.PathUsage, `{"account":"wrong",` + rest + "}", 422, "no such thing"},
		"not now":        {"POST", metering.PathUsage, `{"account":"broken",` + rest + "}", 503, "node logs metering"},
		"another method": {"GET", metering.PathUsage, "", 405, ""},
		"another path":   {"POST", "/", "", 404, ""},
	} {
		if status, text := ask(s.Handler(), c.method, c.path, c.body); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	s.Known = nil
	if status, text := ask(s.Handler(), "POST", metering.PathUsage, "{"+rest+"}"); status != 403 {
		t.Errorf("without a certificate: %d %s", status, text)
	}
}

// TestBusy: what is more than it answers at once is refused, and said.
func TestBusy(t *testing.T) {
	began, end := make(chan bool, atOnce), make(chan bool)
	s := &Server{Known: func(*http.Request) bool { return true },
		Use: func(context.Context, metering.Question, time.Time) (operator.Usage, error) {
			began <- true
			<-end
			return operator.Usage{}, nil
		}}
	h := s.Handler()
	const body = `{"from":0,"to":3600,"step":"hour","by":"node"}`
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() { ask(h, "POST", metering.PathUsage, body) })
		<-began
	}
	if status, text := ask(h, "POST", metering.PathUsage, body); status != 503 || !strings.Contains(text, "it is busy") {
		t.Errorf("%d %s", status, text)
	}
	close(end)
	all.Wait()
	if status, _ := ask(h, "POST", metering.PathUsage, body); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}
