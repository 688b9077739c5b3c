package statuspage

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a headless Chromium with the errors that it reports.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	errors []string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("hide-scrollbars", true),
		// The browser must connect to the page only.
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	b := &browser{t: t}
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(b.ctx) }) // wait for its exit before its folder is removed
	b.must(chromedp.Listen(b.ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch event := event.(type) {
		case *log.EventEntryAdded:
			b.errors = append(b.errors, event.Entry.Text)
		case *runtime.EventExceptionThrown:
			b.errors = append(b.errors, event.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			b.errors = append(b.errors, "the page writes to the console")
		}
	}))
	return b
}

// reset prepares the browser for the next test.
func (b *browser) reset(t *testing.T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t, b.errors = t, nil
}

func (b *browser) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// open opens a page with a color scheme and a screen size.
func (b *browser) open(url, theme string, width, height int64) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
	})
	b.must(err)
	b.must(chromedp.Do(b.ctx, chromedp.EmulateViewport(width, height), chromedp.Navigate(url)))
}

// waitFor waits until an expression is true. The browser can still name the context of the
// page before.
func (b *browser) waitFor(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression))
		if gone, ok := errors.AsType[*cdproto.Error](err); ok && gone.Code == contextGone {
			continue
		}
		if err == nil {
			return
		}
		b.t.Fatalf("waiting for %s: %v; errors of the browser: %q", expression, err, b.reported())
	}
}

// contextGone is the code of "Cannot find context with specified id".
const contextGone = -32000

func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	b.must(err)
	return value
}

func (b *browser) reported() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.errors
}

const isLive = `document.getElementById("live").textContent === "live"`

func TestThePageInABrowser(t *testing.T) {
	b := newBrowser(t) // shared, because starting it takes longer than the tests
	for name, test := range map[string]func(*testing.T, *browser){
		"it fits every screen and theme": fits, "the script writes what the server wrote": writesTheSame, "the script keeps the page live": keepsLive,
	} {
		t.Run(name, func(t *testing.T) {
			b.reset(t)
			test(t, b)
			b.must(chromedp.Do(b.ctx, chromedp.Navigate("about:blank")))
		})
	}
}

func fits(t *testing.T, b *browser) {
	page := newTestPage(t, example)
	backgrounds := map[string]string{}
	for _, theme := range []string{"light", "dark"} {
		for name, size := range map[string][2]int64{"phone": {360, 740}, "desktop": {1360, 850}} {
			b.open(page.URL+"/-/status", theme, size[0], size[1])
			b.waitFor(isLive)
			if width := evaluate[float64](b, "document.documentElement.scrollWidth"); width != float64(size[0]) {
				t.Errorf("%s, %s: got a page width of %v, want that of the screen, %d", theme, name, width, size[0])
			}
			if outside := evaluate[string](b, `[...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest("thead, svg") && e.getBoundingClientRect().right > innerWidth).map((e) => e.tagName + " " + e.textContent.slice(0, 40)).join(", ")`); outside != "" {
				t.Errorf("%s, %s: outside of the screen: %s", theme, name, outside)
			}
			if wide := evaluate[string](b, `[...document.querySelectorAll("td, dt, dd")].filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth).map((e) => (e.dataset.label || "") + " " + e.textContent.slice(0, 40)).join(", ")`); wide != "" {
				t.Errorf("%s, %s: wider than their place: %s", theme, name, wide)
			}
			if over := evaluate[string](b, `[...document.querySelectorAll("section table")].filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > e.closest("section").getBoundingClientRect().right).map((e) => e.dataset.list).join(", ")`); over != "" {
				t.Errorf("%s, %s: tables that are wider than their section: %s", theme, name, over)
			}
			if curves := evaluate[int](b, `document.querySelectorAll("svg path.curve").length`); curves != 9 {
				t.Errorf("%s, %s: got %d curves, want 9", theme, name, curves)
			}
			backgrounds[theme] = evaluate[string](b, "getComputedStyle(document.body).backgroundColor")
			b.saveScreenshot(theme + "-" + name)
		}
	}
	if backgrounds["light"] == backgrounds["dark"] {
		t.Errorf("both themes have the background %s, want two", backgrounds["dark"])
	}
	if evaluate[string](b, "document.title") != "etcd-tlsproxy · conf1001.example.org" || evaluate[int](b, `document.querySelectorAll("img, main script, main b:not(.legend b)").length`) != 0 {
		t.Error("the hostile key was taken for markup")
	}
	if errors := b.reported(); len(errors) > 0 {
		t.Errorf("errors of the browser: got %q, want none", errors)
	}
}

// saveScreenshot saves a picture of the page if ETCD_TLSPROXY_TEST_PICTURES is a folder.
func (b *browser) saveScreenshot(name string) {
	folder := os.Getenv("ETCD_TLSPROXY_TEST_PICTURES")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	b.must(err)
	b.must(os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644))
}

// shown returns the text and the mood of every place that the server and the script fill.
const shown = `[...document.querySelectorAll("span[data-at], td, #problems li")].map((e) => [e.dataset.label, e.dataset.as, e.dataset.mood, e.textContent].join(" | ")).join("\n")`

func writesTheSame(t *testing.T, b *browser) {
	for _, change := range []func(*Status){
		func(*Status) {},
		func(s *Status) { s.State, s.Memory.Level = "emptying", "out" },
		func(s *Status) { s.State, s.Memory.Level, s.Stores, s.Pools = "draining", "full", nil, nil },
		func(s *Status) { s.Memory.Level, s.Config.OK = "free", true },
	} {
		s := example()
		change(s)
		writesTheSameOf(t, b, *s)
	}
}

func writesTheSameOf(t *testing.T, b *browser, fixed Status) {
	page := newTestPage(t, func() *Status { s := fixed; return &s })
	handler, release := page.Config.Handler, make(chan struct{})
	page.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".json") {
			<-release
		}
		handler.ServeHTTP(w, r)
	})
	b.open(page.URL+"/-/status", "light", 1360, 850)
	server := evaluate[string](b, shown)
	evaluate[bool](b, `document.querySelectorAll("span[data-at], td, #problems li").forEach((e) => { e.textContent = ""; delete e.dataset.mood; }) || true`)
	evaluate[bool](b, `document.querySelectorAll("tbody").forEach((e) => e.replaceChildren()) || true`)
	close(release)
	b.waitFor(isLive)
	script := evaluate[string](b, shown)
	if !strings.Contains(server, hostile) || strings.Count(server, "\n") < 100 {
		t.Fatalf("the server wrote\n%s", server)
	}
	was, is := strings.Split(server, "\n"), strings.Split(script, "\n")
	if len(was) != len(is) {
		t.Fatalf("the server filled %d places, the script %d", len(was), len(is))
	}
	for i := range was {
		if was[i] != is[i] {
			t.Errorf("the server wrote %q, the script %q", was[i], is[i])
		}
	}
}

func keepsLive(t *testing.T, b *browser) {
	var reads atomic.Uint64
	page := newTestPage(t, func() *Status {
		s := example()
		s.Totals.Refused = 5_000_000 + reads.Add(1)
		if reads.Load() > 1 {
			s.Rules = s.Rules[:1]
			s.Refusals = nil
			s.Stores = nil
			s.Upstream.Endpoints[1].Health = "up"
		}
		return s
	})
	b.open(page.URL+"/-/status", "light", 1360, 850)
	b.waitFor(`document.querySelector('[data-at="totals.refused"]').textContent === "5,000,003"`)
	if rows := evaluate[int](b, `document.querySelector('[data-list="rules"]').tBodies[0].rows.length`); rows != 1 {
		t.Errorf("rows of rules after all but one were removed: got %d, want 1", rows)
	}
	if !evaluate[bool](b, `document.querySelector('[data-list="refusals"]').hidden && !document.querySelector('[data-list="refusals"] + .empty').hidden`) {
		t.Error("without refusals the page does not say that there are none")
	}
	if !evaluate[bool](b, `document.querySelector('[data-list="stores"]').closest("section").hidden`) {
		t.Error("without a store the page shows an empty table of stores")
	}
	if mood := evaluate[string](b, `document.querySelector('[data-list="upstream.endpoints"] tr:nth-child(2) [data-as="mood"]').dataset.mood`); mood != "good" {
		t.Errorf("mood of an endpoint that is up again: got %q, want good", mood)
	}
	page.CloseClientConnections()
	page.Listener.Close()
	b.waitFor(`document.getElementById("live").textContent.startsWith("no response since ")`)
	if errors := b.reported(); len(errors) == 0 || strings.Contains(strings.Join(errors, " "), "Content Security Policy") {
		t.Errorf("errors of the browser: got %q, want the failed request and no violation of the policy", errors)
	}
}
