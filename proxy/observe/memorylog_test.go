package observe

import (
	"bytes"
	"sync"
)

// memoryLog is a log in memory. Timers write to it while tests read it.
type memoryLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *memoryLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns what was written since the last Reset.
func (l *memoryLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Len returns the number of bytes of String.
func (l *memoryLog) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Len()
}

// Reset forgets what was written.
func (l *memoryLog) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}
