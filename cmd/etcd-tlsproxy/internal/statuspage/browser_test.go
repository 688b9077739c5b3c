package statuspage

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a Chromium without a window, and what it complains of.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
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
		// It is to talk to the page and to nobody else.
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	b := &browser{t: t}
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(b.ctx) }) // waits for its end; its folder is removed then
	b.must(chromedp.Listen(b.ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch event := event.(type) {
		case *log.EventEntryAdded:
			b.complaints = append(b.complaints, event.Entry.Text)
		case *runtime.EventExceptionThrown:
			b.complaints = append(b.complaints, event.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			b.complaints = append(b.complaints, "the page writes to the console")
		}
	}))
	return b
}

// begin is for the next test.
func (b *browser) begin(t *testing.T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t, b.complaints = t, nil
}

func (b *browser) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// open opens a page in a theme, on a screen of a size.
func (b *browser) open(url, theme string, width, height int64) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
	})
	b.must(err)
	b.must(chromedp.Do(b.ctx, chromedp.EmulateViewport(width, height), chromedp.Navigate(url)))
}

// until waits until an expression is true.
func (b *browser) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression)); err != nil {
		b.t.Fatalf("it never came to this: %s: %v; complaints: %q", expression, err, b.complained())
	}
}

func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	b.must(err)
	return value
}

func (b *browser) complained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complaints
}

const isLive = `document.getElementById("live").textContent === "live"`

func TestThePageInABrowser(t *testing.T) {
	b := newBrowser(t) // for all of these: to start one takes longer than they do
	for name, test := range map[string]func(*testing.T, *browser){
		"it fits every screen and theme": fits, "the script writes what the server wrote": writesTheSame, "the script keeps the page live": keepsLive,
	} {
		t.Run(name, func(t *testing.T) {
			b.begin(t)
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
			b.until(isLive)
			if width := evaluate[float64](b, "document.documentElement.scrollWidth"); width != float64(size[0]) {
				t.Errorf("%s, %s: the page is %v wide, the screen %d", theme, name, width, size[0])
			}
			if outside := evaluate[string](b, `[...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest("thead, svg") && e.getBoundingClientRect().right > innerWidth).map((e) => e.tagName + " " + e.textContent.slice(0, 40)).join(", ")`); outside != "" {
				t.Errorf("%s, %s: beyond the screen: %s", theme, name, outside)
			}
			if curves := evaluate[int](b, `document.querySelectorAll("svg path.curve").length`); curves != 9 {
				t.Errorf("%s, %s: %d curves", theme, name, curves)
			}
			backgrounds[theme] = evaluate[string](b, "getComputedStyle(document.body).backgroundColor")
			b.keep(theme + "-" + name)
		}
	}
	if backgrounds["light"] == backgrounds["dark"] {
		t.Errorf("both themes have the background %s", backgrounds["dark"])
	}
	if evaluate[string](b, "document.title") != "etcd-tlsproxy · conf1001.example.org" || evaluate[int](b, `document.querySelectorAll("img, main script, main b:not(.legend b)").length`) != 0 {
		t.Error("the hostile key was taken for markup")
	}
	if complaints := b.complained(); len(complaints) > 0 {
		t.Errorf("the browser complains: %q", complaints)
	}
}

// keep keeps a picture of the page, for people to look at, if they say where.
func (b *browser) keep(name string) {
	folder := os.Getenv("ETCD_TLSPROXY_TEST_PICTURES")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	b.must(err)
	b.must(os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644))
}

// shown is the text and the mood of every place that both the server and the script fill.
const shown = `[...document.querySelectorAll("span[data-at], td, #problems li")].map((e) => [e.dataset.label, e.dataset.as, e.dataset.mood, e.textContent].join(" | ")).join("\n")`

func writesTheSame(t *testing.T, b *browser) {
	fixed := *example()
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
	b.until(isLive)
	script := evaluate[string](b, shown)
	if !strings.Contains(server, hostile) || strings.Count(server, "\n") < 100 {
		t.Fatalf("the server wrote\n%s", server)
	}
	was, is := strings.Split(server, "\n"), strings.Split(script, "\n")
	if len(was) != len(is) {
		t.Fatalf("%d places, then %d", len(was), len(is))
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
			s.Upstream.Endpoints[1].Health = "up"
		}
		return s
	})
	b.open(page.URL+"/-/status", "light", 1360, 850)
	b.until(`document.querySelector('[data-at="totals.refused"]').textContent === "5,000,003"`)
	if rows := evaluate[int](b, `document.querySelector('[data-list="rules"]').tBodies[0].rows.length`); rows != 1 {
		t.Errorf("%d rules are left", rows)
	}
	if !evaluate[bool](b, `document.querySelector('[data-list="refusals"]').hidden && !document.querySelector('[data-list="refusals"] + .empty').hidden`) {
		t.Error("no refusals are not told as such")
	}
	if mood := evaluate[string](b, `document.querySelector('[data-list="upstream.endpoints"] tr:nth-child(2) [data-as="mood"]').dataset.mood`); mood != "good" {
		t.Errorf("an endpoint that is up again looks %q", mood)
	}
	page.CloseClientConnections()
	page.Listener.Close()
	b.until(`document.getElementById("live").textContent.startsWith("no answer since ")`)
	if complaints := b.complained(); len(complaints) == 0 || strings.Contains(strings.Join(complaints, " "), "Content Security Policy") {
		t.Errorf("the browser complains: %q", complaints)
	}
}
