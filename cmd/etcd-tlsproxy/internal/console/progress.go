package console

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// lineEvery is how often progress is told where nobody sees a bar: often enough to
// show that it goes on, and seldom enough for a log.
const lineEvery = 5 * time.Second

// Progress tells how far long work has come: with a bar on a terminal, else with a
// line every few seconds and one at the end. It is used by one goroutine at a time.
type Progress struct {
	console *Console
	bar     *progressbar.ProgressBar
	what    string
	total   int64
	done    int64
	printed time.Time
}

// Progress begins. A total of -1 is an unknown one.
func (c *Console) Progress(what string, total int64) *Progress {
	p := &Progress{console: c, what: what, total: total, printed: time.Now()}
	if isTerminal(c.Err()) {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(c.Err()), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
	}
	return p
}

// ReportProgress is [Console.Progress] for packages that do not know this one.
func (c *Console) ReportProgress(what string, total int64) (add func(n int64), done func()) {
	p := c.Progress(what, total)
	return p.Add, p.Done
}

// Add notes that n more are done.
func (p *Progress) Add(n int64) {
	p.done += n
	if p.bar != nil {
		_ = p.bar.Add64(n) // a terminal that does not take it stops no work
		return
	}
	if now := time.Now(); now.Sub(p.printed) >= lineEvery {
		p.printed = now
		p.print()
	}
}

// Done ends it.
func (p *Progress) Done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
	p.print()
}

func (p *Progress) print() {
	if p.total < 0 {
		p.console.Note("%s: %d", p.what, p.done)
		return
	}
	p.console.Note("%s: %d of %d", p.what, p.done, p.total)
}
