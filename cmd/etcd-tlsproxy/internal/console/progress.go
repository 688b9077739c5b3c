package console

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// lineEvery is the interval between lines where there is no terminal for a bar: often
// enough to show that work goes on, and rarely enough for a log.
const lineEvery = 5 * time.Second

// Progress reports the progress of long work with a bar on a terminal, or otherwise with a
// line every few seconds and one at the end. Only one goroutine may use it at a time.
type Progress struct {
	console *Console
	bar     *progressbar.ProgressBar
	what    string
	total   int64
	done    int64
	printed time.Time
}

// Progress starts a report. A total of -1 is unknown.
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

// Add records that n more units are done.
func (p *Progress) Add(n int64) {
	p.done += n
	if p.bar != nil {
		_ = p.bar.Add64(n) // an error of the terminal must not stop the work
		return
	}
	if now := time.Now(); now.Sub(p.printed) >= lineEvery {
		p.printed = now
		p.print()
	}
}

// Done ends the report with the final count.
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
