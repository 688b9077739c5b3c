package recovery

import "fmt"

// Progress starts to report how far long work has come, in units that what names. A
// total of -1 is unknown. The work calls add with each part, and done at its end.
type Progress func(what string, total int64) (add func(n int64), done func())

// start starts a report. Without Progress nothing is reported.
func (p Progress) start(what string, total int64) (add func(n int64), done func()) {
	if p == nil {
		return func(int64) {}, func() {}
	}
	return p(what, total)
}

func (b *Backup) note(format string, args ...any) { note(b.Note, format, args...) }

func (r *Recovery) note(format string, args ...any) { note(r.Note, format, args...) }

func note(report func(string), format string, args ...any) {
	if report != nil {
		report(fmt.Sprintf(format, args...))
	}
}
