package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// The panel in a real browser: sign in, see hosts and the platform's own environment, see a change without reloading; no console error
// (a breach of the content security policy is one), nothing wider than a phone. Set HARDNODE_SHOTS to a directory to keep pictures.
func TestPanelInBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil || testing.Short() {
		t.Skip("needs chromium")
	}
	t.Parallel()
	c := found(t, 2, "infra1", "host1", "host2", "host3")
	c.start()
	c.join("infra1", 0)
	h1, _ := c.join("host1", 2<<30)
	_, cut := c.join("host2", 2<<30)
	c.join("host3", 2<<30)
	if op := c.create(hello("hello", 2)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	alloc, stop := chromedp.NewExecAllocator(t.Context(), chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("no-sandbox", true), chromedp.Flag("headless", "new"),
		chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("no-first-run", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	defer stop()
	ctx, end := chromedp.NewContext(alloc)
	defer end()
	var mu sync.Mutex
	var complaints []string
	must(t, chromedp.Listen(ctx, func(e any) {
		if l, ok := e.(*log.EventEntryAdded); ok && l.Entry.Level == log.EntryLevelError {
			mu.Lock()
			complaints = append(complaints, l.Entry.Text)
			mu.Unlock()
		}
	}))
	_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	must(t, err)
	ctx, cancel := context.WithTimeout(ctx, 50*time.Second)
	defer cancel()
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		must(t, chromedp.Do(ctx, steps...))
	}
	shoot := func(name string) {
		if dir := os.Getenv("HARDNODE_SHOTS"); dir != "" {
			png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
		}
	}
	scheme := func(v string) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v}}})
		must(t, err)
	}
	main := func() string {
		s, err := chromedp.Run(ctx, chromedp.Text("main"))
		must(t, err)
		return s
	}
	base := "https://" + c.api
	scheme("light")
	do(chromedp.EmulateViewport(1360, 800), chromedp.Navigate(base+"/"), chromedp.WaitVisible("#token"))
	shoot("login")
	do(chromedp.SendKeys("#token", "wrong\r"), chromedp.WaitVisible("#why"), chromedp.SendKeys("#token", adminToken+"\r"), chromedp.WaitVisible("#host-host1"))
	shoot("hosts")
	body := main()
	for _, want := range []string{"host1", "ACTIVE", "10.77.0.11", "10.96.1.0/24", "UNLICENSED", "this is number 3"} {
		if !strings.Contains(body, want) {
			t.Errorf("the hosts page lacks %q:\n%s", want, body)
		}
	}
	h1.Force(0, host.CtFailing, "exited with 1, the check on port 80 has not passed")
	cut()
	do(chromedp.WaitVisible("#host-host2 .badge.bad"))
	scheme("dark")
	shoot("hosts-dark")
	scheme("light")
	do(chromedp.Navigate(base+"/panel/environments/jelastic"), chromedp.WaitVisible("main table"))
	body = main()
	for _, want := range []string{"orchestrator", "resolver", "10.96.0.13", "192.0.2.7", "running"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of jelastic lacks %q:\n%s", want, body)
		}
	}
	for _, p := range []string{"/panel/", "/panel/environments", "/panel/environments/hello", "/panel/environments/jelastic", "/panel/operations"} {
		name := "phone" + strings.ReplaceAll(strings.TrimPrefix(p, "/panel"), "/", "-")
		do(chromedp.EmulateViewport(360, 740), chromedp.Navigate(base+p), chromedp.WaitVisible("main h1"))
		over, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - 360`))
		must(t, err)
		if over > 0 {
			t.Errorf("%s is %d pixels wider than a phone", p, over)
		}
		shoot(name)
		do(chromedp.EmulateViewport(1360, 800))
		shoot("desk" + strings.TrimPrefix(name, "phone"))
	}
	do(chromedp.Submit(".top form"), chromedp.WaitVisible("#token"), chromedp.Navigate(base+"/panel/operations"), chromedp.WaitVisible("#token"))
	mu.Lock()
	defer mu.Unlock()
	for _, s := range complaints {
		if !strings.Contains(s, "401") { // the refused sign-in
			t.Errorf("the browser complains: %s", s)
		}
	}
}
