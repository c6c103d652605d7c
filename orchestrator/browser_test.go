package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
)

// browser is a real one, and what it complained about.
type browser struct {
	t   *testing.T
	ctx context.Context
	mu  struct {
		sync.Mutex
		complaints []string // a breach of the content security policy is one
	}
}

func newBrowser(t *testing.T) *browser {
	chromium, err := exec.LookPath("chromium")
	if err != nil || testing.Short() {
		t.Skip("needs chromium")
	}
	alloc, stop := chromedp.NewExecAllocator(t.Context(), chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("no-sandbox", true), chromedp.Flag("headless", "new"), chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("no-first-run", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true))
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(alloc)
	t.Cleanup(end)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	must(t, chromedp.Listen(ctx, func(e any) {
		if l, ok := e.(*log.EventEntryAdded); ok && l.Entry.Level == log.EntryLevelError {
			b.mu.Lock()
			b.mu.complaints = append(b.mu.complaints, l.Entry.Text)
			b.mu.Unlock()
		}
	}))
	_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	must(t, err)
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 60*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v; the browser is at %s, which says:\n%s", err, look[string](b, "location.href"),
			look[string](b, "document.body.innerText"))
	}
}

// shoot keeps a picture in the directory HARDNODE_SHOTS, if that is set.
func (b *browser) shoot(name string) {
	if dir := os.Getenv("HARDNODE_SHOTS"); dir != "" {
		png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		must(b.t, err)
		must(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
	}
}

// media emulates a person's wishes, as name and value.
func (b *browser) media(features ...string) {
	p := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{}}
	for i := 0; i+1 < len(features); i += 2 {
		p.Features = append(p.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, p)
	must(b.t, err)
}

func (b *browser) main() string {
	s, err := chromedp.Run(b.ctx, chromedp.Text("main"))
	must(b.t, err)
	return s
}

func (b *browser) says(where string, words ...string) {
	b.t.Helper()
	body := b.main()
	for _, w := range words {
		if !strings.Contains(body, w) {
			b.t.Errorf("%s lacks %q:\n%s", where, w, body)
		}
	}
}

func look[T any](b *browser, js string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](js))
	must(b.t, err)
	return v
}

// eventually waits until an expression is true. It may be asked while the browser goes from one page to the next: then there is no answer.
func (b *browser) eventually(what, js string) {
	b.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](js))
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s (%v); the page says:\n%s", what, err, look[string](b, "document.body.innerText"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// click follows a link in one step: the page may put another element in its place at any moment.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.eventually("there is "+selector+" to click",
		`(() => { const e = document.querySelector(`+strconv.Quote(selector)+`); e?.click(); return e !== null; })()`)
}

// The panel in a real browser: sign in, see hosts and the platform's own environment, see a change without reloading; no console error,
// nothing wider than a phone, links that lead somewhere. Set HARDNODE_SHOTS to a directory to keep pictures.
func TestPanelInBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	c := found(t, 2, "infra1", "host1", "host2", "host3")
	c.start()
	c.join("infra1", 0)
	h1, _ := c.join("host1", 2<<30)
	if op := c.create(hello("crowded", 2)); op.State != operator.OpDone { // both on host1: not spread once host2 is there
		t.Fatalf("create: %+v", op)
	}
	h1.Force(102, host.CtFailing, "exited with 1, the check on port 80 has not passed")
	var bad operator.Accepted
	c.ok("POST", "/api/v1/environments", hello("unlucky", 1), &bad)
	c.eventually("the new environment's node fails", func() bool {
		e, _ := c.env("unlucky")
		return len(e.Nodes) == 1 && e.Nodes[0].State == "failing"
	})
	c.later(time.Hour)
	if op := c.ended(bad.Operation.ID); op.State != operator.OpFailed {
		t.Fatalf("create: %+v", op)
	}
	_, cut := c.join("host2", 2<<30)
	c.join("host3", 2<<30)
	if op := c.create(hello("hello", 2)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	long := wire.EnvName(strings.Repeat("long", 10))
	spec := hello(long, 1)
	spec.Layers[0].Name = wire.LayerName(strings.Repeat("layer", 4))
	if op := c.create(spec); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	c.eventually("the environment is not spread", func() bool { e, _ := c.env("crowded"); return e.Spread != "" })
	base := "https://" + c.api
	b.media("prefers-color-scheme", "light")
	b.strangers(c, base)
	b.do(chromedp.EmulateViewport(1360, 800), chromedp.Navigate(base+"/"), chromedp.WaitVisible("#token"))
	b.shoot("login")
	c.ok("POST", "/api/v1/users", user.NewUser{Mail: "ada@example.com", Password: "correct horse", Account: "admin", Role: user.Owner}, nil)
	b.do(chromedp.SendKeys("#mail", "ada@example.com"), chromedp.SendKeys("#password", "wrong horse\r"), chromedp.WaitVisible("#why"))
	b.shoot("login-refused")
	b.do(chromedp.SendKeys("#password", "correct horse\r"), chromedp.WaitVisible("#host-host1"))
	b.says("the page of who signed in", "host1")
	b.do(chromedp.Navigate(base+"/panel/"), chromedp.WaitVisible(`form[action="/panel/logout"] button`),
		chromedp.Click(`form[action="/panel/logout"] button`), chromedp.WaitVisible("#ended"))
	b.do(chromedp.SendKeys("#token", "wrong\r"), chromedp.WaitVisible("#why"), chromedp.SendKeys("#token", adminToken+"\r"),
		chromedp.WaitVisible("#host-host1"))
	b.shoot("hosts")
	b.says("the hosts page", "host1", "ACTIVE", "10.77.0.11", "10.96.1.0/24", "UNLICENSED", "this is number 3")
	b.do(chromedp.Navigate(base+"/panel/environments/crowded"), chromedp.WaitVisible("main .notice.warn"))
	b.says("the page of an environment that isn't spread", "isn't spread: host host1 has 2", "hnctl env spread crowded")
	b.shoot("crowded")
	b.do(chromedp.Navigate(base+"/panel/"), chromedp.WaitVisible("#host-host2 .badge.good"))
	h1.Force(0, host.CtFailing, "exited with 1, the check on port 80 has not passed")
	cut()
	b.do(chromedp.WaitVisible("#host-host2 .badge.bad"))
	b.media("prefers-color-scheme", "dark")
	b.shoot("hosts-dark")
	b.media("prefers-color-scheme", "light")
	b.do(chromedp.Navigate(base+"/panel/environments/jelastic"), chromedp.WaitVisible("main table"))
	b.says("the page of jelastic", "orchestrator", "resolver", "10.96.0.13", "192.0.2.7", "running")
	b.do(chromedp.Navigate(base+"/panel/environments/unlucky"), chromedp.WaitVisible("main .notice.bad"))
	b.says("the page of a failed creation", "Its creation failed on", "the check on port 80 has not passed", "hnctl node logs",
		"hnctl env keep unlucky", "It is removed on")
	// From an environment to its host, from there to a node's environment, to an operation and back; and an address that is served.
	b.do(chromedp.Navigate(base + "/panel/environments/hello"))
	b.click(`main td a[href^="/panel/hosts/"]`)
	b.do(chromedp.WaitVisible(".sheet"))
	b.says("a host's page", "Short code", "Joined", "hello")
	b.click(`main tbody a[href="/panel/environments/hello"]`)
	b.do(chromedp.WaitVisible(".history"))
	b.click(".history a")
	b.do(chromedp.WaitVisible(".sheet"))
	b.says("an operation's page", "env.create", "Asked by", "Steps", "done")
	b.click(`.sheet a[href="/panel/environments/hello"]`)
	b.do(chromedp.WaitVisible(`main a[href="http://hello.demo.test/"]`))

	failed := "/panel/operations/" + string(bad.Operation.ID)
	for _, p := range []string{"/panel/", "/panel/hosts/host2", "/panel/environments", "/panel/environments/crowded",
		"/panel/environments/unlucky", "/panel/environments/jelastic", "/panel/environments/" + string(long), "/panel/environments/nope",
		"/panel/environments/" + strings.Repeat("nope", 40), "/panel/hosts/nope", "/panel/nope", "/panel/operations", failed} {
		name := strings.ReplaceAll(strings.TrimPrefix(strings.Split(strings.ReplaceAll(p, string(bad.Operation.ID), "one"), "?")[0],
			"/panel"), "/", "-")
		for _, width := range []int{1280, 390, 360} {
			b.do(chromedp.EmulateViewport(int64(width), 740), chromedp.Navigate(base+p), chromedp.WaitVisible("main h1"))
			if over := look[int](b, `document.documentElement.scrollWidth - `+strconv.Itoa(width)); over > 0 {
				t.Errorf("%s is %d pixels wider than a screen of %d", p, over, width)
			}
			if cut := look[string](b, overflowing); cut != "" {
				t.Errorf("%s on a screen of %d: cut off, or out of its box: %s", p, width, cut)
			}
			if width != 360 {
				b.shoot(strconv.Itoa(width) + name)
			}
		}
	}
	b.do(chromedp.EmulateViewport(1360, 800))
	b.do(chromedp.Submit(".top form"), chromedp.WaitVisible("#token"), chromedp.Navigate(base+"/panel/operations"),
		chromedp.WaitVisible("#token"))
	b.quiet("401", "404", "422")
}

// strangers looks at the pages for who is not signed in, on screens of several widths, and accepts an invite without JavaScript.
func (b *browser) strangers(c *cluster, base string) {
	b.t.Helper()
	var invite user.MadeInvite
	c.ok("POST", "/api/v1/invites", user.NewInvite{Mail: strings.Repeat("long", 12) + "@example.com", Role: user.Developer}, &invite)
	for name, at := range map[string]string{"link": invite.Link.Reveal(), "forgot": "/panel/forgot", "signup": "/panel/signup/nosuch",
		"link-used": "/panel/link/x"} {
		for _, width := range []int{1280, 390, 360} {
			b.do(chromedp.EmulateViewport(int64(width), 740), chromedp.Navigate(base+at), chromedp.WaitVisible("main h2"))
			if over := look[int](b, `document.documentElement.scrollWidth - `+strconv.Itoa(width)); over > 0 {
				b.t.Errorf("%s is %d pixels wider than a screen of %d", at, over, width)
			}
			if cut := look[string](b, overflowing); cut != "" {
				b.t.Errorf("%s on a screen of %d: cut off, or out of its box: %s", at, width, cut)
			}
			if width != 360 {
				b.shoot(strconv.Itoa(width) + "-" + name)
			}
		}
	}
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	must(b.t, err)
	b.do(chromedp.EmulateViewport(1360, 800), chromedp.Navigate(base+invite.Link.Reveal()), chromedp.SendKeys("#password", "correct horse"),
		chromedp.SendKeys("#again", "another horse\r"), chromedp.WaitVisible("#why"))
	b.says("the page of two passwords", "the two passwords are not the same")
	b.shoot("link-refused")
	b.do(chromedp.SendKeys("#password", "correct horse"), chromedp.SendKeys("#again", "correct horse\r"), chromedp.WaitVisible("#did"))
	b.says("the sign-in page", "You are in the account now")
	b.shoot("link-accepted")
	_, err = chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: false})
	must(b.t, err)
}

// overflowing names what sticks out of the window, or of its table's cell.
const overflowing = `[...document.querySelectorAll("main *")].filter((e) => {
  const r = e.getBoundingClientRect();
  if (r.width <= 1 || getComputedStyle(e).clipPath !== "none" || e.closest("thead, .sr")) return false;
  const cell = e.closest("td, th")?.getBoundingClientRect();
  return r.right > innerWidth + 1 || (cell && r.right > cell.right + 1);
}).map((e) => e.tagName + " " + e.textContent.slice(0, 40)).slice(0, 3).join("; ")`

// quiet checks that the browser complained of nothing but the statuses named.
func (b *browser) quiet(statuses ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, s := range b.mu.complaints {
		for _, ok := range statuses {
			if strings.Contains(s, ok) {
				continue next
			}
		}
		b.t.Errorf("the browser complains: %s", s)
	}
}

// What ends while it is looked at: an environment that is deleted is gone, not away; an orchestrator that stops is away; a session that
// ended says so and leads back; a link from elsewhere finds the session.
func TestPanelEndsInBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 2<<30)
	if op := c.create(hello("hello", 1)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	base := "https://" + c.api
	signIn := []chromedp.Action[chromedp.Void]{chromedp.WaitVisible("#token"), chromedp.SendKeys("#token", adminToken+"\r")}
	b.do(chromedp.Navigate(base + "/panel/environments/hello"))
	b.do(signIn...)
	b.do(chromedp.WaitVisible("main table"))
	if at := look[string](b, "location.pathname"); at != "/panel/environments/hello" {
		t.Errorf("signed in and came to %s", at)
	}
	c.ended(c.change("delete", "hello"))
	b.eventually("the page says that the environment is gone",
		`document.querySelector("main h1").textContent === "Environment hello is not there"`)
	b.says("what is gone", "It was deleted")
	if !look[bool](b, `document.getElementById("link").hidden`) {
		t.Error("what is gone is called away")
	}
	b.shoot("gone")

	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<link rel="icon" href="data:,"><a id="there" href="` + base + `/panel/operations">see this</a>`))
	}))
	defer elsewhere.Close()
	b.do(chromedp.Navigate(strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)), chromedp.Click("#there"),
		chromedp.WaitVisible("main h1"))
	if at := look[string](b, "location.pathname"); at != "/panel/operations" {
		t.Errorf("a link from another site led to %s", at)
	}

	b.eventually("the page asks for what is new", `performance.getEntriesByType("resource").some((e) => e.initiatorType === "fetch")`)
	c.stopped()
	b.eventually("the page says that the orchestrator is away",
		`document.getElementById("link").innerText.startsWith("The orchestrator does not answer.")`)
	b.says("the page of an orchestrator that is away", "env.delete")
	b.shoot("away")
	c.start()
	b.eventually("the sign-in page", `document.getElementById("token") !== null`)
	b.says("the sign-in page", "the orchestrator was restarted", "Where is my token?", "/panel/operations")
	b.do(chromedp.EmulateViewport(390, 740))
	b.shoot("ended")
	b.do(signIn...)
	b.do(chromedp.WaitVisible("main table"))
	if at := look[string](b, "location.pathname"); at != "/panel/operations" {
		t.Errorf("signed in again and came to %s", at)
	}
	b.quiet("401", "404", "ERR_CONNECTION_REFUSED", "ERR_CONNECTION", "ERR_NETWORK", "ERR_HTTP2", "ERR_EMPTY")
}

// What a person asks of the browser: their time zone, no JavaScript, their own colours, the keyboard.
func TestPanelWishesInBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 2<<30)
	if op := c.create(hello("hello", 1)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	_, err := chromedp.Call(b.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Kolkata"})
	must(t, err)
	base := "https://" + c.api
	b.do(chromedp.Navigate(base+"/panel/operations"), chromedp.WaitVisible("#token"), chromedp.SendKeys("#token", adminToken+"\r"),
		chromedp.WaitVisible("main table"))
	first := func() string { return look[string](b, `document.querySelector("main time").innerText`) }
	b.eventually("the time in the browser's zone", `document.querySelector("main time").innerText.includes("GMT+5:30")`)
	exact := look[string](b, `document.querySelector("main time").dateTime`)
	if at, err := time.Parse(time.RFC3339, exact); err != nil || at.Location() != time.UTC {
		t.Errorf("datetime=%q: %v", exact, err)
	}
	b.media("forced-colors", "active")
	if got := look[string](b, `getComputedStyle(document.querySelector(".badge")).borderTopStyle`); got != "solid" {
		t.Errorf("with forced colours a badge's border is %q", got)
	}
	b.do(chromedp.Navigate(base+"/panel/hosts/host1"), chromedp.WaitVisible("meter"))
	if got := look[string](b, `getComputedStyle(document.querySelector("meter")).forcedColorAdjust`); got != "none" {
		t.Errorf("with forced colours a meter has no colours of its own: %q", got)
	}
	b.shoot("forced-colors")
	b.media("prefers-reduced-motion", "reduce")
	if !look[bool](b, `matchMedia("(prefers-reduced-motion: reduce)").matches && document.getAnimations().length === 0`) {
		t.Error("something moves for who asked for less motion")
	}
	b.media()
	b.do(chromedp.Navigate(base+"/panel/operations"), chromedp.WaitVisible("main table"), chromedp.KeyEvent("\t"))
	if got := look[string](b,
		`document.activeElement.className + " " + getComputedStyle(document.activeElement).outlineStyle`); got != "skip solid" {
		t.Errorf("the first stop of the keyboard is %q", got)
	}
	_, err = chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	must(t, err)
	b.do(chromedp.Navigate(base+"/panel/operations"), chromedp.WaitVisible("main table"))
	if got, want := first(), strings.NewReplacer("T", " ", "Z", " UTC").Replace(exact); got != want {
		t.Errorf("without JavaScript the time is %q, want %q", got, want)
	}
	b.quiet()
}
