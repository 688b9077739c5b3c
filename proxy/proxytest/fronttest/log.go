package fronttest

import (
	"strings"
	"sync"
)

// Log collects what the proxy logs. A test may read it while it is written.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write appends p.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns what has been written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines returns the number of complete lines.
func (l *Log) Lines() int { return strings.Count(l.String(), "\n") }

// Clear drops what has been written.
func (l *Log) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}
