//go:build browser

package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	browserlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// main is the main element. When it exists, the page is loaded.
const main = chromedp.CSS("main")

// axe is the path of axe-core as installed by npm.
const axe = "../../.tools/axe/node_modules/axe-core/axe.min.js"

// tab is a tab of Chromium. It fails the test on an error in the console and on a request to any other host.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu     sync.Mutex
	status map[string]int64 // of documents, by URL
	want   int64            // the status of the loaded pages
}

// open starts a new Chromium that can only resolve this machine's host names.
func open(t *testing.T, base string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox,
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"), chromedp.WindowSize(1280, 900))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, close := chromedp.NewContext(allocator)
	t.Cleanup(close)
	b := &tab{t: t, ctx: ctx, base: base, status: map[string]int64{}, want: 200}
	if err := chromedp.Listen(ctx, b.onEvent); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return b
}

func (b *tab) onEvent(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; !strings.HasPrefix(url, b.base+"/") && !strings.HasPrefix(url, "data:") && url != "about:blank" {
			b.t.Errorf("a request was sent to %s", url)
		}
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			b.status[e.Response.URL] = e.Response.Status
		}
	case *browserlog.EventEntryAdded:
		if isOfError := b.want >= 400 && e.Entry.Source == browserlog.EntrySourceNetwork; isOfError {
			return // Chromium logs each answer with such a status
		}
		if e.Entry.Level == browserlog.EntryLevelError || e.Entry.Level == browserlog.EntryLevelWarning {
			b.t.Errorf("the console shows %s (%s)", e.Entry.Text, e.Entry.URL)
		}
	case *cdpruntime.EventConsoleAPICalled:
		if e.Type == cdpruntime.ConsoleAPICalledTypeError {
			b.t.Errorf("the console shows %v", e.Args)
		}
	case *cdpruntime.EventExceptionThrown:
		b.t.Errorf("exception: %s", e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		b.t.Errorf("a script ran: %s", e.Message)
	}
}

type action = chromedp.Action[chromedp.Void]

func (b *tab) do(what string, actions ...action) {
	b.t.Helper()
	run(b, what, chromedp.Steps(actions...))
}

// run runs an action and returns its value.
func run[T any](b *tab, what string, a chromedp.Action[T]) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, a) // without a time limit of its own, because axe-core is slow on a busy machine
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return value
}

// load opens a URL, which must return a page.
func (b *tab) load(url string) {
	b.t.Helper()
	b.do("load "+url, chromedp.Navigate(url), chromedp.WaitReady(main))
	b.mustBePage()
}

func (b *tab) mustBePage() {
	b.t.Helper()
	url, _, _ := strings.Cut(b.url(), "#")
	b.mu.Lock()
	defer b.mu.Unlock()
	if status := b.status[url]; status != b.want {
		b.t.Errorf("%s: status %d, want %d", url, status, b.want)
	}
}

// loadError opens a URL that must return the page of an error.
func (b *tab) loadError(url string, status int64) {
	b.t.Helper()
	b.expect(status)
	b.load(url)
	b.expect(200)
}

func (b *tab) expect(status int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.want = status
}

func eval[T any](b *tab, script string) T {
	b.t.Helper()
	return run(b, script, chromedp.Evaluate[T](script))
}

func (b *tab) url() string  { return eval[string](b, "location.href") }
func (b *tab) text() string { return eval[string](b, "document.querySelector('main').innerText") }

// follow runs an action that leads to another page, and waits for that page.
func (b *tab) follow(what string, a action) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, a, chromedp.WaitReady(main)); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	b.mustBePage()
}

// focused returns the id of the focused element, or its text if it has no id.
func (b *tab) focused() string {
	return eval[string](b, "document.activeElement.id || document.activeElement.innerText || ''")
}

// tabTo presses the Tab key until the named element is focused. The focus must be visible.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	for range 200 {
		b.do("press Tab", chromedp.KeyEvent("\t"))
		if b.focused() == name {
			if outline := eval[string](b, "getComputedStyle(document.activeElement).outlineStyle"); outline == "none" {
				b.t.Errorf("the focus on %s is not visible", name)
			}
			return
		}
	}
	b.t.Fatalf("the keyboard does not reach %s", name)
}

// unfold opens what is folded below a line with this text.
func (b *tab) unfold(line string) {
	b.t.Helper()
	b.tabTo(line)
	b.do("unfold "+line, chromedp.KeyEvent("\r"))
}

// scheme is how the browser shows pages: light or dark, and the width in pixels.
type scheme struct {
	colours string
	width   int64
}

func schemes() []scheme {
	return []scheme{{"light", 1280}, {"dark", 1280}, {"light", 400}, {"dark", 400}, {"light", 768}}
}

func (b *tab) use(s scheme) {
	b.t.Helper()
	b.show(s, 900, 1)
}

func (b *tab) show(s scheme, height int64, scale float64) {
	b.t.Helper()
	b.do("set the colours and the size", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.colours}},
		})
		return err
	}), chromedp.EmulateViewport(s.width, height, chromedp.EmulateScale(scale)))
}

// check checks the accessibility of the page with axe-core, and that no content is wider than the screen, in every
// scheme.
func (b *tab) check() {
	b.t.Helper()
	b.checkIn(schemes()...)
}

func (b *tab) checkIn(some ...scheme) {
	b.t.Helper()
	source, err := os.ReadFile(axe)
	if err != nil {
		b.t.Fatalf("axe-core is missing: npm install --prefix .tools/axe axe-core (%v)", err)
	}
	b.do("open all details", chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach(d => d.open = true)`))
	b.do("load axe-core", chromedp.Evaluate[chromedp.Void](string(source)))
	checked := map[int64]bool{}
	for _, s := range some {
		b.use(s)
		rules := "" // all
		if checked[s.width] {
			rules = `, runOnly: {type: "rule", values: ["color-contrast", "link-in-text-block"]}` // other colours change only these
		}
		checked[s.width] = true
		var found []struct {
			ID, Help string
			Nodes    []struct {
				HTML, FailureSummary string
			}
		}
		result := run(b, "run axe-core", chromedp.Evaluate[string](
			`axe.run(document, {resultTypes: ["violations"]`+rules+`}).then(r => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
		if err := json.Unmarshal([]byte(result), &found); err != nil {
			b.t.Fatal(err)
		}
		for _, violation := range found {
			for _, node := range violation.Nodes[:min(len(violation.Nodes), 3)] {
				b.t.Errorf("%s, %+v: %s, %s: %s\n%s", b.url(), s, violation.ID, violation.Help, node.HTML, node.FailureSummary)
			}
		}
		if over := eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
			b.t.Errorf("%s, %+v: the content is %d pixels wider than the screen", b.url(), s, over)
		}
	}
	b.use(schemes()[0])
	b.do("close all details", chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach(d => d.open = false)`))
}

// picture writes a screenshot of the tab to a file in docs.
func (b *tab) picture(name string, s scheme, height int64) {
	b.t.Helper()
	b.show(s, height, 1)
	png := run(b, "take a screenshot", chromedp.CaptureScreenshot())
	if err := os.WriteFile("../../docs/"+name, png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// links returns the URLs of the page's links with one of the texts.
func (b *tab) links(texts ...string) []string {
	b.t.Helper()
	all := eval[[][2]string](b, "[...document.querySelectorAll('a')].map(a => [a.innerText, a.href])")
	var urls []string
	for _, link := range all {
		if slices.Contains(texts, strings.TrimSpace(link[0])) {
			urls = append(urls, link[1])
		}
	}
	if len(urls) == 0 {
		b.t.Errorf("%s has no link %q: %s", b.url(), texts, fmt.Sprint(all))
	}
	return urls
}
